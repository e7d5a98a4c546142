"""Pre-flights, scans and the pause over the API."""

import pytest

from support.api_site import TIME, UNKNOWN, Site, put, run_it
from support.requests import scan_result
from support.wait import until
from support.world import World, photo

# preflight


def test_a_plan_is_made(world: World, site: Site) -> None:
    sync_id = put(world, site, photo("a"), {"type": "photo", "hash": "bad"})
    answer = site.post(f"/api/v1/batches/{sync_id}/preflight")
    assert answer.status == 200
    assert (answer.json["ok"], answer.json["item_count"]) == (False, 2)
    assert answer.json["counts"]["will_create"] == 1
    assert [wrong["hash"] for wrong in answer.json["failure_samples"]] == ["#1"]
    assert site.post(f"/api/v1/batches/{UNKNOWN}/preflight").status == 404
    invalid = put(world, site, photo("c"), verification={"passed": False})
    assert site.post(f"/api/v1/batches/{invalid}/preflight").status == 409


@pytest.mark.parametrize("items", [1, 5001])
def test_a_preflight_is_refused_while_the_job_runs(world: World, site: Site, items: int) -> None:
    sync_id = put(world, site, photo("a"))
    site.post(f"/api/v1/batches/{sync_id}/queue")
    world.sql("UPDATE ingest_batch SET item_count = %s", items)
    run_it(world)
    refused = site.post(f"/api/v1/batches/{sync_id}/preflight")
    assert refused.status == 409
    assert "is importing" in refused.detail


def test_a_large_plan_is_made_in_the_background(world: World, site: Site) -> None:
    sync_id = put(world, site, photo("a"))
    world.sql("UPDATE ingest_batch SET item_count = 5000")
    at_once = site.post(f"/api/v1/batches/{sync_id}/preflight")
    assert at_once.status == 200
    world.sql("UPDATE ingest_batch SET item_count = 5001, plan_sha256 = NULL")
    accepted = site.post(f"/api/v1/batches/{sync_id}/preflight")
    number, address = accepted.json["id"], accepted.headers["Location"]
    assert (accepted.status, address) == (202, f"/api/v1/requests/{number}")
    assert address in accepted.detail
    request = until(lambda: (found := site.get(address))["state"] == "done" and found)
    assert request["result"] == at_once.json
    assert (request["kind"], request["sync_id"], request["error"]) == ("preflight", sync_id, None)
    assert (request["requested_by"], request["id"]) == ("olivia", number)
    assert TIME.fullmatch(request["requested_at"])
    assert request["requested_at"] <= request["claimed_at"] <= request["finished_at"]
    assert site.get(f"/api/v1/batches/{sync_id}")["preflight"] == {"pending": False, "error": None}
    assert site.get(f"/api/v1/batches/{sync_id}")["plan_sha256"] is not None


def test_a_batch_shows_the_state_of_its_newest_preflight(world: World, site: Site) -> None:
    sync_id = put(world, site, photo("a"))
    path = f"/api/v1/batches/{sync_id}"
    world.sql("UPDATE ingest_batch SET item_count = 5001")
    site.preflights.stop()
    site.preflights.join()
    site.post(f"{path}/preflight")
    assert site.get(path)["preflight"] == {"pending": True, "error": None}
    world.sql("UPDATE ingest_request SET state = 'running'")
    assert site.get(path)["preflight"] == {"pending": True, "error": None}
    world.sql("UPDATE ingest_request SET state = 'failed', error = 'not now'")
    assert site.get(path)["preflight"] == {"pending": False, "error": "not now"}
    site.post(f"{path}/preflight")
    assert site.get(path)["preflight"] == {"pending": True, "error": None}


# scan, pause, resume


def test_a_scan_is_accepted_and_its_request_has_the_result(world: World, site: Site) -> None:
    sync_ids = sorted((world.put(photo("a")), world.put(photo("b"))))
    world.file(f"sync/{UNKNOWN}.ready", b"")
    world.file("sync/odd.ready", b"")
    accepted = site.post("/api/v1/scan")
    assert accepted.status == 202
    assert site.woken == ["request"]
    number, address = accepted.json["id"], accepted.headers["Location"]
    assert address == f"/api/v1/requests/{number}"
    assert address in accepted.detail
    queued = site.get(address)
    assert (queued["kind"], queued["state"], queued["sync_id"], queued["result"]) == ("scan", "queued", None, None)
    assert site.post("/api/v1/scan").json["id"] == number, "a scan that has not begun answers both"
    site.scans.notify()
    site.scans.run_once()
    done = site.get(address)
    assert (done["state"], done["result"]) == ("done", scan_result(sync_ids, [UNKNOWN], ["odd.ready"]))
    # Several threads read them, so either may be recorded first.
    assert sorted(batch["sync_id"] for batch in site.get("/api/v1/batches")["items"]) == sync_ids


@pytest.mark.parametrize("number", ["0", "1", "9" * 18])
def test_an_unknown_request_is_not_found(world: World, site: Site, number: str) -> None:
    world.sql("ALTER TABLE ingest_request AUTO_INCREMENT = 1000")
    site.post("/api/v1/scan")
    answer = site.call("GET", f"/api/v1/requests/{number}")
    assert answer.status == 404
    assert f"no request {number}" in answer.detail
    assert site.send("GET", "/api/v1/requests/x").status == 404


def test_the_queue_is_paused_and_resumed(site: Site) -> None:
    paused = site.post("/api/v1/pause", {"reason": "a look around"})
    assert paused.status == 200
    shown = {key: paused.json[key] for key in ("paused", "changed", "paused_by", "paused_reason")}
    assert shown == {"paused": True, "changed": True, "paused_by": "olivia", "paused_reason": "a look around"}
    assert site.post("/api/v1/pause").json == {**paused.json, "changed": False}
    resumed = site.post("/api/v1/resume")
    assert (resumed.status, resumed.json["paused"], resumed.json["changed"]) == (200, False, True)
    assert site.woken == ["queued"]
    assert not site.post("/api/v1/resume").json["changed"]
