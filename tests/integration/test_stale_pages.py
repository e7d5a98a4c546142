"""Forms of a page that is no longer true do what the page said, or are refused with what is true by now."""

import pytest

from ingestd.errors import NotEligible, RemovalRefused
from ingestd.pipeline.cancelling import cancel
from ingestd.pipeline.queueing import QueueRequest, enqueue
from support.html import Element
from support.refusals import refused_events
from support.removals import entries, events, live, names
from support.web_client import Visitor, WebClient
from support.world import World, photo


@pytest.fixture
def queued(web_client: WebClient, olivia: Visitor) -> tuple[str, Element]:
    """A batch with a queued job, and its page as it is then."""
    sync_id = web_client.put(photo("a"))
    enqueue(web_client.context, QueueRequest(sync_id, "olivia"))
    return sync_id, olivia.see(f"/batches/{sync_id}")


def colleague_queues(world: World, web_client: WebClient, sync_id: str) -> int:
    """The job of the page ends, and another one is queued; its id."""
    assert world.run_next(web_client.context) == "done"
    world.put(photo("a"), photo("b"), sync_id=sync_id)
    world.scan(web_client.context)
    return enqueue(web_client.context, QueueRequest(sync_id, "oscar")).job.id


def test_the_job_of_somebody_else_is_not_cancelled(
    world: World, web_client: WebClient, olivia: Visitor, queued: tuple[str, Element]
) -> None:
    sync_id, page = queued
    other = colleague_queues(world, web_client, sync_id)
    shown = olivia.submit(page, f"/batches/{sync_id}/cancel")
    assert f"has ended; its active job is {other}" in shown.text
    assert world.one("SELECT state FROM import_job WHERE id = %s", other) == "queued"
    assert olivia.submit(shown, f"/batches/{sync_id}/cancel").one(class_="notice").text.startswith("The job was canc")


def test_a_retry_that_was_queued_by_somebody_is_not_cancelled(
    world: World, web_client: WebClient, olivia: Visitor
) -> None:
    sync_id = web_client.put(photo("a"))
    enqueue(web_client.context, QueueRequest(sync_id, "olivia"))
    with refused_events(world, "import_started"):
        world.run_next(web_client.context)
    page = olivia.see(f"/batches/{sync_id}")
    assert "Cancel retry" in page.buttons()
    other = enqueue(web_client.context, QueueRequest(sync_id, "oscar")).job.id
    assert f"its active job is {other}" in olivia.submit(page, f"/batches/{sync_id}/cancel").text
    assert world.one("SELECT state FROM import_job WHERE id = %s", other) == "queued"


def test_a_change_of_priority_queues_nothing(
    world: World, web_client: WebClient, olivia: Visitor, queued: tuple[str, Element]
) -> None:
    sync_id, page = queued
    world.run_next(web_client.context)
    shown = olivia.submit(page, f"/batches/{sync_id}/queue", priority="5")
    assert "has ended; the batch has no active job" in shown.text
    assert world.one("SELECT COUNT(*) FROM import_job") == 1


def test_the_priority_of_another_job_is_not_changed(
    world: World, web_client: WebClient, olivia: Visitor, queued: tuple[str, Element]
) -> None:
    sync_id, page = queued
    other = colleague_queues(world, web_client, sync_id)
    assert f"its active job is {other}" in olivia.submit(page, f"/batches/{sync_id}/queue", priority="5").text
    assert world.one("SELECT priority FROM import_job WHERE id = %s", other) == 100


@pytest.fixture
def growing(world: World, web_client: WebClient) -> str:
    """A held removal of 8 assets, of which 3 are in the library."""
    few = names(3)
    context = web_client.context
    assert world.import_all(context, world.put(*map(photo, few), day=1)) == ["done"]
    return world.put(*entries(names(8)), action="remove", day=9)


def grow(world: World, web_client: WebClient) -> None:
    """The other five are imported."""
    others = names(8)[3:]
    assert world.import_all(web_client.context, world.put(*map(photo, others), day=2)) == ["done"]


@pytest.mark.parametrize("status", ["held", "planned"])
def test_an_approval_allows_no_more_than_its_page_showed(
    world: World, web_client: WebClient, olivia: Visitor, growing: str, status: str
) -> None:
    address = f"/batches/{growing}"
    world.scan(web_client.context)
    olivia.post(f"{address}/preflight", {})
    ticked = {} if status == "held" else {"force": "1"}
    if status == "held":
        limited = world.context(queue={"removal_limit": 2})
        with pytest.raises(RemovalRefused):
            enqueue(limited, QueueRequest(growing, "tester"))
    page = olivia.see(address)
    grow(world, web_client)
    shown = olivia.submit(page, f"{address}/queue", **ticked)
    assert "would remove 8 assets by now, more than the 3 that were reviewed" in shown.text
    assert (world.run_next(web_client.context), live(world), events(world, growing, "removal_approved")) == (
        None,
        8,
        [],
    )
    olivia.submit(olivia.see(address), f"{address}/queue", **ticked)
    assert world.run_next(web_client.context) == "done"
    assert live(world) == 0


def test_force_allows_no_more_than_the_last_plan(world: World, web_client: WebClient, growing: str) -> None:
    limited = world.context(queue={"removal_limit": 2})
    world.scan(limited)
    with pytest.raises(RemovalRefused):
        enqueue(limited, QueueRequest(growing, "tester"))
    grow(world, web_client)
    with pytest.raises(NotEligible, match="8 assets by now, more than the 3"):
        enqueue(limited, QueueRequest(growing, "tester", force=True))
    assert live(world) == 8
    enqueue(limited, QueueRequest(growing, "tester", force=True))
    assert world.run_next(limited) == "done"
    assert live(world) == 0


def test_fewer_than_were_reviewed_are_approved(world: World, web_client: WebClient, growing: str) -> None:
    limited = world.context(queue={"removal_limit": 1})
    world.scan(limited)
    with pytest.raises(RemovalRefused):
        enqueue(limited, QueueRequest(growing, "tester"))
    assert world.import_all(limited, world.put(*entries(names(1)), action="remove", day=5)) == ["done"]
    enqueue(limited, QueueRequest(growing, "tester", force=True))
    assert world.run_next(limited) == "done"


def test_a_cancelled_job_is_named_by_its_id(world: World, web_client: WebClient, queued: tuple[str, Element]) -> None:
    sync_id, _ = queued
    (job_id,) = world.sql("SELECT id FROM import_job")[0]
    with pytest.raises(NotEligible, match=f"job {job_id + 1} of batch {sync_id} has ended"):
        cancel(web_client.context, sync_id, "olivia", job_id + 1)
    assert cancel(web_client.context, sync_id, "olivia", job_id).id == job_id
