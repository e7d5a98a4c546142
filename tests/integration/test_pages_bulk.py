"""Actions on several selected batches: a confirmation that changes nothing, then one result for each."""

from typing import Any

import pytest

from ingestd.errors import DatabaseUnavailable
from ingestd.pipeline import queueing
from ingestd.pipeline.context import Context
from ingestd.web.pages import bulk
from support.html import Element
from support.wait import until
from support.web_client import UNKNOWN, Visitor, WebClient, serving, settings_of
from support.world import World, cover, md5, photo

TABLES = (
    "ingest_batch", "ingest_batch_item", "ingest_batch_tally", "ingest_batch_container", "import_job", "ingest_event",
    "ingest_control", "asset", "asset_file",
)  # fmt: skip


def state_of(world: World) -> list[tuple[Any, ...]]:
    return world.sql(f"CHECKSUM TABLE {', '.join(TABLES)}")


def results(page: Element) -> dict[str, str]:
    """The result of each batch."""
    return {row[0]: row[1] for row in page.rows()}


def refused(page: Element) -> dict[str, str]:
    """The batches that cannot be queued, with the reason."""
    (found,) = (element for element in page.all("ul", class_="ids") if element.all(class_="why"))
    return {row.one(class_="id").text: row.one(class_="why").text for row in found.all("li")}


def selected(page: Element) -> list[str]:
    """The batches that the button would queue."""
    return [element["value"] for element in page.all("input", type="hidden", name="sync_id")]


# confirmation


def test_the_confirmation_shows_what_would_be_queued(world: World, web_client: WebClient, olivia: Visitor) -> None:
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
    assert "1 of them already has a job: a new priority changes only that" in text
    assert "1 of them removes assets from the library" in text
    assert "3 batches with 5 items can be queued" in text
    assert "3 batches cannot be queued" in text
    assert selected(page) == [fresh, waiting, removing]
    why = refused(page)
    assert why.pop(invalid).startswith("it is invalid: verification")
    assert why == {UNKNOWN: "unknown batch", running: "its job is running"}
    assert "Queue 3 batches" in page.buttons()
    done = olivia.submit(page, "/queue", priority="7")
    assert done.one("h1").text == "2 of 3 queued"
    shown = results(done)
    assert list(shown) == [fresh, waiting, removing]
    assert shown[fresh].startswith("◷ queued job ")
    assert shown[fresh].endswith(", priority 7")
    assert shown[waiting].endswith(", priority 7 (already active)")
    assert world.sql("SELECT DISTINCT priority, requested_by FROM import_job WHERE state = 'queued'") == [(7, "olivia")]


def test_what_may_be_valid_by_now_can_be_queued(world: World, web_client: WebClient, olivia: Visitor) -> None:
    """Queueing checks it again: here its sentinel was away when its job ran."""
    sync_id = web_client.put(photo("a"))
    world.sql(
        "UPDATE ingest_batch SET status = 'invalid', invalid_basis = 'absence', last_error = 'away' WHERE sync_id = %s",
        sync_id,
    )
    page = olivia.post("/confirm", {"sync_id": [sync_id]}).page
    assert selected(page) == [sync_id]
    assert olivia.submit(page, "/queue").one("h1").text == "1 of 1 queued"
    assert world.status(sync_id) == "queued"


def test_one_batch_is_confirmed_in_the_singular(web_client: WebClient, olivia: Visitor) -> None:
    sync_id = web_client.put(photo("a"))
    page = olivia.post("/confirm", {"sync_id": sync_id}).page
    assert page.one("h1").text == "Queue 1 of 1 selected batch"
    assert "1 batch with 1 item can be queued" in page.one("main").text
    assert "Queue 1 batch" in page.buttons()
    assert "already has" not in page.one("main").text
    assert "removes" not in page.one("main").text
    assert "cannot be queued" not in page.one("main").text
    assert page.link("Back") == "/"


def test_no_button_if_no_batch_can_be_queued(web_client: WebClient, olivia: Visitor) -> None:
    page = olivia.post("/confirm", {"sync_id": [UNKNOWN, "ä", UNKNOWN.upper() + "f", "x" * 64]}).page
    assert page.one("h1").text == "Queue 0 of 4 selected batches"
    assert page.buttons() == ["Sign out"]
    assert len(refused(page)) == 4
    assert selected(page) == []


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


def test_selected_batches_are_queued_oldest_first(world: World, web_client: WebClient, olivia: Visitor) -> None:
    newest, middle, oldest = (web_client.put(photo(str(day)), day=day) for day in (3, 2, 1))
    page = olivia.post("/queue", {"sync_id": [newest, middle, oldest]}).page
    assert list(results(page)) == [newest, middle, oldest]
    rows = world.sql("SELECT b.sync_id FROM import_job j JOIN ingest_batch b ON b.id = j.batch_id ORDER BY j.id")
    assert [sync_id for (sync_id,) in rows] == [oldest, middle, newest]


@pytest.mark.parametrize(("priority", "shown"), [("", "priority 100"), ("7", "priority 7, items: deferred")])
def test_queueing_a_selected_batch_widens_its_job_for_some_items(
    world: World, web_client: WebClient, olivia: Visitor, priority: str, shown: str
) -> None:
    sync_id = web_client.put(photo("a"), cover("c", "unknown"))
    world.import_all(web_client.context, sync_id)
    olivia.post(f"/batches/{sync_id}/queue", {"only": "deferred"})
    page = olivia.post("/queue", {"sync_id": [sync_id], "priority": priority}).page
    assert results(page)[sync_id].endswith(f", {shown} (already active)")


def test_each_batch_has_a_result(world: World, web_client: WebClient, olivia: Visitor) -> None:
    first, second, third = (web_client.put(photo(name), day=day) for day, name in enumerate("abc", 1))
    invalid = web_client.put(photo("d"), verification={"passed": False})
    (world.root / f"sync/{third}.json").unlink()
    page = olivia.post("/queue", {"sync_id": [first, UNKNOWN, invalid, third, second, first]}).page
    assert page.one("h1").text == "2 of 5 queued"
    shown = results(page)
    assert list(shown) == [first, UNKNOWN, invalid, third, second]
    for sync_id in (first, second):
        job_id = world.one(
            "SELECT j.id FROM import_job j JOIN ingest_batch b ON b.id = j.batch_id WHERE sync_id = %s", sync_id
        )
        assert shown[sync_id] == f"◷ queued job {job_id}, priority 100"
        assert page.link(sync_id) == f"/batches/{sync_id}"
    assert shown[UNKNOWN].startswith(f"✕ refused there is no batch {UNKNOWN}")
    assert shown[invalid].startswith(f"✕ refused batch {invalid} is invalid: verification")
    assert shown[third].startswith("✕ refused ")
    assert len(web_client.woken) == 2
    again = olivia.post("/queue", {"sync_id": [first], "priority": "-5"}).page
    assert again.one("h1").text == "0 of 1 queued"
    assert results(again)[first].endswith(", priority -5 (already active)")


def test_too_many_removals_are_refused(world: World, web_client: WebClient, olivia: Visitor) -> None:
    world.import_all(web_client.context, world.put(photo("a"), photo("b"), day=1))
    sync_id = world.put(photo("a"), photo("b"), action="remove", day=2)
    with serving(world, settings_of(world, web_client.tokens.parent, queue={"removal_limit": 1})) as strict:
        world.scan(strict.context)
        page = strict.visitor("the-operator-token").post("/queue", {"sync_id": sync_id}).page
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


def test_results_are_shown_despite_an_outage(
    web_client: WebClient, olivia: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [web_client.put(photo(name), day=day) for day, name in enumerate("abcd", 1)]
    real, asked = queueing.enqueue, []

    def fail_at_the_second(context: Context, queue_request: queueing.QueueRequest, *more: Any) -> queueing.Queued:
        asked.append(queue_request.sync_id)
        if len(asked) == 2:
            raise DatabaseUnavailable("the database is out of reach")
        return real(context, queue_request, *more)

    monkeypatch.setattr(queueing, "enqueue", fail_at_the_second)
    answer = olivia.post("/queue", {"sync_id": ids})
    assert (answer.status, asked) == (200, ids[:2])
    shown = results(answer.page)
    assert shown[ids[0]].startswith("◷ queued")
    assert shown[ids[1]] == "✕ not done the database is out of reach"
    assert shown[ids[3]] == "✕ not done not tried: the database is out of reach; queue it again"
    assert answer.page.one("h1").text == "1 of 4 queued"
    assert [row["data-queued"] for row in answer.page.all("tr") if "data-queued" in row.attributes] == ids[:1]


def test_batches_beyond_the_time_limit_are_reported(
    web_client: WebClient, olivia: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [web_client.put(photo(name), day=day) for day, name in enumerate("ab", 1)]
    monkeypatch.setattr(bulk, "QUEUED_FOR", -1.0)
    answer = olivia.post("/queue", {"sync_id": ids})
    assert answer.status == 503
    assert set(results(answer.page).values()) == {"✕ not done not tried: the request ran out of time; queue it again"}


# pre-flight


def test_preflight_shows_a_plan_for_each(world: World, web_client: WebClient, olivia: Visitor) -> None:
    good = web_client.put(photo("a"), photo("b"), day=1)
    bad = web_client.put(photo("c"), {"type": "photo", "hash": "bad"}, day=2)
    invalid = web_client.put(photo("d"), verification={"passed": False})
    page = olivia.submit(olivia.see("/"), "/confirm", sync_id=[])
    assert "No batches selected" in page.one("main").text
    page = olivia.post("/preflight", {"sync_id": [good, bad, invalid, UNKNOWN, good]}).page
    assert page.one("h1").text == "Pre-flight"
    shown = results(page)
    assert list(shown) == [good, bad, invalid, UNKNOWN]
    assert shown[good] == "will create 2"
    assert "will create 1" in shown[bad]
    assert "will fail 1" in shown[bad]
    assert "invalid #1: hash: expected 32 lower-case hexadecimal digits" in shown[bad]
    assert "is invalid" in shown[invalid]
    assert shown[UNKNOWN].startswith("✕ refused there is no batch")
    assert set(world.decisions(good).values()) == {"will_create"}
    assert world.one("SELECT COUNT(*) FROM import_job") == 0


def is_planned(world: World, sync_id: str) -> bool:
    return bool(world.one("SELECT plan_sha256 IS NOT NULL FROM ingest_batch WHERE sync_id = %s", sync_id))


def test_large_batches_are_planned_in_the_background(
    world: World, web_client: WebClient, olivia: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    large, small = web_client.put(photo("a"), day=1), web_client.put(photo("b"), day=2)
    world.sql("UPDATE ingest_batch SET item_count = 5001 WHERE sync_id = %s", large)
    shown = results(olivia.post("/preflight", {"sync_id": [large, small]}).page)
    assert shown == {large: "◷ planning in the background", small: "will create 1"}
    until(lambda: is_planned(world, large))
    monkeypatch.setattr("ingestd.web.pages.bulk.PLANNED_FOR", 0)
    another = web_client.put(photo("c"), day=3)
    shown = results(olivia.post("/preflight", {"sync_id": [another, UNKNOWN]}).page)
    assert shown[another] == "◷ planning in the background"
    assert "there is no batch" in shown[UNKNOWN]
    until(lambda: is_planned(world, another))


def test_a_running_batch_is_not_planned(web_client: WebClient, olivia: Visitor) -> None:
    sync_id = web_client.put(photo("a"))
    olivia.post("/queue", {"sync_id": sync_id})
    web_client.run_job()
    shown = results(olivia.post("/preflight", {"sync_id": sync_id}).page)
    assert "is importing batch" in shown[sync_id]
    assert md5("a") not in shown[sync_id]
