"""The reference case, event by event: the job of a crashed worker, a known asset, no plan."""

from ingestd.app import Daemon
from support.wait import until
from support.world import World

SYNC_ID = "a09117d8-8013-4a85-8c57-b2ccdb3d36f6"
VIDEO, COVER = "212a6c7a8629cd00baae3940aa717e6c", "707a5b21ccd44b548145b286df183baa"


def prepare(world: World) -> None:
    world.sql("INSERT INTO asset (id, asset_type, hash) VALUES (66, 'video', %s)", VIDEO)
    world.put(
        {"type": "video", "hash": VIDEO},
        {"type": "cover", "hash": COVER, "parent_hash": VIDEO},
        sync_id=SYNC_ID,
        action="update",
        prior_sync_id="bc02ed61-9d39-4538-952a-ed4ced680e96",
        containers=[{"type": "event", "hash": "0f343b0931126a20f133d67c2b018a3b"}],
    )
    world.scan(world.context())
    world.sql(
        "INSERT INTO import_job (batch_id, state, claim_token, claimed_by, claimed_at, queued_at, heartbeat_at)"
        " SELECT id, 'running', 1, 'simulated-crashed-worker/pid:99999', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6),"
        " UTC_TIMESTAMP(6) - INTERVAL 30 MINUTE FROM ingest_batch"
    )


def test_golden_case_event_by_event(world: World) -> None:
    prepare(world)
    daemon = Daemon(world.settings())
    daemon.start()
    try:
        until(lambda: world.status(SYNC_ID) == "imported")
    finally:
        daemon.stop()
    events = world.events(SYNC_ID)
    assert [kind for kind, _ in events] == [
        "scan", "job_reset", "job_claimed", "preflight_started", "preflight_finished", "import_started",
        "item_updated", "item_linked", "container_ignored", "import_finished", "job_finished",
    ]  # fmt: skip
    recorded = dict(events)
    (job_id, state, done, total, resets) = world.sql(
        "SELECT id, state, items_done, items_total, reset_count FROM import_job"
    )[0]
    assert (state, done, total, resets) == ("done", 2, 2, 1)
    sha256 = world.one("SELECT manifest_sha256 FROM ingest_batch")
    assert recorded["job_reset"]["prior_claimed_by"] == "simulated-crashed-worker/pid:99999"
    assert recorded["job_reset"]["threshold_seconds"] == 900
    assert recorded["job_claimed"]["priority"] == 100
    assert recorded["preflight_started"] == {
        "phase": "preflight", "action": "update", "item_count": 2, "item_type_counts": {"video": 1, "cover": 1},
        "container_count": 1, "manifest_sha256": sha256,
    }  # fmt: skip
    assert recorded["preflight_finished"] == {
        "phase": "preflight", "ok": 1, "item_count": 2, "item_type_counts": {"video": 1, "cover": 1},
        "failure_samples": [],
        "counts": {"will_create": 0, "will_update": 1, "will_link": 1, "will_remove": 0, "will_skip": 0,
                   "will_defer": 0, "will_fail": 0},
    }  # fmt: skip
    assert recorded["import_started"] == {
        "phase": "import", "action": "update", "item_count": 2, "container_count": 1, "already_terminal_count": 0,
        "manifest_sha256": sha256, "max_items": 0,
    }  # fmt: skip
    assert recorded["item_updated"] == {
        "phase": "item_import", "type": "video", "hash": VIDEO, "cover_hash": None, "error": None,
        "target_ids": {"asset_id": 66},
    }  # fmt: skip
    assert recorded["item_linked"] == {
        "phase": "item_import", "type": "cover", "hash": COVER, "cover_hash": None, "error": None,
        "target_ids": {"asset_id": 66, "cover_hash": COVER, "parent_hash": VIDEO},
    }  # fmt: skip
    tally = {"created": 0, "updated": 1, "linked": 1, "removed": 0, "skipped": 0, "deferred": 0, "failed": 0}
    assert recorded["import_finished"] == {
        "phase": "import", "status": "imported", "remaining": 0, "skipped_terminal": 0, "tally": tally,
    }  # fmt: skip
    assert recorded["job_finished"] == {
        "phase": "job_finish", "job_id": job_id, "error": None,
        "summary": {"items_seen": 2, "ok": 1, "status": "imported",
                    "summary": {"ok": 1, "remaining": 0, "status": "imported", "tally": tally}},
    }  # fmt: skip
