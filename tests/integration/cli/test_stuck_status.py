"""`ingestd status` shows the bundles that cannot be read or recorded."""

import json

from support.command import Run
from support.world import World, new_sync_id


def test_status_shows_stuck_bundles(configured: World, run: Run) -> None:
    sync_id = new_sync_id()
    configured.sql(
        "INSERT INTO ingest_stuck VALUES (%s, 'not this one', 'flux-1', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))", sync_id
    )
    _, out, _ = run("status")
    assert f"{sync_id} since" in out
    assert "not this one" in out
    _, out, _ = run("status", "--json")
    assert [bundle["sync_id"] for bundle in json.loads(out)["stuck_bundles"]] == [sync_id]
