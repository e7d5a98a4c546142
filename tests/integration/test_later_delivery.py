"""A bundle that is delivered again with a later time and the same entries: all of them count from that time on."""

from pathlib import Path
from typing import Any

import pytest

from ingestd.model import Scope
from ingestd.pipeline.context import Context
from ingestd.pipeline.preflight import preflight
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.sweeps import Sweeper
from support.equal_times import NEWER, OLDER, PRIOR, put, sweep
from support.order_world import sync_id_of
from support.world import World, cover, photo

BUNDLE, OTHER = sync_id_of("1"), sync_id_of("2")
FAILING: dict[str, Any] = {"path": "x", "files": [{"variant": "original", "path": "x.jpg", "bytes": 1}]}
ITEMS = (photo("a", title="of the bundle"), cover("x", "a", **FAILING), cover("y", "absent"))


def at(hour: int) -> str:
    return f"2026-04-01T{hour:02}:00:00Z"


@pytest.fixture
def context(world: World) -> Context:
    """With a bundle of which one item waits and one failed, a newer one about the same asset, and the first again."""
    context = world.context(queue={"auto": ["create"], "revive_interval": 0.000001})
    image = world.root / "x/x.jpg"
    world.put(*ITEMS, sync_id=BUNDLE, completed_at=at(1))
    image.unlink()
    world.import_all(context, BUNDLE)
    world.import_all(context, world.put(photo("a", title="of the other"), sync_id=OTHER, completed_at=at(3)))
    world.put(*ITEMS, sync_id=BUNDLE, completed_at=at(5))
    image.unlink()
    world.scan(context)
    return context


def title(world: World) -> str:
    return str(world.one("SELECT title FROM asset WHERE title LIKE %s AND deleted_at IS NULL", "of the %"))


def import_new(world: World, context: Context) -> int:
    queued = Sweeper(context).queue_new()
    while world.run_next(context):
        pass
    return queued


def test_it_is_queued_automatically(world: World, context: Context) -> None:
    assert import_new(world, context) == 1
    assert title(world) == "of the bundle"
    assert import_new(world, context) == 0


def test_a_plan_does_not_pass_for_its_import(world: World, context: Context) -> None:
    preflight(context, BUNDLE)
    assert world.status(BUNDLE) == "ready"
    assert import_new(world, context) == 1
    assert title(world) == "of the bundle"
    assert world.status(BUNDLE) == "partial"


@pytest.mark.parametrize("scope", [Scope.FAILED, Scope.DEFERRED])
def test_a_run_of_some_items_leaves_the_others_to_the_automatic_queue(
    world: World, context: Context, scope: Scope
) -> None:
    world.file("x/x.jpg", b"x")
    enqueue(context, QueueRequest(BUNDLE, "tester", scope=scope))
    assert world.run_next(context) == "done"
    assert world.status(BUNDLE) == "ready"
    assert title(world) == "of the other"
    assert import_new(world, context) == 1
    assert title(world) == "of the bundle"


def test_so_does_a_revival(world: World, context: Context) -> None:
    preflight(context, BUNDLE)
    world.import_all(context, world.put(photo("absent"), completed_at=at(7)))
    assert Sweeper(context).revive() == 1
    assert world.run_next(context) == "done"
    assert title(world) == "of the other"
    assert import_new(world, context) == 1
    assert title(world) == "of the bundle"


def test_containers_count_from_the_later_time_on(world: World) -> None:
    context = world.context()
    for title, sync_id, hour in (("one", BUNDLE, 1), ("two", OTHER, 3), ("one", BUNDLE, 5)):
        listed = {"type": "gallery", "hash": "0" * 32, "items": [], "title": title}
        world.import_all(context, world.put(sync_id=sync_id, completed_at=at(hour), containers=[listed]))
    assert world.sql("SELECT title, sync_id FROM asset_gallery") == [("one", BUNDLE)]


def test_an_earlier_time_repeats_nothing(world: World) -> None:
    context = world.context()
    world.import_all(context, world.put(photo("a"), sync_id=BUNDLE, completed_at=at(5)))
    world.import_all(context, world.put(photo("a"), sync_id=BUNDLE, completed_at=at(1)))
    assert [
        payload["already_terminal_count"] for kind, payload in world.events(BUNDLE) if kind == "import_started"
    ] == [
        0,
        1,
    ]


def manifest(world: World, sync_id: str) -> Path:
    return world.root / f"sync/{sync_id}.json"


def test_content_that_returns_was_not_imported(world: World) -> None:
    """A sweep for the order of bundles queues only what somebody has queued."""
    context = world.context()
    put(world, OLDER, photo("a"), prior=PRIOR)
    put(world, NEWER, photo("b"))
    world.import_all(context, OLDER, NEWER)
    first = manifest(world, OLDER).read_bytes()
    put(world, OLDER, photo("a"), prior=PRIOR, action="remove")
    world.scan(context)
    manifest(world, OLDER).write_bytes(first)
    world.scan(context)
    put(world, PRIOR)
    world.scan(context)
    assert sweep(world, context) == 0
    assert world.status(OLDER) == "new"


def test_another_prior_counts_for_unchanged_entries(world: World) -> None:
    """The time stays, and a plan alone finds nothing to import."""
    context = world.context(queue={"auto": ["create"]})
    put(world, OLDER, photo("a", title="of the follower"))
    put(world, NEWER, photo("a", title="of the other"))
    world.import_all(context, OLDER, NEWER)
    put(world, OLDER, photo("a", title="of the follower"), prior=NEWER)
    world.scan(context)
    preflight(context, OLDER)
    assert world.status(OLDER) == "ready"
    assert import_new(world, context) == 1
    assert title(world) == "of the follower"


@pytest.mark.parametrize("plans_first", [False, True])
def test_a_prior_that_comes_after_a_delivery_without_changes(world: World, *, plans_first: bool) -> None:
    """What is delivered again has nothing new: then nothing of it is left to import."""
    context = world.context()
    put(world, OLDER, photo("a", title="of the follower"), prior=PRIOR)
    put(world, NEWER, photo("a", title="of the other"))
    world.import_all(context, OLDER, NEWER)
    put(world, OLDER, photo("a", title="of the follower"), prior=PRIOR, source_host="another")
    world.scan(context)
    if plans_first:
        preflight(context, OLDER)
    put(world, PRIOR)
    world.scan(context)
    assert sweep(world, context) == 1
    assert title(world) == "of the follower"


def test_a_manifest_that_is_broken_for_a_moment(world: World) -> None:
    """Its bundle follows no other meanwhile; then it holds again, without a person."""
    context = world.context()
    put(world, PRIOR)
    put(world, OLDER, photo("a", title="of the follower"), prior=PRIOR)
    put(world, NEWER, photo("a", title="of the other"))
    world.import_all(context, PRIOR, OLDER, NEWER)
    valid = manifest(world, OLDER).read_bytes()
    for content, newest in ((b"{}", "of the other"), (valid, "of the follower")):
        manifest(world, OLDER).write_bytes(content)
        world.scan(context)
        sweep(world, context)
        assert title(world) == newest
