"""Lists of batches, items, events and jobs over the API."""

from support.api_site import UNKNOWN, Site, all_pages, put
from support.world import World, cover, md5, photo


def test_batches_are_listed_newest_first_in_pages(world: World, site: Site) -> None:
    sync_ids = [put(world, site, photo(str(day)), day=day) for day in range(1, 6)]
    invalid = put(world, site, photo("x"), verification={"passed": False})
    found = all_pages(site, "/api/v1/batches?limit=2")
    assert [batch["sync_id"] for batch in found] == [invalid, *reversed(sync_ids)]
    assert [batch["sync_id"] for batch in all_pages(site, "/api/v1/batches?limit=1&status=invalid")] == [invalid]
    assert [b["sync_id"] for b in all_pages(site, "/api/v1/batches?limit=2&status=new")] == sync_ids[::-1]


def test_a_batch_shows_its_decisions_and_failures(world: World, site: Site) -> None:
    bad = [{"type": "photo", "hash": f"bad{i}"} for i in range(2)]
    sync_id = world.put(photo("a"), photo("b"), photo("c"), cover("d", "unknown"), *bad)
    world.import_all(site.context, sync_id)
    batch = site.get(f"/api/v1/batches/{sync_id}")
    assert batch["status"] == "partial"
    assert batch["decisions"] == {"created": 3, "deferred": 1, "failed": 2}
    assert batch["failures"] == [
        {"decision": "failed", "reason": "bad_entry", "items": 2},
        {"decision": "deferred", "reason": "parent_missing", "items": 1},
    ]
    assert batch["manifest_sha256"] == batch["plan_sha256"]
    assert batch["manifest_summary"] is not None
    assert [job["state"] for job in batch["jobs"]] == ["done"]
    assert site.call("GET", f"/api/v1/batches/{UNKNOWN}").status == 404


def test_items_are_listed_in_the_order_of_the_manifest(world: World, site: Site) -> None:
    names = [f"p{i}" for i in range(7)]
    sync_id = world.put(*map(photo, names), cover("late", "unknown"), {"type": "photo", "hash": "bad"})
    world.import_all(site.context, sync_id)
    items = all_pages(site, f"/api/v1/batches/{sync_id}/items?limit=2")
    assert [item["hash"] for item in items] == [*map(md5, names), md5("late"), "#8"]
    assert items[0]["target_ids"] == {"asset_id": world.one("SELECT id FROM asset WHERE hash = %s", md5("p0"))}
    for decision, hashes in {"created": [*map(md5, names)], "failed": ["#8"], "deferred": [md5("late")]}.items():
        some = all_pages(site, f"/api/v1/batches/{sync_id}/items?limit=3&decision={decision}")
        assert [item["hash"] for item in some] == hashes
    assert site.get(f"/api/v1/batches/{sync_id}/items?decision=linked") == {"items": [], "next": None}
    assert site.call("GET", f"/api/v1/batches/{UNKNOWN}/items").status == 404


def test_items_no_longer_listed_are_left_out(world: World, site: Site) -> None:
    sync_id = put(world, site, photo("a"), photo("b"), {"type": "photo", "hash": "bad"})
    site.post(f"/api/v1/batches/{sync_id}/preflight")
    world.put(photo("b"), sync_id=sync_id)
    site.post(f"/api/v1/batches/{sync_id}/preflight")
    assert [item["hash"] for item in all_pages(site, f"/api/v1/batches/{sync_id}/items?limit=1")] == [md5("b")]
    assert site.get(f"/api/v1/batches/{sync_id}/items?decision=failed")["items"] == []


def test_events_are_listed_newest_first(world: World, site: Site) -> None:
    sync_id = world.put(photo("a"), photo("b"))
    world.import_all(site.context, sync_id, put(world, site, photo("z"), day=2))
    events = all_pages(site, f"/api/v1/batches/{sync_id}/events?limit=3")
    assert [(event["event_type"], event["payload"]) for event in reversed(events)] == world.events(sync_id)
    for unknown in (UNKNOWN, "x" * 100, "%C3%A4"):
        assert site.call("GET", f"/api/v1/batches/{unknown}/events").status == 404, unknown


def test_events_of_all_batches_are_filtered(world: World, site: Site) -> None:
    first, second = world.put(photo("a")), world.put(photo("b"), day=2)
    world.import_all(site.context, first, second)
    site.post("/api/v1/pause", {"reason": "lunch"})
    everything = world.sql("SELECT id, event_type FROM ingest_event ORDER BY id DESC")

    def found(query: str) -> list[tuple[int, str]]:
        return [(event["id"], event["event_type"]) for event in all_pages(site, f"/api/v1/events?limit=2&{query}")]

    assert found("") == everything
    assert found("type=item_created") == [row for row in everything if row[1] == "item_created"]
    of_first = found(f"sync_id={first.upper()}")
    assert [kind for _, kind in reversed(of_first)] == [kind for kind, _ in world.events(first)]
    assert {event["sync_id"] for event in all_pages(site, f"/api/v1/events?sync_id={first}")} == {first}
    (pause,) = site.get("/api/v1/events?by=olivia")["items"]
    assert (pause["event_type"], pause["sync_id"]) == ("queue_paused", None)
    assert found(f"above={everything[3][0]}") == everything[:3]
    assert found("since=2026-01-01T00:00:00%2B01:00") == everything
    assert found("since=2100-01-01T00:00:00Z") == found("type=unknown") == []
    assert site.call("GET", f"/api/v1/events?sync_id={UNKNOWN}").status == 404
    assert found("since=0001-01-01T00:00:00") == everything
    assert found("since=9999-12-31T23:59:59Z") == []
    for wrong in ("since=noon", "since=0001-01-01T00:00:00%2B01:00", "type=gr%C3%B6%C3%9Fe", "above=-1"):
        assert site.call("GET", f"/api/v1/events?{wrong}").status == 400, wrong


def test_batches_are_filtered_by_action_and_prefix(world: World, site: Site) -> None:
    first, second = put(world, site, photo("a")), put(world, site, photo("a"), action="update", day=2)
    third = put(world, site, photo("b"), source_host="tide_1", day=3)

    def found(query: str) -> list[str]:
        return [batch["sync_id"] for batch in all_pages(site, f"/api/v1/batches?limit=1&{query}")]

    assert found("action=update") == [second]
    assert found("action=create&status=new") == [third, first]
    assert found("action=create&status=failed") == []
    assert found(f"prefix={first[:13].upper()}") == [first]
    assert found("prefix=flux-") == [second, first]
    assert found("prefix=flux-&action=update&status=new") == [second]
    assert found("prefix=tide_") == [third]
    assert found("prefix=t%25") == found("prefix=t_de") == found("prefix=%C3%A4") == []


def test_jobs_are_listed_newest_first(world: World, site: Site) -> None:
    sync_ids = [world.put(photo(str(day)), day=day) for day in range(1, 5)]
    world.import_all(site.context, *sync_ids[:2])
    made = [site.post(f"/api/v1/batches/{sync_id}/queue").json for sync_id in sync_ids[2:]]
    assert [job["sync_id"] for job in all_pages(site, "/api/v1/jobs?limit=1")] == sync_ids[::-1]
    assert [job["sync_id"] for job in all_pages(site, "/api/v1/jobs?limit=1&state=queued")] == sync_ids[:1:-1]
    assert [job["sync_id"] for job in all_pages(site, "/api/v1/jobs?limit=1&state=done")] == sync_ids[1::-1]
    assert site.get("/api/v1/jobs?state=failed") == {"items": [], "next": None}
    assert site.get(f"/api/v1/jobs/{made[0]['id']}") == made[0]
    assert site.call("GET", "/api/v1/jobs/4294967296").status == 404
    assert site.send("GET", "/api/v1/jobs/1x").status == 404
