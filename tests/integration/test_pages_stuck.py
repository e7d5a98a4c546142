"""What the pages show of stuck bundles, and of what a plan takes out of sight."""

from support.web_client import Visitor, WebClient
from support.world import World, md5, new_sync_id, photo


def report(world: World, reason: str) -> str:
    sync_id = new_sync_id()
    values = (sync_id, reason, "flux-<1>")
    world.sql("INSERT INTO ingest_stuck VALUES (%s, %s, %s, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))", *values)
    return sync_id


def test_import_media_lists_stuck_bundles(world: World, olivia: Visitor) -> None:
    assert olivia.see("/").live("stuck").text == ""
    sync_id = report(world, "hangs <script>")
    shown = olivia.see("/").live("stuck")
    assert shown.one("h2").text == "1 bundle cannot be read or recorded"
    assert sync_id in shown.text
    assert "reported by flux-<1>: hangs <script>" in shown.text
    for _ in range(10):
        report(world, "x" * 1000)
    shown = olivia.see("/").live("stuck")
    assert shown.one("h2").text == "More than 10 bundles cannot be read or recorded"
    assert len(shown.all("li")) == 10
    assert "ingestd status" in shown.text


def test_a_plan_says_what_it_takes_out_of_sight(world: World, web_client: WebClient, olivia: Visitor) -> None:
    gallery = {"type": "gallery", "hash": md5("g"), "items": [md5("a"), md5("b")]}
    world.import_all(web_client.context, world.put(photo("a", files=3), photo("b"), containers=[gallery]))
    emptied = {**gallery, "complete": True, "items": [md5("a")]}
    sync_id = web_client.put(photo("a"), action="update", day=2, containers=[emptied])
    counts = "0 assets, 2 files and 1 container member out of sight"
    assert f"Takes {counts}." in olivia.post(f"/batches/{sync_id}/preflight").page.text
    assert f"takes {counts}" in olivia.post("/preflight", {"sync_id": [sync_id]}).page.text
    harmless = web_client.put(photo("c"), day=3)
    assert "out of sight" not in olivia.post(f"/batches/{harmless}/preflight").page.text
