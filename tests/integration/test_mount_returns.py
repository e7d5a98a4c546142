"""A mount that was away for a moment fails no job, although it is there again when the run looks."""

from collections.abc import Iterator
from typing import Any

import pytest

from ingestd.mount.records import Reading
from ingestd.pipeline.queueing import QueueRequest, enqueue
from support.world import World, photo


def test_a_mount_that_is_back_at_once_fails_no_job(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    context, away = world.context(), world.root.with_name("away")
    sync_id = world.put(photo("a"))
    world.scan(context)
    enqueue(context, QueueRequest(sync_id, "tester"))
    read_items, read_announced = context.mount.read_items, context.mount.read_announced

    def read_while_away(*arguments: Any, **options: Any) -> Iterator[Reading]:
        world.root.rename(away)
        try:
            yield from read_items(*arguments, **options)
        finally:
            away.rename(world.root)

    def read_at_once_while_away(*arguments: Any) -> Any:
        world.root.rename(away)
        try:
            return read_announced(*arguments)
        finally:
            away.rename(world.root)

    with monkeypatch.context() as patched:
        patched.setattr(context.mount, "read_announced", read_at_once_while_away)
        patched.setattr(context.mount, "read_items", read_while_away)
        assert world.run_next(context) == "released"
    assert world.run_next(context) == "done"
    assert world.status(sync_id) == "imported"
