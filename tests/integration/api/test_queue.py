"""Queueing and cancelling batches over the API."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from ingestd.store import batch, db
from ingestd.store.connection import Limits
from ingestd.store.db import Tx
from ingestd.web import operations, server, turns
from support.api_site import UNKNOWN, Site, put, run_it
from support.wait import until
from support.world import World, cover, photo

# queue


def test_a_batch_is_queued_once(world: World, site: Site) -> None:
    sync_id = put(world, site, photo("a"))
    made = site.post(f"/api/v1/batches/{sync_id}/queue", {"priority": 7})
    assert made.status == 201
    assert (made.json["sync_id"], made.json["state"], made.json["priority"]) == (sync_id, "queued", 7)
    assert made.headers["Location"] == f"/api/v1/jobs/{made.json['id']}"
    assert site.woken == ["queued"]
    again = site.post(f"/api/v1/batches/{sync_id}/queue")
    assert (again.status, again.json) == (200, made.json)
    sooner = site.post(f"/api/v1/batches/{sync_id}/queue", {"priority": 3})
    assert (sooner.status, sooner.json) == (200, {**made.json, "priority": 3})
    assert world.one("SELECT COUNT(*) FROM import_job") == 1


def test_the_ledger_names_who_requested(world: World, site: Site) -> None:
    sync_id = put(world, site, photo("a"))
    assert site.post(f"/api/v1/batches/{sync_id}/queue").json["requested_by"] == "olivia"
    site.post(f"/api/v1/batches/{sync_id}/queue", {"priority": 1})
    site.post(f"/api/v1/batches/{sync_id}/cancel")
    names = [payload["requested_by"] for _, payload in world.events(sync_id) if "requested_by" in payload]
    assert names == ["olivia"] * 3


def test_a_batch_that_cannot_be_queued_is_refused_with_the_reason(world: World, site: Site) -> None:
    assert site.post(f"/api/v1/batches/{UNKNOWN}/queue").status == 404
    assert site.post("/api/v1/batches/%C3%A4/queue").status == 404
    invalid = put(world, site, photo("a"), verification={"passed": False})
    refused = site.post(f"/api/v1/batches/{invalid}/queue")
    assert refused.status == 409
    assert f"batch {invalid} is invalid: verification" in refused.detail
    sync_id = put(world, site, photo("b"))
    assert "has no deferred items" in site.post(f"/api/v1/batches/{sync_id}/queue", {"only": "deferred"}).detail
    (world.root / f"sync/{sync_id}.json").unlink()
    (world.root / f"sync/{sync_id}.ready").unlink()
    gone = site.post(f"/api/v1/batches/{put(world, site, photo('c'))}/queue")
    assert gone.status == 201


def test_a_missing_manifest_is_not_an_outage(world: World, site: Site) -> None:
    sync_id = put(world, site, photo("a"))
    (world.root / f"sync/{sync_id}.json").unlink()
    assert site.post(f"/api/v1/batches/{sync_id}/queue").status == 409
    assert site.post(f"/api/v1/batches/{sync_id}/preflight").status == 409


def test_several_batches_are_queued_oldest_first(world: World, site: Site) -> None:
    newest, middle, oldest = (put(world, site, photo(str(day)), day=day) for day in (3, 2, 1))
    answer = site.post("/api/v1/queue", {"sync_ids": [newest, middle, oldest]})
    jobs = {result["sync_id"]: result["job"]["id"] for result in answer.json["results"]}
    assert list(jobs) == [newest, middle, oldest]
    assert jobs[oldest] < jobs[middle] < jobs[newest]


@contextmanager
def held(world: World, sync_id: str) -> Iterator[None]:
    """Another client holds the row of this batch."""
    holder = world.context().db.connection()
    holder.begin()
    batch.lock(Tx(holder), sync_id)
    yield
    holder.rollback()


def test_a_batch_that_others_hold_keeps_no_other_from_being_queued(
    world: World, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync_ids = [put(world, site, photo(str(day)), day=day) for day in (1, 2, 3)]
    monkeypatch.setattr(db, "PATIENCE", 0.0)
    monkeypatch.setattr(site.context.db, "_limits", Limits(lock=1))
    site.context.db.close()
    with held(world, sync_ids[0]):
        answer = site.post("/api/v1/queue", {"sync_ids": sync_ids})
    assert [result["status"] for result in answer.json["results"]] == [503, 201, 201]
    assert "busy" in answer.json["results"][0]["error"]
    again = site.post("/api/v1/queue", {"sync_ids": sync_ids})
    assert [result["status"] for result in again.json["results"]] == [201, 200, 200]


def test_requests_for_a_batch_that_others_hold_leave_threads_to_the_rest(
    world: World, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "PATIENCE", 0.01)
    stuck, other = put(world, site, photo("a")), put(world, site, photo("b"))
    with ThreadPoolExecutor() as clients, held(world, stuck):
        first = clients.submit(site.post, f"/api/v1/batches/{stuck}/cancel")
        until(lambda: waits_for_a_row(world), what="for the first request to wait for the row")
        for what in ("cancel", "queue", "preflight"):
            refused = site.post(f"/api/v1/batches/{stuck}/{what}")
            assert (refused.status, "another request for batch" in refused.detail) == (503, True)
        assert site.post(f"/api/v1/batches/{other}/queue").status == 201
        assert not first.done()
    assert first.result().status == 409, "there was nothing to cancel"
    assert site.post(f"/api/v1/batches/{stuck}/queue").status == 201


BLOCKED = ["queue", "cancel", "pause", "resume", "preflight", "bulk"]


@pytest.mark.parametrize("what", BLOCKED)
def test_requests_that_wait_for_many_rows_leave_threads_to_the_rest(
    world: World, site: Site, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(turns, "PATIENCE", 0.01)
    sync_ids = [put(world, site, photo(str(number))) for number in range(server.THREADS + 2)]
    calls = [call_of(what, sync_id) for sync_id in sync_ids]
    with ThreadPoolExecutor(len(calls)) as clients, all_held(world):
        waiting = [clients.submit(site.call, "POST", *call) for call in calls]
        until(lambda: sum(found.done() for found in waiting) >= len(calls) - turns.MAX_CHANGING, what="for refusals")
        assert site.get("/api/v1/batches?limit=1")["items"]
        assert site.get("/healthz") == {"status": "ok"}
        refused = [found.result() for found in waiting if found.done()]
    assert {answer.headers["Retry-After"] for answer in refused if answer.status == 503} <= {"5"}
    if what != "bulk":
        assert {(answer.status, answer.detail) for answer in refused} == {(503, f"{BUSY}; try again later")}


BUSY = "too many other requests are still running"


def call_of(what: str, sync_id: str) -> tuple[str, dict[str, Any]]:
    if what == "bulk":
        return "/api/v1/queue", {"sync_ids": [sync_id]}
    return (f"/api/v1/{what}", {}) if what in ("pause", "resume") else (f"/api/v1/batches/{sync_id}/{what}", {})


@contextmanager
def all_held(world: World) -> Iterator[None]:
    """Another client holds what requests change."""
    holder = world.context().db.connection()
    holder.begin()
    with holder.cursor() as cursor:
        for table in ("ingest_batch", "ingest_control", "ingest_request"):
            cursor.execute(f"SELECT * FROM {table} FOR UPDATE")
    yield
    holder.rollback()


def waits_for_a_row(world: World) -> bool:
    """INNODB_TRX would not say: the server does not refresh it while it is read again and again."""
    ((_name, waits),) = world.sql("SHOW GLOBAL STATUS LIKE %s", "Innodb_row_lock_current_waits")
    return int(waits) > 0


def test_a_large_batch_is_queued_without_a_plan_of_its_own(
    world: World, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "PLANNED_AT_ONCE", 1)
    large, small = put(world, site, photo("a"), photo("b")), put(world, site, photo("c"))
    for sync_id in (large, small):
        assert site.post(f"/api/v1/batches/{sync_id}/queue").status == 201
    assert "preflight_finished" in dict(world.events(small))
    assert "preflight_finished" not in dict(world.events(large))
    assert [world.run_next(site.context) for _ in range(2)] == ["done", "done"]
    assert world.status(large) == "imported"


def test_a_large_removal_is_held_by_its_job_and_planned_for_its_approval(
    world: World, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "PLANNED_AT_ONCE", 1)
    world.import_all(site.context, world.put(photo("a"), photo("b"), day=1))
    removal = put(world, site, photo("a"), photo("b"), action="remove", day=2)
    assert site.post(f"/api/v1/batches/{removal}/queue").status == 201
    assert world.run_next(site.context) == "failed"
    assert world.status(removal) == "held"
    assert site.post(f"/api/v1/batches/{removal}/queue").status == 409
    assert site.post(f"/api/v1/batches/{removal}/queue", {"force": True}).status == 201
    assert world.run_next(site.context) == "done"


def test_a_running_job_refuses_what_it_cannot_take_up(world: World, site: Site) -> None:
    sync_id = put(world, site, photo("a"))
    address = f"/api/v1/batches/{sync_id}/queue"
    assert site.post(address).status == 201
    run_it(world)
    assert site.post(address).status == 200
    for body in ({"priority": 3}, {"force": True}, {"only": "failed"}):
        refused = site.post(address, body)
        assert refused.status == 409
        assert "can no longer take up" in refused.detail


def test_removals_beyond_the_limit_need_force(world: World, site: Site) -> None:
    world.import_all(site.context, world.put(photo("a"), photo("b"), day=1))
    sync_id = put(world, site, photo("a"), photo("b"), action="remove", day=2)
    refused = site.post(f"/api/v1/batches/{sync_id}/queue")
    assert refused.status == 409
    assert "queue.removal_limit = 1" in refused.detail
    assert world.events(sync_id)[-1][0] == "removal_refused"
    shown = site.get(f"/api/v1/batches/{sync_id}")
    nothing = {"assets": 0, "files": 0, "members": 0}
    assert (shown["status"], shown["removals"]["is_held"], shown["removals"]["removed"]) == ("held", True, nothing)
    assert [row["sync_id"] for row in site.get("/api/v1/batches?status=held")["items"]] == [sync_id]
    assert site.post(f"/api/v1/batches/{sync_id}/queue", {"force": True}).status == 201


def test_only_failed_or_deferred_items_can_be_queued(world: World, site: Site) -> None:
    sync_id = world.put(photo("a"), cover("c", "unknown"))
    world.import_all(site.context, sync_id)
    assert site.post(f"/api/v1/batches/{sync_id}/queue", {"only": "failed"}).status == 409
    made = site.post(f"/api/v1/batches/{sync_id}/queue", {"only": "deferred"})
    assert (made.status, made.json["scope"]) == (201, "deferred")


@pytest.mark.parametrize("many", [False, True])
def test_a_plain_request_widens_a_job_for_some_items(world: World, site: Site, many: bool) -> None:
    sync_id = world.put(photo("a"), cover("c", "unknown"))
    world.import_all(site.context, sync_id)
    site.post(f"/api/v1/batches/{sync_id}/queue", {"only": "deferred"})
    if many:
        (result,) = site.post("/api/v1/queue", {"sync_ids": [sync_id]}).json["results"]
        assert (result["status"], result["job"]["scope"]) == (200, "all")
    else:
        widened = site.post(f"/api/v1/batches/{sync_id}/queue")
        assert (widened.status, widened.json["scope"]) == (200, "all")
    assert world.events(sync_id)[-1][0] == "job_rescoped"


def test_many_batches_are_queued_with_one_request(world: World, site: Site) -> None:
    first, second = (put(world, site, photo(name), day=day) for day, name in enumerate("ab", 1))
    invalid = put(world, site, photo("c"), verification={"passed": False})
    answer = site.post("/api/v1/queue", {"sync_ids": [first, UNKNOWN, invalid, second, first], "priority": 9})
    assert answer.status == 200
    results = answer.json["results"]
    assert [(result["sync_id"], result["status"]) for result in results] == [
        (first, 201), (UNKNOWN, 404), (invalid, 409), (second, 201), (first, 200),
    ]  # fmt: skip
    assert [result["job"] and result["job"]["priority"] for result in results] == [9, None, None, 9, 9]
    assert "is invalid" in results[2]["error"]


# cancel


def test_a_job_is_cancelled(world: World, site: Site) -> None:
    sync_id = put(world, site, photo("a"))
    assert site.post(f"/api/v1/batches/{UNKNOWN}/cancel").status == 404
    nothing = site.post(f"/api/v1/batches/{sync_id}/cancel")
    assert (nothing.status, nothing.detail) == (409, f"batch {sync_id} has no job to cancel")
    site.post(f"/api/v1/batches/{sync_id}/queue")
    cancelled = site.post(f"/api/v1/batches/{sync_id}/cancel")
    assert (cancelled.status, cancelled.json["state"]) == (200, "cancelled")
    site.post(f"/api/v1/batches/{sync_id}/queue")
    run_it(world)
    running = site.post(f"/api/v1/batches/{sync_id}/cancel")
    assert running.status == 409
    assert "is running" in running.detail


def test_a_request_that_names_a_job_cancels_no_other(world: World, site: Site) -> None:
    sync_id = put(world, site, photo("a"))
    first = site.post(f"/api/v1/batches/{sync_id}/queue").json["id"]
    assert site.post(f"/api/v1/batches/{sync_id}/cancel", {"job_id": first + 1}).status == 409
    assert site.post(f"/api/v1/batches/{sync_id}/cancel", {"job_id": first}).json["state"] == "cancelled"
    again = site.post(f"/api/v1/batches/{sync_id}/cancel", {"job_id": first + 1})
    assert (again.status, "has ended" in again.detail) == (409, True)
