"""What is done with several ticked batches: a look that changes nothing, then a result for each."""

from typing import Any

import pytest

from ingestd.errors import DatabaseUnavailable
from ingestd.pipeline import queueing
from ingestd.pipeline.context import Context
from ingestd.web.pages import bulk
from support.html import Element
from support.wait import until
from support.web_client import UNKNOWN, Visitor, WebClient, serving, settings_of
from support.world import World, md5, photo

TABLES = (
    "ingest_batch", "ingest_batch_item", "ingest_batch_tally", "ingest_batch_container", "import_job", "ingest_event",
    "ingest_control", "asset", "asset_file",
)  # fmt: skip


def state_of(world: World) -> list[tuple[Any, ...]]:
    return world.sql(f"CHECKSUM TABLE {', '.join(TABLES)}")


def results(page: Element) -> dict[str, str]:
    """What became of each batch."""
    return {row[0]: row[1] for row in page.rows()}


def refused(page: Element) -> dict[str, str]:
    """Those that cannot be queued, and why."""
    (found,) = (element for element in page.all("ul", class_="ids") if element.all(class_="why"))
    return {row.one(class_="id").text: row.one(class_="why").text for row in found.all("li")}


def ticked(page: Element) -> list[str]:
    """What the button would queue."""
    return [element["value"] for element in page.all("input", type="hidden", name="sync_id")]


# a look at what would happen


def test_queueing_is_confirmed(world: World, web_client: WebClient, olivia: Visitor) -> None:
    world.import_all(web_client.context, world.put(photo("x"), day=1))
    running, waiting = (web_client.put(photo(name), day=day) for day, name in enumerate("ab", 2))
    olivia.post("/queue", {"sync_id": [running]})
    web_client.run_job()
    olivia.post("/queue", {"sync_id": [waiting]})
    fresh = web_client.put(photo("c"), photo("d"), photo("e"), day=4)
    removing = web_client.put(photo("x"), action="remove", day=5)
    invalid = web_client.put(photo("f"), verification={"passed": False})
    before = state_of(world)
    every = [fresh, waiting, UNKNOWN, removing, invalid, running, fresh, waiting]
    page = olivia.submit(olivia.see("/"), "/confirm", sync_id=every)
    assert state_of(world) == before
    assert page.one("h1").text == "Queue 3 of 6 selected batches"
    text = page.one("main").text
    assert "1 of them has a job already, which only gets the priority that you choose." in text
    assert "1 of them removes assets from the library" in text
    assert "The 3 that can be queued: 5 items" in text
    assert "3 cannot be queued" in text
    assert ticked(page) == [fresh, waiting, removing]
    why = refused(page)
    assert why.pop(invalid).startswith("it is invalid: verification")
    assert why == {UNKNOWN: "there is no such batch", running: "its job is running"}
    assert "Queue 3 batches" in page.buttons()
    done = olivia.submit(page, "/queue", priority="7")
    assert done.one("h1").text == "2 of 3 queued"
    told = results(done)
    assert list(told) == [fresh, waiting, removing]
    assert told[fresh].startswith("◷ queued job ")
    assert told[fresh].endswith(", priority 7")
    assert told[waiting].endswith(", priority 7 (it was active already)")
    assert world.sql("SELECT DISTINCT priority, requested_by FROM import_job WHERE state = 'queued'") == [(7, "olivia")]


def test_one_is_confirmed_in_the_singular(web_client: WebClient, olivia: Visitor) -> None:
    sync_id = web_client.put(photo("a"))
    page = olivia.post("/confirm", {"sync_id": sync_id}).page
    assert page.one("h1").text == "Queue 1 of 1 selected batch"
    assert "Queue 1 batch" in page.buttons()
    assert "already" not in page.one("main").text
    assert "removes" not in page.one("main").text
    assert "cannot be queued" not in page.one("main").text
    assert page.link("Back") == "/"


def test_what_cannot_be_queued_offers_no_button(web_client: WebClient, olivia: Visitor) -> None:
    page = olivia.post("/confirm", {"sync_id": [UNKNOWN, "ä", UNKNOWN.upper() + "f", "x" * 64]}).page
    assert page.one("h1").text == "Queue 0 of 4 selected batches"
    assert page.buttons() == ["Sign out"]
    assert len(refused(page)) == 4
    assert ticked(page) == []


def test_hundreds_are_confirmed_and_queued_at_once(world: World, web_client: WebClient, olivia: Visitor) -> None:
    world.sql(
        "INSERT INTO ingest_batch (sync_id, status, item_count, discovered_at)"
        " SELECT LPAD(seq, 36, '0'), 'invalid', 1, UTC_TIMESTAMP(6) FROM seq_1_to_500"
    )
    every = [f"{number:036}" for number in range(1, 501)]
    assert len(refused(olivia.post("/confirm", {"sync_id": every}).page)) == 500
    assert len(refused(olivia.post("/confirm", {"sync_id": [*every, *every[:9]]}).page)) == 500
    assert len(results(olivia.post("/queue", {"sync_id": every}).page)) == 500


# queue


def test_every_batch_has_its_result(world: World, web_client: WebClient, olivia: Visitor) -> None:
    first, second, third = (web_client.put(photo(name), day=day) for day, name in enumerate("abc", 1))
    invalid = web_client.put(photo("d"), verification={"passed": False})
    (world.root / f"sync/{third}.json").unlink()
    page = olivia.post("/queue", {"sync_id": [first, UNKNOWN, invalid, third, second, first]}).page
    assert page.one("h1").text == "2 of 5 queued"
    told = results(page)
    assert list(told) == [first, UNKNOWN, invalid, third, second]
    for sync_id in (first, second):
        job_id = world.one(
            "SELECT j.id FROM import_job j JOIN ingest_batch b ON b.id = j.batch_id WHERE sync_id = %s", sync_id
        )
        assert told[sync_id] == f"◷ queued job {job_id}, priority 100"
        assert page.link(sync_id) == f"/batches/{sync_id}"
    assert told[UNKNOWN].startswith(f"✕ refused there is no batch {UNKNOWN}")
    assert told[invalid].startswith(f"✕ refused batch {invalid} is invalid: verification")
    assert told[third].startswith("✕ refused ")
    assert len(web_client.woken) == 2
    again = olivia.post("/queue", {"sync_id": [first], "priority": "-5"}).page
    assert again.one("h1").text == "0 of 1 queued"
    assert results(again)[first].endswith(", priority -5 (it was active already)")


def test_too_many_removals_are_refused(world: World, web_client: WebClient, olivia: Visitor) -> None:
    world.import_all(web_client.context, world.put(photo("a"), photo("b"), day=1))
    sync_id = world.put(photo("a"), photo("b"), action="remove", day=2)
    with serving(world, settings_of(world, web_client.tokens.parent, queue={"removal_limit": 1})) as strict:
        world.scan(strict.context)
        page = strict.visitor("operator-token").post("/queue", {"sync_id": sync_id}).page
    assert "removal_limit = 1" in results(page)[sync_id]


def test_without_the_mount_nothing_is_queued(world: World, web_client: WebClient, olivia: Visitor) -> None:
    sync_id = web_client.put(photo("a"))
    world.root.rename(world.root.with_name("elsewhere"))
    for path in ("/queue", "/preflight", f"/batches/{sync_id}/queue", f"/batches/{sync_id}/preflight"):
        answer = olivia.post(path, {"sync_id": sync_id} if path.count("/") == 1 else {})
        assert answer.status == 503
        assert "mount" in answer.page.one("main").text
        assert answer.headers["Retry-After"]
    assert sync_id in olivia.see("/").text


def test_an_outage_in_the_middle_hides_no_result(
    web_client: WebClient, olivia: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [web_client.put(photo(name), day=day) for day, name in enumerate("abcd", 1)]
    real, asked = queueing.queue_and_notify, []

    def fail_at_the_second(context: Context, wish: queueing.Request, *more: Any) -> queueing.Queued:
        asked.append(wish.sync_id)
        if len(asked) == 2:
            raise DatabaseUnavailable("the database is out of reach")
        return real(context, wish, *more)

    monkeypatch.setattr(queueing, "queue_and_notify", fail_at_the_second)
    answer = olivia.post("/queue", {"sync_id": ids})
    assert (answer.status, asked) == (200, ids[:2])
    told = results(answer.page)
    assert told[ids[0]].startswith("◷ queued")
    assert told[ids[1]] == "✕ not done the database is out of reach"
    assert told[ids[3]] == "✕ not done not tried: the database is out of reach; queue it again"
    assert answer.page.one("h1").text == "1 of 4 queued"
    assert [row["data-queued"] for row in answer.page.all("tr") if "data-queued" in row.attributes] == ids[:1]


def test_what_takes_too_long_is_left_and_said(
    web_client: WebClient, olivia: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [web_client.put(photo(name), day=day) for day, name in enumerate("ab", 1)]
    monkeypatch.setattr(bulk, "QUEUED_FOR", -1.0)
    answer = olivia.post("/queue", {"sync_id": ids})
    assert answer.status == 503
    assert set(results(answer.page).values()) == {"✕ not done not tried: the others took too long; queue it again"}


# pre-flight


def test_several_are_planned(world: World, web_client: WebClient, olivia: Visitor) -> None:
    good = web_client.put(photo("a"), photo("b"), day=1)
    bad = web_client.put(photo("c"), {"type": "photo", "hash": "bad"}, day=2)
    invalid = web_client.put(photo("d"), verification={"passed": False})
    page = olivia.submit(olivia.see("/"), "/confirm", sync_id=[])
    assert "No batch is selected" in page.one("main").text
    page = olivia.post("/preflight", {"sync_id": [good, bad, invalid, UNKNOWN, good]}).page
    assert page.one("h1").text == "Pre-flight"
    told = results(page)
    assert list(told) == [good, bad, invalid, UNKNOWN]
    assert told[good] == "will create 2"
    assert "will create 1" in told[bad]
    assert "will fail 1" in told[bad]
    assert "invalid #1: hash: expected 32 lower-case hexadecimal digits" in told[bad]
    assert "is invalid" in told[invalid]
    assert told[UNKNOWN].startswith("✕ refused there is no batch")
    assert set(world.decisions(good).values()) == {"will_create"}
    assert world.one("SELECT COUNT(*) FROM import_job") == 0


def is_planned(world: World, sync_id: str) -> bool:
    return bool(world.one("SELECT plan_sha256 IS NOT NULL FROM ingest_batch WHERE sync_id = %s", sync_id))


def test_what_takes_too_long_is_planned_in_the_background(
    world: World, web_client: WebClient, olivia: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    large, small = web_client.put(photo("a"), day=1), web_client.put(photo("b"), day=2)
    world.sql("UPDATE ingest_batch SET item_count = 5001 WHERE sync_id = %s", large)
    told = results(olivia.post("/preflight", {"sync_id": [large, small]}).page)
    assert told == {large: "◷ being planned in the background", small: "will create 1"}
    until(lambda: is_planned(world, large))
    monkeypatch.setattr("ingestd.web.pages.bulk.PLANNED_FOR", 0)
    another = web_client.put(photo("c"), day=3)
    told = results(olivia.post("/preflight", {"sync_id": [another, UNKNOWN]}).page)
    assert told[another] == "◷ being planned in the background"
    assert "there is no batch" in told[UNKNOWN]
    until(lambda: is_planned(world, another))


def test_a_running_batch_is_not_planned(web_client: WebClient, olivia: Visitor) -> None:
    sync_id = web_client.put(photo("a"))
    olivia.post("/queue", {"sync_id": sync_id})
    web_client.run_job()
    told = results(olivia.post("/preflight", {"sync_id": sync_id}).page)
    assert "is importing batch" in told[sync_id]
    assert md5("a") not in told[sync_id]
