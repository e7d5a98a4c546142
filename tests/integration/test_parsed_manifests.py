"""A long manifest that the scanner has just parsed is only compared with its digest by the run that imports it."""

from typing import Any

import pytest

from ingestd.mount.records import ManifestReading
from ingestd.pipeline import ahead
from ingestd.pipeline.context import Context
from ingestd.pipeline.heartbeat import Poller
from ingestd.pipeline.sweeps import Sweeper
from support.world import World, md5, photo


@pytest.fixture(autouse=True)
def all_are_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "MAX_MANIFEST", 0)


@pytest.fixture
def context(world: World) -> Context:
    return world.context(queue={"auto": ["create"]})


@pytest.fixture
def readings(context: Context, monkeypatch: pytest.MonkeyPatch) -> list[ManifestReading]:
    """What reading manifests returned."""
    read_manifest, found = context.mount.read_manifest, []

    def read(*arguments: Any, **options: Any) -> ManifestReading:
        found.append(read_manifest(*arguments, **options))
        return found[-1]

    monkeypatch.setattr(context.mount, "read_manifest", read)
    return found


def parsed(readings: list[ManifestReading]) -> list[bool]:
    """Whether each reading parsed its manifest."""
    return [reading.manifest is not None for reading in readings]


def queued(world: World, context: Context) -> None:
    world.scan(context)
    assert Sweeper(context).queue_new()


def test_it_is_parsed_once_and_read_twice(world: World, context: Context, readings: list[ManifestReading]) -> None:
    sync_id = world.put(photo("a"), photo("b"))
    queued(world, context)
    assert world.run_next(context) == "done"
    assert parsed(readings) == [True, False]
    assert world.decisions(sync_id) == {md5("a"): "created", md5("b"): "created"}


def test_another_one_on_the_mount_is_parsed(world: World, context: Context, readings: list[ManifestReading]) -> None:
    """It replaced the one that was scanned before its job began."""
    sync_id = world.put(photo("a"))
    queued(world, context)
    world.put(photo("b"), sync_id=sync_id)
    assert world.run_next(context) == "done"
    assert parsed(readings) == [True, True]
    assert world.decisions(sync_id) == {md5("b"): "created"}
    assert "manifest_changed" in [kind for kind, _ in world.events(sync_id)]


def test_the_one_that_came_first_is_kept(world: World, context: Context, readings: list[ManifestReading]) -> None:
    world.put(photo("a"))
    world.scan(context)
    world.put(photo("b"), day=2)
    queued(world, context)
    assert [world.run_next(context) for _ in range(2)] == ["done"] * 2
    assert parsed(readings) == [True, True, False, True]


def test_a_later_delivery_of_the_same_bundle_takes_its_place(
    world: World, context: Context, readings: list[ManifestReading]
) -> None:
    sync_id = world.put(photo("a"))
    world.scan(context)
    world.put(photo("b"), sync_id=sync_id)
    queued(world, context)
    assert world.run_next(context) == "done"
    assert parsed(readings) == [True, True, False]
    assert world.decisions(sync_id) == {md5("b"): "created"}


def test_it_is_dropped_when_no_run_takes_it(
    world: World, context: Context, readings: list[ManifestReading], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.put(photo("a"))
    queued(world, context)
    Poller(context, lambda _work: None).run_once()
    monkeypatch.setattr(ahead, "MAX_AGE", -1.0)
    Poller(context, lambda _work: None).run_once()
    assert world.run_next(context) == "done"
    assert parsed(readings) == [True, True]
    assert context.ahead.take_long(readings[0].manifest.sync_id) is None  # type: ignore[union-attr]


def test_a_recent_one_is_not_dropped(world: World, context: Context, readings: list[ManifestReading]) -> None:
    world.put(photo("a"))
    queued(world, context)
    Poller(context, lambda _work: None).run_once()
    assert world.run_next(context) == "done"
    assert parsed(readings) == [True, False]
