"""Actions on the page of one batch: queue, cancel and pre-flight."""

import json

import pytest

from support.html import Element
from support.wait import until
from support.web_client import Visitor, WebClient, serving, settings_of
from support.world import World, cover, photo

BAD = {"type": "photo", "hash": "bad"}


def can(page: Element, sync_id: str) -> set[str]:
    """The actions that the page offers for its batch."""
    return {what for what in ("queue", "cancel", "preflight") if page.form(f"/batches/{sync_id}/{what}")}


def names_in(page: Element, form: str) -> set[str]:
    found = page.form(form)
    assert found is not None
    return {element["name"] for element in found.walk() if "name" in element.attributes}


def test_offered_actions_depend_on_the_job(world: World, web_client: WebClient, olivia: Visitor) -> None:
    sync_id = web_client.put(photo("a"))
    address, queue = f"/batches/{sync_id}", f"/batches/{sync_id}/queue"
    page = olivia.see(address)
    assert can(page, sync_id) == {"queue", "preflight"}
    assert names_in(page, queue) == {"priority", "only"}
    assert page.one("input", name="priority")["placeholder"] == "100"
    olivia.submit(page, queue, priority="7")
    page = olivia.see(address)
    assert can(page, sync_id) == {"queue", "cancel", "preflight"}
    assert names_in(page, queue) == {"priority", "job_id"}
    assert page.one("input", name="priority")["placeholder"] == "7"
    web_client.run_job()
    page = olivia.see(address)
    assert can(page, sync_id) == {"preflight"}
    assert "is running. Only stopping the service stops it" in page.live("actions").text
    assert not [button for button in page.buttons() if "Cancel" in button]
    theirs = web_client.visitor("the-viewer-token").see(address)
    assert can(theirs, sync_id) == set()
    assert theirs.buttons() == ["Sign out", "Filter"]
    assert not [element for element in theirs.walk() if element.attributes.get("data-live") == "actions"]


def test_a_batch_is_queued_from_its_page(world: World, web_client: WebClient, olivia: Visitor) -> None:
    sync_id = web_client.put(photo("a"))
    address = f"/batches/{sync_id}"
    page = olivia.submit(olivia.see(address), f"{address}/queue", priority="12", only="")
    assert page.one(class_="notice").text.startswith("The batch was queued.")
    assert world.sql("SELECT state, priority FROM import_job") == [("queued", 12)]
    assert page.live("standing").text.startswith("Status: ◷ queued")
    again = olivia.submit(page, f"{address}/queue", priority="3")
    assert again.one(class_="notice").text.startswith("The batch already has an active job")
    same = olivia.submit(again, f"{address}/queue", priority="")
    assert same.one(class_="notice").text.startswith("The batch already has an active job")
    assert world.sql("SELECT state, priority FROM import_job") == [("queued", 3)]
    cancelled = olivia.submit(same, f"{address}/cancel")
    assert cancelled.one(class_="notice").text == "The job was cancelled."
    assert can(cancelled, sync_id) == {"queue", "preflight"}
    who = [payload["requested_by"] for _, payload in world.events(sync_id) if "requested_by" in payload]
    assert who == ["olivia"] * 3
    assert len(web_client.woken) == 3


def test_only_deferred_items_can_be_queued(world: World, web_client: WebClient, olivia: Visitor) -> None:
    sync_id = world.put(photo("a"), cover("c", "gone"))
    world.import_all(web_client.context, sync_id)
    address = f"/batches/{sync_id}"
    answer = olivia.post(f"{address}/queue", {"only": "failed"})
    assert (answer.status, answer.page.one(role="alert").text) == (
        409,
        f"batch {sync_id} has no failed items or containers",
    )
    olivia.submit(olivia.see(address), f"{address}/queue", only="deferred")
    assert world.one("SELECT scope FROM import_job WHERE state = 'queued'") == "deferred"


def test_removals_above_the_limit_need_force(world: World, web_client: WebClient) -> None:
    world.import_all(web_client.context, world.put(photo("a"), photo("b"), day=1))
    sync_id = web_client.put(photo("a"), photo("b"), action="remove", day=2)
    address = f"/batches/{sync_id}"
    with serving(world, settings_of(world, web_client.tokens.parent, queue={"removal_limit": 1})) as strict:
        check_force_is_needed(strict.visitor("the-operator-token"), sync_id, address)


def check_force_is_needed(olivia: Visitor, sync_id: str, address: str) -> None:
    page = olivia.see(address)
    assert names_in(page, f"{address}/queue") == {"priority", "only", "force", "manifest_sha256"}
    answer = olivia.post(f"{address}/queue")
    assert answer.status == 409
    assert "removal_limit = 1" in answer.page.one(role="alert").text
    assert can(answer.page, sync_id) == {"queue", "preflight"}
    forced = olivia.submit(answer.page, f"{address}/queue", force="1")
    assert "was queued" in forced.one(class_="notice").text


@pytest.mark.parametrize(("what", "why"), [("cancel", "has no job to cancel"), ("queue", "is invalid: verification"),
                                           ("preflight", "is invalid: verification")])  # fmt: skip
def test_a_conflict_is_shown_on_the_page_of_the_batch(
    web_client: WebClient, olivia: Visitor, what: str, why: str
) -> None:
    sync_id = web_client.put(photo("a"), verification={"passed": False})
    answer = olivia.post(f"/batches/{sync_id}/{what}")
    assert answer.status == 409
    assert why in answer.page.one(role="alert").text
    assert answer.page.one("h1").text == f"Batch {sync_id}"
    assert can(answer.page, sync_id) == {"queue", "preflight"}
    for accept in ("*/*", "application/json"):
        problem = olivia.post(f"/batches/{sync_id}/{what}", {}, {"Accept": accept})
        assert (problem.status, problem.kind) == (409, "application/problem+json")
        assert why in json.loads(problem.body)["detail"]


def test_a_running_job_cannot_be_cancelled_or_planned(web_client: WebClient, olivia: Visitor) -> None:
    sync_id = web_client.put(photo("a"))
    olivia.post(f"/batches/{sync_id}/queue")
    web_client.run_job()
    for what, why in {"cancel": "is running; only stopping the service", "preflight": "is importing batch"}.items():
        answer = olivia.post(f"/batches/{sync_id}/{what}")
        assert answer.status == 409
        assert why in answer.page.one(role="alert").text
    answer = olivia.post(f"/batches/{sync_id}/queue")
    assert (answer.status, answer.headers["Location"]) == (303, f"/batches/{sync_id}?notice=active")


def test_preflight_shows_the_plan(world: World, web_client: WebClient, olivia: Visitor) -> None:
    sync_id = web_client.put(photo("a"), BAD)
    page = olivia.submit(olivia.see(f"/batches/{sync_id}"), f"/batches/{sync_id}/preflight")
    plan = page.section("plan")
    assert "do with 2 items now" in plan.text
    assert {item.text for item in plan.one("ul", class_="tally").all("li")} == {"will create 1", "will fail 1"}
    assert "#1" in plan.one("ul", class_="ids").text
    assert [row[3] for row in page.live("items").rows()] == ["will create", "will failbad_entry"]
    assert olivia.see(f"/batches/{sync_id}").all("h2", id="plan") == []


def test_a_large_batch_is_planned_in_the_background(world: World, web_client: WebClient, olivia: Visitor) -> None:
    sync_id = web_client.put(photo("a"))
    world.sql("UPDATE ingest_batch SET item_count = 5001")
    page = olivia.submit(olivia.see(f"/batches/{sync_id}"), f"/batches/{sync_id}/preflight")
    assert page.one(class_="notice").text.startswith("Planning continues in the background")
    assert page.all("h2", id="plan") == []
    until(lambda: olivia.see(f"/batches/{sync_id}").live("details").pairs()["Plan"] == "up to date")


def test_a_failed_background_plan_shows_its_error(world: World, web_client: WebClient, olivia: Visitor) -> None:
    sync_id = web_client.put(photo("a"))
    world.sql("UPDATE ingest_batch SET item_count = 5001")
    world.put(photo("a"), sync_id=sync_id, verification={"passed": False})
    olivia.post(f"/batches/{sync_id}/preflight")
    until(lambda: "is invalid" in olivia.see(f"/batches/{sync_id}").live("details").pairs()["Plan"])


def test_links_and_forms_on_a_result_page_are_absolute(web_client: WebClient, olivia: Visitor) -> None:
    """The result of a form is shown at an address that accepts POST only, so nothing on it is relative."""
    sync_id = web_client.put(photo("a"))
    for what in ("preflight", "queue", "cancel"):
        page = olivia.submit(olivia.see(f"/batches/{sync_id}"), f"/batches/{sync_id}/{what}")
        for form in page.all("form", method="get"):
            assert form["action"].startswith(f"/batches/{sync_id}"), what
        for link in page.all("a"):
            assert link["href"].startswith("/") or link["href"] == "#main"
