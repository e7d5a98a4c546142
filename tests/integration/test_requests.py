"""Requests are rows: shared while they are open, claimed once, ended with a result or an error."""

from contextlib import suppress
from functools import partial
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest

from ingestd.errors import DatabaseRefused, DatabaseUnavailable, DataRefused, MountUnavailable
from ingestd.model import Patience, RequestKind, RequestState
from ingestd.pipeline import claim_pace, requests
from ingestd.pipeline.context import Context
from ingestd.pipeline.requests import PreflightStep, RequestRunner, ScanStep
from ingestd.pipeline.scanner import Scanner
from ingestd.store import next_jobs, request
from ingestd.store.db import Tx
from ingestd.store.next_jobs import QueuedWork
from ingestd.store.request import Claim
from support.plans import plan_of, rows_touched
from support.requests import ME, accept, look, scan_result, scans_of, states, take
from support.wait import until
from support.world import World, photo

# what is shared


def test_scans_that_have_not_begun_share_one_row(world: World) -> None:
    context, found = world.context(), world.put(photo("a"))
    first = accept(world)
    assert accept(world) == first
    assert take(context) is not None
    later = accept(world)
    assert later != first, "a scan that began answers no request that came later"
    assert accept(world) == later
    scans_of(context).runner.run_next()
    assert look(world, later).result == scan_result([found])
    assert look(world, first).state is RequestState.RUNNING


def test_a_scan_that_is_put_back_does_not_collide_with_a_newer_one(world: World) -> None:
    context = world.context()
    accept(world)
    claim = take(context)
    assert claim is not None
    accept(world)
    assert context.db.transaction(partial(request.release, claim=claim))
    assert states(world) == ["queued", "queued"]
    runner = scans_of(context).runner
    assert [runner.run_next(), runner.run_next(), runner.run_next()] == [True, True, False]
    assert states(world) == ["done", "done"]


def test_a_batch_has_one_open_preflight(world: World) -> None:
    context = world.context()
    one, other = world.put(photo("a")), world.put(photo("b"))
    world.scan(context)
    first = accept(world, one)
    assert accept(world, other) != first
    assert take(context, RequestKind.PREFLIGHT) is not None
    assert accept(world, one) == first, "running is open, too"
    world.sql("UPDATE ingest_request SET state = 'done' WHERE id = %s", first)
    assert accept(world, one) > first


def test_a_claim_skips_what_another_host_is_claiming(world: World) -> None:
    one, other = world.context(), world.context()
    first, second = accept(world, "a"), accept(world, "b")
    connection = one.db.connection()
    connection.begin()
    claim = request.claim_next(Tx(connection), RequestKind.PREFLIGHT, "w", str(ME), Patience(15.0, 900.0))
    other.db.connection().cursor().execute("SET SESSION innodb_lock_wait_timeout = 1")
    newer = take(other, RequestKind.PREFLIGHT)
    connection.commit()
    assert [found and found.request_id for found in (claim, newer)] == [first, second]


# how they end


def test_the_result_of_a_scan_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "MAX_SYNC_IDS", 2)
    found = sorted(world.put(photo(name)) for name in "abc")
    request_id = accept(world)
    scans_of(world.context()).runner.run_next()
    assert look(world, request_id).result == scan_result(found[:2])


def test_a_requested_scan_wakes_the_parts_that_queue_new_batches(world: World) -> None:
    context, woken = world.context(), []
    step = ScanStep(context, ME, Scanner(context, on_recorded=lambda: woken.append("recorded")))
    accept(world)
    step.runner.run_next()
    assert woken == [], "nothing was recorded"
    world.put(photo("a"))
    accept(world)
    step.runner.run_next()
    assert woken == ["recorded"]


def test_a_scan_runs_only_after_a_notice(world: World) -> None:
    context = world.context(mount={"rescan_interval": 1000.0})
    step = scans_of(context)
    step.run_once()
    accept(world)
    step.run_once()
    assert states(world) == ["queued"], "a round without a notice does not ask the database"
    step.notify()
    assert step.run_once() > 100
    assert states(world) == ["done"]


@pytest.mark.parametrize(
    ("batch", "sentence"), [("unknown", "there is no batch"), ("invalid", "is invalid"), ("running", "is importing")]
)
def test_a_preflight_that_is_refused_ends_as_failed(world: World, batch: str, sentence: str) -> None:
    context = world.context()
    sync_id = world.put(photo("a"), verification={"passed": batch != "invalid"})
    world.scan(context)
    if batch == "unknown":
        sync_id = "00000000-0000-4000-8000-000000000000"
    if batch == "running":
        world.sql("INSERT INTO import_job (batch_id, state, queued_at) SELECT id, 'running', NOW() FROM ingest_batch")
    request_id = accept(world, sync_id)
    assert PreflightStep(context, ME).run_once() == 0
    failed = look(world, request_id)
    assert (failed.state, failed.result) == (RequestState.FAILED, None)
    assert sentence in str(failed.error)
    assert failed.finished_at is not None


def failing(context: Context, error: Exception) -> RequestRunner:
    def fail(_claim: Claim) -> dict[str, Any]:
        raise error

    return RequestRunner(context, ME, RequestKind.SCAN, fail)


def test_an_error_is_kept_as_a_sentence(world: World) -> None:
    request_id = accept(world)
    assert failing(world.context(), DataRefused("the disk is full")).run_next()
    assert look(world, request_id).error == "the disk is full"


def test_an_unexpected_error_is_kept_without_its_detail(world: World) -> None:
    request_id = accept(world)
    with pytest.raises(ValueError, match="a secret detail"):
        failing(world.context(), ValueError("a secret detail")).run_next()
    assert look(world, request_id).error == requests.UNEXPECTED


@pytest.mark.parametrize(
    "outage", [DatabaseUnavailable("no database"), DatabaseRefused("no rights"), MountUnavailable("no mount")]
)
def test_an_outage_puts_the_request_back(world: World, outage: Exception) -> None:
    request_id = accept(world)
    with pytest.raises(type(outage)):
        failing(world.context(), outage).run_next()
    back = look(world, request_id)
    assert (back.state, back.claimed_by, back.claimed_at, back.error) == (RequestState.QUEUED, None, None, None)


def test_a_request_that_is_put_back_again_and_again_is_claimed_ever_more_rarely(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = count(step=0.1)
    clock = SimpleNamespace(monotonic=lambda: next(moments))
    monkeypatch.setattr(claim_pace, "time", clock)
    monkeypatch.setattr(requests, "time", clock)
    runner = failing(world.context(), MountUnavailable("the mount does not answer"))
    accept(world)
    while next(moments) < 60.0:
        with suppress(MountUnavailable):
            runner.run_next()
    assert world.one("SELECT claim_token FROM ingest_request") <= 6, "in a minute of attempts"


def test_a_request_that_was_put_back_comes_after_the_others(world: World) -> None:
    ids = [world.put(photo(name)) for name in "ab"]
    context = world.context()
    world.scan(context)
    stuck, other = (accept(world, sync_id) for sync_id in ids)
    claim = take(context, RequestKind.PREFLIGHT)
    assert claim is not None
    assert claim.request_id == stuck
    assert context.db.transaction(partial(request.release, claim=claim))
    assert PreflightStep(context, ME).runner.run_next()
    assert look(world, other).state == RequestState.DONE
    assert PreflightStep(context, ME).runner.run_next()
    assert look(world, stuck).state == RequestState.DONE, "it is not forgotten"


def test_a_request_waits_for_the_mount(world: World) -> None:
    sync_id = world.put(photo("a"))
    step, away = scans_of(world.context()), world.root.with_name("away")
    request_id = accept(world)
    world.root.rename(away)
    assert not step.runner.run_next()
    assert states(world) == ["queued"]
    away.rename(world.root)
    until(step.runner.run_next, what="for the mount to be seen again")
    assert look(world, request_id).result == scan_result([sync_id])


def test_a_stopped_runner_claims_nothing(world: World) -> None:
    accept(world)
    runner = scans_of(world.context()).runner
    runner.stop()
    assert not runner.run_next()
    assert states(world) == ["queued"]


def test_requests_that_ended_long_ago_are_deleted_in_small_batches(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "DELETE_ROWS", 2)
    old = [("scan", "done", 8), ("scan", "failed", 9), ("scan", "done", 30), ("scan", "done", 6)]
    for kind, state, days in old:
        world.sql("INSERT INTO ingest_request (kind, state, requested_at, finished_at) VALUES (%s, %s, NOW(),"
                  " UTC_TIMESTAMP(6) - INTERVAL %s DAY)", kind, state, days)  # fmt: skip
    accept(world)
    step = PreflightStep(world.context(), ME)
    assert step.run_once() == 0, "there may be more"
    assert len(states(world)) == 3
    assert step.run_once() > 1000
    assert states(world) == ["done", "queued"]


# indexes

BY_INDEX: dict[str, tuple[str, dict[str, Any]]] = {
    "next_queued": ("claim", {"kind": "'scan'"}),
    "newest_scan": ("by_batch", {"within_us": 600 * 10**6}),
    "newest_preflight": ("by_batch", {"sync_id": "'a'"}),
    "running": ("claim", {"stale_us": 1, "heartbeat_us": 1, "beats": 3}),
    "delete_finished": ("by_finished", {"keep_us": 7 * 86400 * 10**6, "limit": 2}),
}


@pytest.mark.parametrize("query", BY_INDEX)
def test_queries_have_their_index(world: World, query: str) -> None:
    key, values = BY_INDEX[query]
    world.sql("INSERT INTO ingest_request (kind, state, sync_id, requested_at, finished_at)"
              " SELECT 'preflight', 'done', seq, NOW(), NOW() FROM seq_1_to_2000")  # fmt: skip
    for sync_id in (None, "a", "b"):
        accept(world, sync_id)
    world.sql("ANALYZE TABLE ingest_request")
    (step,) = plan_of(world, getattr(request._sql, query), values)
    assert step.key == key
    assert not step.scans
    assert not step.sorts


def test_the_poller_reads_one_entry_of_each_kind(world: World) -> None:
    for number in range(50):
        accept(world, str(number))
    accept(world)
    db = world.context().db
    assert db.read(next_jobs.queued) == QueuedWork(jobs=False, scans=True, preflights=True)
    assert rows_touched(db, next_jobs.queued) <= 3
