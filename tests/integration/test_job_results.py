"""What a job came to: the decisions on the items of its batch when it ended."""

from typing import Any

import pytest

from ingestd.pipeline import queueing
from ingestd.pipeline.cancelling import cancel
from ingestd.pipeline.context import Context
from ingestd.pipeline.queueing import QueueRequest
from ingestd.records import Job
from ingestd.store.queries import jobs
from support.web_client import Visitor, WebClient
from support.world import World, cover, md5, photo

BAD = {"type": "photo", "hash": "bad"}


@pytest.fixture
def context(world: World) -> Context:
    return world.context()


def newest(context: Context, state: str = "done") -> Job:
    return context.db.read(lambda tx: jobs.finished(tx, limit=1))[0]


@pytest.mark.parametrize("chunk_items", [500, 2])
@pytest.mark.parametrize(
    ("items", "result"),
    [
        ([photo(name) for name in "abcde"], {"created": 5}),
        ([photo("a"), BAD, cover("c", "absent")], {"created": 1, "deferred": 1, "failed": 1}),
        ([BAD], {"failed": 1}),
        ([], {}),
    ],
)
def test_the_result_of_a_job(world: World, chunk_items: int, items: list[Any], result: dict[str, int]) -> None:
    context = world.context(worker={"chunk_items": chunk_items})
    world.import_all(context, world.put(*items))
    assert newest(context).result == result


def test_containers_that_need_attention_are_part_of_it(world: World, context: Context) -> None:
    gallery = {"type": "gallery", "hash": md5("g"), "title": "g", "items": [md5("a"), md5("absent")]}
    world.import_all(context, world.put(photo("a"), containers=[gallery]))
    assert newest(context).result == {"created": 1, "containers_deferred": 1}


def test_a_job_that_ended_otherwise(world: World, context: Context) -> None:
    sync_id = world.put(photo("a"))
    world.scan(context)
    queueing.enqueue(context, QueueRequest(sync_id, "olga"))
    assert cancel(context, sync_id, "olga").result is None
    queueing.enqueue(context, QueueRequest(sync_id, "olga"))
    world.put(photo("a"), sync_id=sync_id, status="unfinished")
    world.run_next(context)
    assert (newest(context).state, newest(context).result) == ("failed", {})


def test_a_second_job_has_a_result_of_its_own(world: World, context: Context) -> None:
    sync_id = world.put(photo("a"), photo("b"))
    lost = world.root / photo("b")["path"] / "0.jpg"
    content = lost.read_bytes()
    lost.unlink()
    world.import_all(context, sync_id)
    assert newest(context).result == {"created": 1, "failed": 1}
    lost.write_bytes(content)
    queueing.enqueue(context, QueueRequest(sync_id, "olga"))
    world.run_next(context)
    assert newest(context).result == {"created": 2}
    earlier = context.db.read(lambda tx: jobs.finished(tx, limit=2))[1]
    assert earlier.result == {"created": 1, "failed": 1}


def test_pages_show_it(world: World, web_client: WebClient, olivia: Visitor) -> None:
    failed = world.put(BAD, photo("a"))
    world.import_all(web_client.context, failed)
    for page in (olivia.see("/tasks").live("finished"), olivia.see(f"/batches/{failed}").live("jobs")):
        (row,) = page.all("tr")
        assert [item.text for item in row.all("li")] == ["1 created", "✕ 1 failed"]
        assert not [part for part in row.walk() if "good" in part.attributes.get("class", "").split()]
