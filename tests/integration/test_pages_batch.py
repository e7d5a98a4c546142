"""The page of one batch: details, manifest, items, containers, jobs and events."""

import json
from typing import Any

from ingestd.event_sentences import sentence
from support.web_client import UNKNOWN, Visitor, WebClient
from support.world import World, cover, md5, photo

BAD = {"type": "photo", "hash": "bad"}
WHEN = "DATE_FORMAT({}, '%%Y-%%m-%%d %%H:%%i:%%s UTC')"


def gallery(name: str, *members: str) -> dict[str, Any]:
    return {"type": "gallery", "hash": md5(name), "title": name, "items": [md5(member) for member in members]}


def test_details_of_an_imported_batch(world: World, web_client: WebClient, olivia: Visitor) -> None:
    sync_id = world.put(photo("a", files=2), photo("b"), source_host="flux-7", type="concert")
    world.import_all(web_client.context, sync_id)
    page = olivia.see(f"/batches/{sync_id}")
    times = [world.one(f"SELECT {WHEN.format(what)} FROM ingest_batch")
             for what in ("discovered_at", "started_at", "completed_at")]  # fmt: skip
    digest = world.one("SELECT manifest_sha256 FROM ingest_batch")
    assert list(page.live("details").pairs().items()) == [
        ("Type", "concert"), ("Action", "create"), ("Status", "✓ imported"), ("Items", "2"), ("Bytes", "31 Bytes"),
        ("Source host", "flux-7"), ("Manifest sha256", digest), ("Plan", "up to date"),
        *zip(("Discovered", "Started", "Completed"), times, strict=True),
    ]  # fmt: skip
    assert page.one("h1").text == f"Batch {sync_id}"
    assert page.live("standing").text.startswith("Status: ✓ imported; action: create.")
    assert page.section("decisions").one("ul").text == "created 2"
    assert page.live("failures").text == "No failed or deferred items."


def test_a_batch_without_a_plan_has_placeholders(web_client: WebClient, olivia: Visitor, world: World) -> None:
    sync_id = web_client.put(photo("a"))
    page = olivia.see(f"/batches/{sync_id}")
    assert page.live("details").pairs()["Plan"] == "none"
    assert page.live("jobs").rows() == [["This batch has never been queued."]]
    assert page.live("items").rows() == [["No items yet. A pre-flight reads them from the manifest."]]
    assert page.section("decisions").one("ul").text == "none"
    assert not [section for section in page.all("section") if section.all("h2", id="containers")]
    world.sql("UPDATE ingest_batch SET plan_sha256 = REPEAT('0', 64)")
    assert olivia.see(f"/batches/{sync_id}").live("details").pairs()["Plan"] == "outdated: made for another manifest"


def test_a_batch_with_an_unreadable_manifest(web_client: WebClient, olivia: Visitor, world: World) -> None:
    world.sql(
        "INSERT INTO ingest_batch (sync_id, status, last_error, discovered_at)"
        " VALUES (%s, 'invalid', 'not JSON', UTC_TIMESTAMP(6))", UNKNOWN,
    )  # fmt: skip
    page = olivia.see(f"/batches/{UNKNOWN}")
    assert page.section("manifest").one("p").text == "The manifest could not be read."
    assert page.live("standing").text == "Status: ✕ invalid; action: unknown. not JSON"
    assert page.live("details").pairs()["Type"] == "–"


def test_the_manifest_summary_is_flattened(world: World, web_client: WebClient, olivia: Visitor) -> None:
    sync_id = web_client.put(photo("a"))
    summary = {"n": 1, "deep": {"er": {"yes": True, "none": None}, "list": [1, {"a": "ö"}]}, "text": "x y", "empty": {}}
    world.sql("UPDATE ingest_batch SET manifest_summary = %s", json.dumps(summary))
    pairs = olivia.see(f"/batches/{sync_id}").section("manifest").pairs()
    assert pairs.pop("deep.list") == '[1,{"a":"ö"}]'
    assert pairs == {
        "n": "1",
        "deep.er.yes": "true",
        "deep.er.none": "null",
        "text": "x y",
    }
    world.sql("UPDATE ingest_batch SET manifest_summary = NULL")
    assert olivia.see(f"/batches/{sync_id}").section("manifest").all("dl") == []


def test_items_show_their_reason_and_error(world: World, web_client: WebClient, olivia: Visitor) -> None:
    sync_id = world.put(photo("a"), cover("c", "gone"), BAD)
    world.import_all(web_client.context, sync_id)
    page = olivia.see(f"/batches/{sync_id}")
    asset_id = world.one("SELECT id FROM asset WHERE deleted_at IS NULL")
    first, second, third = page.live("items").rows()
    assert first[:6] == ["photo", md5("a"), "–", "created", f"asset_id: {asset_id}", "–"]
    assert (second[0], second[1]) == ("cover", md5("c"))
    assert second[3] == f"◷ deferredparent_missingwaiting for {md5('gone')}"
    assert third[1:2] == ["#2"]
    assert "expected 32 lower-case" in third[5]
    assert page.live("failures").rows() == [["◷ deferred", "parent_missing", "1"], ["✕ failed", "bad_entry", "1"]]
    assert page.link("✕ failed") == f"/batches/{sync_id}?decision=failed#items"
    options = [option.text for option in page.one("select", name="decision").all("option")]
    assert {"any", "created (1)", "deferred (1)", "failed (1)", "linked"} <= set(options)


def test_items_are_filtered_and_paged(world: World, web_client: WebClient, olivia: Visitor) -> None:
    names = [f"p{number}" for number in range(7)]
    sync_id = world.put(*map(photo, names), BAD, {**BAD, "title": "another"})
    world.import_all(web_client.context, sync_id)
    for query, wanted in {
        "": [*map(md5, names), "#7", "#8"],
        "limit=2": [*map(md5, names), "#7", "#8"],
        "limit=3&decision=created": [*map(md5, names)],
        "limit=1&decision=failed": ["#7", "#8"],
    }.items():
        found, pages, address = [], [], f"/batches/{sync_id}?{query}"
        while address is not None:
            pages.append(olivia.see(address))
            found += [row[1] for row in pages[-1].live("items").rows()]
            address = pages[-1].link("Next page »")  # type: ignore[assignment]
            assert address is None or address.endswith("#items")
            address = address and address.partition("#")[0]
        assert found == wanted, query
        assert pages[0].link("« First page") is None
        if len(pages) > 1:
            back = pages[-1].link("« First page")
            assert back is not None
            assert olivia.see(back.partition("#")[0]).live("items").rows() == pages[0].live("items").rows()
    page = olivia.see(f"/batches/{sync_id}?decision=linked")
    assert page.live("items").rows() == [["No items are linked."]]
    assert page.one("select", name="decision").one("option", selected="")["value"] == "linked"


def test_containers_show_their_missing_members(world: World, web_client: WebClient, olivia: Visitor) -> None:
    sync_id = world.put(photo("a"), containers=[gallery("g", "a", "gone", "lost")])
    world.import_all(web_client.context, sync_id)
    (row,) = olivia.see(f"/batches/{sync_id}").live("containers").rows()
    assert (row[0], row[1]) == ("gallery", md5("g"))
    assert row[3] == "2"


def test_the_newest_events_are_listed_with_their_payloads(world: World, web_client: WebClient, olivia: Visitor) -> None:
    sync_id = world.put(*(photo(str(number)) for number in range(60)))
    world.import_all(web_client.context, sync_id)
    ledger = world.events(sync_id)
    assert len(ledger) > 60
    rows = olivia.see(f"/batches/{sync_id}").live("events").all("tr")
    assert [(row.one("code").text, json.loads(row.one("pre").raw)) for row in rows] == ledger[:-51:-1]
    assert [row.one("summary").text for row in rows] == [sentence(*event) for event in ledger[:-51:-1]]


def test_jobs_are_listed_newest_first(world: World, web_client: WebClient, olivia: Visitor) -> None:
    sync_id = web_client.put(photo("a"))
    for _ in range(2):
        olivia.post(f"/batches/{sync_id}/queue")
        olivia.post(f"/batches/{sync_id}/cancel")
    olivia.post(f"/batches/{sync_id}/queue", {"priority": "4"})
    rows = olivia.see(f"/batches/{sync_id}").live("jobs").rows()
    ids = [str(job_id) for (job_id,) in world.sql("SELECT id FROM import_job ORDER BY id DESC")]
    assert [row[0] for row in rows] == ids
    assert [row[1] for row in rows] == ["◷ queued", "– cancelled", "– cancelled"]
    assert {row[2] for row in rows} == {"olivia"}
