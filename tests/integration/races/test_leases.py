"""A worker whose lease is lost while it writes."""

from typing import Any

import pytest

from ingestd.model import Lease
from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.importer import chunk_writer
from ingestd.pipeline.importer.run import Run
from ingestd.pipeline.rescuer import Rescuer
from support.racing import LONG_AGO, ask, take
from support.scanning import kinds
from support.wait import stop_event
from support.world import World, cover, md5


def prepare_stale(world: World, context: Context, *, count: int = 6) -> tuple[str, Lease]:
    sync_id = world.put(
        *({"type": "photo", "hash": md5(str(i)), "title": "t"} for i in range(count)),
        cover("cover", "0"),
        containers=[{"type": "gallery", "hash": md5("g"), "items": [md5("0")]}],
    )
    world.scan(context)
    ask(context, sync_id)
    return sync_id, take(context)


def decided(world: World) -> list[tuple[Any, ...]]:
    return world.sql("SELECT id, decision, reason, target_ids, updated_at FROM ingest_batch_item ORDER BY id")


def test_a_worker_that_lost_its_lease_writes_nothing(world: World) -> None:
    context, other = world.context(), world.context()
    sync_id, lease = prepare_stale(world, context)
    world.sql(LONG_AGO)
    assert Rescuer(other, this_instance()).reset_stale() == 1
    before = (world.library(), decided(world), world.events(sync_id), world.sql("SELECT * FROM import_job"))
    assert Run(context, lease, stop_event()).execute() == "lost"
    assert before == (world.library(), decided(world), world.events(sync_id), world.sql("SELECT * FROM import_job"))


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("writes", [1, 2, 4])
def test_a_chunk_written_while_the_lease_is_lost_is_rolled_back(
    world: World, monkeypatch: pytest.MonkeyPatch, writes: int, again: bool
) -> None:
    """The job is reset (and claimed by another) between the writes of a chunk and its fence: the latest moment."""
    context, other = world.context(worker={"chunk_items": 2}), world.context()
    sync_id, lease = prepare_stale(world, context)
    rescuer, real = Rescuer(other, this_instance()), chunk_writer.write
    calls: list[Any] = []
    kept: list[Any] = []
    new_leases: list[Lease] = []

    def losing(*args: Any) -> Any:
        if len(calls) + 1 == writes:
            kept.extend([world.library(), decided(world)])
        result = real(*args)
        calls.append(result)
        if len(calls) == writes:
            world.sql(LONG_AGO)
            assert rescuer.reset_stale() == 1
            if again:
                new_leases.append(take(other, 1))
            kept.append(world.events(sync_id))
        return result

    monkeypatch.setattr(chunk_writer, "write", losing)
    assert Run(context, lease, stop_event()).execute() == "lost"
    assert len(calls) == writes
    assert [world.library(), decided(world), world.events(sync_id)] == kept
    monkeypatch.setattr(chunk_writer, "write", real)
    lease = new_leases[0] if again else take(other, 1)
    assert Run(other, lease, stop_event()).execute() == "done"
    recorded = kinds(world, sync_id)
    assert recorded.count("item_created") == 6
    assert recorded.count("item_linked") == recorded.count("container_created") == recorded.count("job_finished") == 1
    assert world.status(sync_id) == "imported"
    assert world.sql("SELECT state, items_done, claim_token FROM import_job") == [("done", 7, 2)]
