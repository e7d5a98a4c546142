"""Failed batches that are retried, as the API and the pages show them."""

import json
from functools import partial

from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.store.queries import live
from support.refusals import refused_events
from support.web_client import Visitor, WebClient
from support.world import World, photo

WHEN = "SELECT DATE_FORMAT(retry_at, '%%Y-%%m-%%d %%H:%%i:%%s UTC') FROM ingest_batch"


def failed(world: World, web_client: WebClient) -> str:
    sync_id = web_client.put(photo("a"))
    enqueue(web_client.context, QueueRequest(sync_id, "olivia"))
    with refused_events(world, "import_started"):
        world.run_next(web_client.context)
    return sync_id


def test_the_pages_say_when_a_failed_batch_is_queued_again(
    world: World, web_client: WebClient, olivia: Visitor
) -> None:
    sync_id = failed(world, web_client)
    when = world.one(WHEN)
    standing = olivia.see(f"/batches/{sync_id}").live("standing").text
    assert standing.startswith("Status: ✕ failed; action: create.")
    assert standing.endswith(f"Failed 1 time in a row. Queued again at {when}.")
    assert "the site refuses it" in standing
    assert f"queued again at {when}" in olivia.see("/").one("tbody").text


def test_the_retry_can_be_cancelled_on_the_page(world: World, web_client: WebClient, olivia: Visitor) -> None:
    sync_id = failed(world, web_client)
    assert "Cancel retry" in olivia.see(f"/batches/{sync_id}").live("actions").text
    assert olivia.post(f"/batches/{sync_id}/cancel", {}).status == 303
    page = olivia.see(f"/batches/{sync_id}")
    assert "Cancel" not in page.live("actions").text
    assert page.live("standing").text.endswith("Failed 1 time in a row. Not queued again automatically.")
    assert olivia.post(f"/batches/{sync_id}/cancel", {}).status == 409


def test_the_api_has_the_time_and_the_number(world: World, web_client: WebClient) -> None:
    sync_id = failed(world, web_client)
    bearer = {"Authorization": "Bearer the-operator-token"}
    found = json.loads(web_client.send("GET", f"/api/v1/batches/{sync_id}", headers=bearer).body)
    assert (found["status"], found["failure_count"]) == ("failed", 1)
    assert found["retry_at"].endswith("Z")
    (job,) = found["jobs"]
    assert (job["state"], job["release_count"]) == ("failed", 0)
    headers = {**bearer, "Content-Type": "application/json"}
    assert web_client.send("POST", f"/api/v1/batches/{sync_id}/cancel", b"{}", headers).status == 200
    found = json.loads(web_client.send("GET", f"/api/v1/batches/{sync_id}", headers=bearer).body)
    assert (found["status"], found["retry_at"]) == ("failed", None)


def test_batches_that_failed_in_every_retry_are_counted(world: World, web_client: WebClient) -> None:
    sync_id = failed(world, web_client)
    failed(world, web_client)
    count = partial(web_client.context.db.read, partial(live.batches_given_up, max_retries=5))
    assert count() == 0, "they are retried"
    world.sql("UPDATE ingest_batch SET failure_count = 6, retry_at = NULL WHERE sync_id = %s", sync_id)
    assert count() == 1
    enqueue(web_client.context, QueueRequest(sync_id, "olivia"))
    assert count() == 0, "a person queued it"
