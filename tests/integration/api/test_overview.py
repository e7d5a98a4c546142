"""The routes about the whole queue, re-imports, the mount, and what a plan takes out of sight."""

from support.api_site import UNKNOWN, Site, put
from support.world import World, md5, photo


def test_the_state_of_the_queue_is_one_response(world: World, site: Site) -> None:
    sync_id = put(world, site, photo("a"))
    site.post(f"/api/v1/batches/{sync_id}/queue")
    site.post("/api/v1/pause", {"reason": "lunch"})
    world.sql("INSERT INTO ingest_stuck VALUES (%s, 'hangs', 'flux-1', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))", UNKNOWN)
    state = site.get("/api/v1/status")
    assert (state["paused"], state["paused_reason"], state["jobs"]) == (True, "lunch", {"queued": 1})
    assert [job["sync_id"] for job in state["active_jobs"]] == [sync_id]
    assert [(bundle["sync_id"], bundle["reason"]) for bundle in state["stuck_bundles"]] == [(UNKNOWN, "hangs")]
    assert site.get("/api/v1/stuck")["items"] == state["stuck_bundles"]
    assert site.call("GET", "/api/v1/stuck?limit=0").status == 400
    assert [job["state"] for job in site.get("/api/v1/jobs/recent")["items"]] == ["queued"]


def test_a_batch_is_imported_again(world: World, site: Site) -> None:
    sync_id = world.put(photo("a"))
    world.import_all(site.context, sync_id)
    path = f"/api/v1/batches/{sync_id}/queue"
    assert site.post(path, {"reimport": True, "only": "failed"}).status == 400
    assert site.post(path, {"reimport": "yes"}).status == 400
    made = site.post(path, {"reimport": True})
    assert (made.status, made.json["scope"]) == (201, "reimport")


def test_a_mount_that_is_expected_cannot_be_accepted(world: World, site: Site) -> None:
    put(world, site, photo("a"))
    refused = site.post("/api/v1/mount/accept")
    assert (refused.status, "nothing to accept" in refused.detail) == (409, True)
    assert site.post("/api/v1/mount/accept", {"force": True}).status == 400


def test_a_plan_counts_what_it_takes_out_of_sight(world: World, site: Site) -> None:
    gallery = {"type": "gallery", "hash": md5("g"), "items": [md5("a"), md5("b")]}
    world.import_all(site.context, world.put(photo("a", files=3), photo("b"), containers=[gallery]))
    emptied = {**gallery, "complete": True, "items": [md5("a")]}
    sync_id = put(world, site, photo("a"), action="update", day=2, containers=[emptied])
    plan = site.post(f"/api/v1/batches/{sync_id}/preflight").json
    assert plan["removals"] == {"assets": 0, "files": 2, "members": 1}
    removal = put(world, site, photo("a"), photo("b"), action="remove", day=3)
    plan = site.post(f"/api/v1/batches/{removal}/preflight").json
    assert plan["removals"]["assets"] == 2
