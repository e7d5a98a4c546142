"""The page of the ledger: events of all batches as sentences, filtered, in pages."""

from ingestd.event_sentences import EVENT_TYPES
from ingestd.pipeline import pausing
from support.html import Element
from support.web_client import Visitor
from support.world import World, photo


def types(page: Element) -> list[str]:
    return [row.one("code").text for row in page.live("rows").all("tr") if row.all("code")]


def test_no_events(olivia: Visitor) -> None:
    page = olivia.see("/ledger")
    assert page.live("rows").text == "No events yet."
    assert olivia.see("/ledger?by=x").live("rows").text == "No events match these filters."


def test_events_of_all_batches_are_listed_as_sentences(world: World, olivia: Visitor) -> None:
    sync_id = world.put(photo("a"))
    world.import_all(world.context(), sync_id)
    page = olivia.see("/ledger")
    assert types(page) == [row[0] for row in world.sql("SELECT event_type FROM ingest_event ORDER BY id DESC")]
    newest = page.live("rows").all("tr")[0]
    assert newest.one("summary").text.endswith("finished: batch imported")
    assert '"phase": "job_finish"' in newest.one("pre").text
    assert newest.one("a").text == sync_id
    assert f"/ledger?sync_id={sync_id}" in [link["href"] for link in olivia.see(f"/batches/{sync_id}").all("a")]


def test_filters_and_pages(world: World, olivia: Visitor) -> None:
    context = world.context()
    ids = [world.put(photo(name), day=day) for day, name in enumerate("abc", 1)]
    world.import_all(context, *ids)
    pausing.pause(context, "olga", "lunch")
    assert types(olivia.see("/ledger?by=olga")) == ["queue_paused"]
    assert types(olivia.see("/ledger?type=item_created")) == ["item_created"] * 3
    assert types(olivia.see("/ledger?since=2100-01-01T00:00")) == []
    assert types(olivia.see(f"/ledger?type=item_created&sync_id={ids[0].upper()}")) == ["item_created"]
    page = olivia.see("/ledger?type=item_created&limit=2")
    assert types(page) == ["item_created"] * 2
    (following,) = [link["href"] for link in page.all("a") if link.text.startswith("Next page")]
    assert types(olivia.see(following)) == ["item_created"]
    assert {option.text for option in page.all("option")} == {"any", *EVENT_TYPES}


def test_a_filter_that_is_wrong_or_names_no_batch(olivia: Visitor) -> None:
    wrong = olivia.get("/ledger?since=yesterday")
    assert (wrong.status, "since" in wrong.text) == (400, True)
    assert olivia.get("/ledger?sync_id=00000000-0000-4000-8000-000000000000").status == 404
