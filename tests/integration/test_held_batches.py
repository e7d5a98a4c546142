"""A held batch as people and programs see it: pages, API, commands and metrics; and its approval there."""

import json

import pytest

from ingestd.errors import RemovalRefused
from ingestd.pipeline.cancelling import cancel
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.store.queries.live import live
from support.removals import entries, events
from support.web_client import Visitor, WebClient
from support.world import World, photo


@pytest.fixture
def held(world: World, web_client: WebClient) -> str:
    """A batch whose removal of three assets was refused."""
    names = ["a", "b", "c"]
    assert world.import_all(web_client.context, world.put(*map(photo, names), day=1)) == ["done"]
    sync_id = web_client.put(*entries(names), action="remove", day=2)
    with pytest.raises(RemovalRefused):
        enqueue(world.context(queue={"removal_limit": 2}), QueueRequest(sync_id, "tester"))
    return sync_id


def test_the_page_shows_the_counts_and_the_approval(world: World, olivia: Visitor, held: str) -> None:
    page = olivia.see(f"/batches/{held}")
    assert "This manifest would take 3 assets out of sight" in page.live("hold").text
    assert "Approve 3 assets and queue" in page.buttons()
    assert "Queue" not in page.buttons()
    assert "3 assets (nothing so far)" in page.live("details").text
    done = olivia.submit(page, f"/batches/{held}/queue")
    assert "was queued" in done.one(class_="notice").text
    assert events(world, held, "removal_approved") == [
        {"phase": "queue", "requested_by": "olivia", "assets": 3, "files": 0, "members": 0}
    ]
    assert world.status(held) == "queued"
    assert done.live("hold").text == ""


def test_a_viewer_cannot_approve(web_client: WebClient, held: str) -> None:
    page = web_client.visitor("the-viewer-token").see(f"/batches/{held}")
    assert "3 assets" in page.live("hold").text
    assert not [button for button in page.buttons() if "pprove" in button]


def test_lists_show_held_batches(olivia: Visitor, held: str) -> None:
    rows = olivia.see("/?status=held").rows()
    assert len(rows) == 1
    assert held in rows[0][1]
    assert "‖ held" in rows[0][4]
    assert "more than queue.removal_limit" in rows[0][4]


def test_several_batches_are_confirmed_without_the_held_one(olivia: Visitor, held: str) -> None:
    page = olivia.post("/confirm", {"sync_id": held}).page
    assert "it is held, and is approved on its own page" in page.one("main").text


def test_a_scrape_counts_held_batches(web_client: WebClient, held: str) -> None:
    assert web_client.context.db.read(live).batches["held"] == 1


def test_an_approval_is_recorded_once(world: World, web_client: WebClient, held: str) -> None:
    for _ in range(2):
        enqueue(web_client.context, QueueRequest(held, "tester", force=True))
    assert len(events(world, held, "removal_approved")) == 1
    assert world.one("SELECT last_error FROM ingest_batch WHERE sync_id = %s", held) is None


def test_a_batch_that_is_within_the_limit_by_now_has_no_error(world: World, web_client: WebClient, held: str) -> None:
    standing = "SELECT status, last_error FROM ingest_batch WHERE sync_id = %s"
    enqueue(web_client.context, QueueRequest(held, "tester"))
    assert world.sql(standing, held) == [("queued", None)]
    cancel(web_client.context, held, "tester")
    assert world.sql(standing, held) == [("ready", None)]


def deliver_more(world: World, held: str) -> None:
    """Another manifest, for four assets, which is held as well by the time that somebody acts."""
    context = world.context(queue={"removal_limit": 2})
    assert world.import_all(context, world.put(photo("d"), day=1)) == ["done"]
    world.put(*entries(["a", "b", "c", "d"]), sync_id=held, action="remove", day=2)
    world.scan(context)
    with pytest.raises(RemovalRefused):
        enqueue(context, QueueRequest(held, "tester"))


def test_a_page_approves_only_the_manifest_that_it_shows(world: World, olivia: Visitor, held: str) -> None:
    page = olivia.see(f"/batches/{held}")
    assert "Approve 3 assets and queue" in page.buttons()
    deliver_more(world, held)
    refused = olivia.submit(page, f"/batches/{held}/queue")
    assert "was delivered again meanwhile" in refused.text
    assert "Approve 4 assets and queue" in refused.buttons()
    assert events(world, held, "removal_approved") == []
    assert world.status(held) == "held"


def test_a_request_approves_only_the_manifest_that_it_names(world: World, web_client: WebClient, held: str) -> None:
    reviewed = world.one("SELECT manifest_sha256 FROM ingest_batch WHERE sync_id = %s", held)
    deliver_more(world, held)
    body = json.dumps({"force": True, "manifest_sha256": reviewed}).encode()
    headers = {"Authorization": "Bearer the-operator-token", "Content-Type": "application/json"}
    answer = web_client.send("POST", f"/api/v1/batches/{held}/queue", body, headers)
    assert (answer.status, "was delivered again meanwhile" in answer.text) == (409, True)
    assert events(world, held, "removal_approved") == []
