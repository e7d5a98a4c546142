"""Known assets of a large new bundle are looked up once, by its plan, and compared under lock before they change."""

import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from ingestd.model import Version
from ingestd.mount.reader import ItemReader
from ingestd.pipeline import delivery, plan_steps
from ingestd.pipeline.context import Context
from ingestd.pipeline.evaluate import Bundle
from ingestd.pipeline.found_assets import FoundAssets
from ingestd.pipeline.importer import chunk_rows, chunk_source, prepared_chunk
from support.new_items import LOOK_UP, context_of, queued
from support.steps import in_steps
from support.world import World, md5, photo

LOCK_RANGE = "FROM asset a FORCE INDEX (PRIMARY) WHERE a.id BETWEEN"


@pytest.fixture
def context(world: World) -> Context:
    return context_of(world)


@pytest.fixture(autouse=True)
def as_large() -> Iterator[None]:
    with in_steps():
        yield


def test_known_assets_are_looked_up_once_and_locked_as_a_range(
    world: World, context: Context, statements: list[str]
) -> None:
    queued(world, context, *map(photo, "abcdefgh"), day=1)
    assert world.run_next(context) == "done"
    sync_id = queued(world, context, *map(photo, "abcdefgh"), day=2)
    statements.clear()
    assert world.run_next(context) == "done"
    assert set(world.decisions(sync_id).values()) == {"skipped:unchanged"}
    assert sum(LOOK_UP in text for text in statements) == 4, "one for each step of the plan"
    assert sum(LOCK_RANGE in text for text in statements) == 2, "one for each chunk"
    assert world.sql("SELECT DISTINCT sync_id FROM asset") == [(sync_id,)]


def test_known_assets_in_another_order_are_locked_by_their_hashes(
    world: World, context: Context, statements: list[str]
) -> None:
    queued(world, context, *map(photo, "abcdefgh"), day=1)
    assert world.run_next(context) == "done"
    sync_id = queued(world, context, *map(photo, "aebfcgdh"), day=2)
    statements.clear()
    assert world.run_next(context) == "done"
    locking = [text for text in statements if LOOK_UP in text and "FOR UPDATE" in text]
    assert len(locking) == 2, "one for each chunk"
    assert not any(LOCK_RANGE in text for text in statements)
    assert world.sql("SELECT DISTINCT sync_id FROM asset") == [(sync_id,)]


def test_rows_are_ready_when_they_are_written(world: World, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """New and known assets, with documents: the thread that reads ahead has encoded all of them."""
    queued(world, context, *map(photo, "abcdef"), day=1)
    assert world.run_next(context) == "done"
    real, writers = chunk_rows.of, []

    def of(*arguments: Any) -> Any:
        writers.append(threading.current_thread().name)
        return real(*arguments)

    monkeypatch.setattr(chunk_rows, "of", of)
    for name in "ghi":
        world.file(f"{photo(name)['path']}/source/source.json", b'{"a": 1}')
    sync_id = queued(world, context, *map(photo, "abcdefghijkl"), day=2)
    assert world.run_next(context) == "done"
    assert writers == ["prefetch_0"] * 3, "one for each chunk"
    assert Counter(world.decisions(sync_id).values()) == {"skipped:unchanged": 6, "created": 6}
    assert world.one("SELECT COUNT(*) FROM asset_source") == 3


def test_the_next_items_of_a_far_mount_are_read_while_a_chunk_is_decided(
    world: World, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first chunk is decided once the second has been read."""
    queued(world, context, *map(photo, "abcdefgh"))
    monkeypatch.setattr(ItemReader, "is_far", True)
    real, read = ItemReader.read_once, threading.Semaphore(0)
    awaited = iter([2, 0])

    def read_once(*arguments: Any) -> Any:
        found = real(*arguments)
        read.release()
        return found

    def prepare_chunk(*arguments: Any) -> Any:
        for _ in range(next(awaited)):
            assert read.acquire(timeout=60), "the second is not read"
        return prepared_chunk.prepare_chunk(*arguments)

    monkeypatch.setattr(ItemReader, "read_once", read_once)
    monkeypatch.setattr(chunk_source, "prepare_chunk", prepare_chunk)
    assert world.run_next(context) == "done"


def test_items_of_a_near_mount_are_read_and_decided_in_one_thread(
    world: World, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued(world, context, *map(photo, "abcdefgh"))
    read, decided = set[int](), set[int]()
    real = ItemReader.read_once

    def read_once(*arguments: Any) -> Any:
        read.add(threading.get_ident())
        return real(*arguments)

    def prepare_chunk(*arguments: Any) -> Any:
        decided.add(threading.get_ident())
        return prepared_chunk.prepare_chunk(*arguments)

    monkeypatch.setattr(ItemReader, "read_once", read_once)
    monkeypatch.setattr(chunk_source, "prepare_chunk", prepare_chunk)
    assert world.run_next(context) == "done"
    assert read == decided != {threading.get_ident()}
    assert len(read) == 1


def test_the_next_assets_are_looked_up_while_a_part_is_forecast(
    world: World, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first part is forecast once the second has been looked up."""
    queued(world, context, *map(photo, "abcd"))
    look_up, forecast, awaited = FoundAssets.look_up, FoundAssets.forecast, iter([2, 0])
    looked_up = threading.Semaphore(0)

    def counted(*arguments: Any, **options: Any) -> str:
        found = look_up(*arguments, **options)
        looked_up.release()
        return found

    def waiting(*arguments: Any, **options: Any) -> Any:
        for _ in range(next(awaited)):
            assert looked_up.acquire(timeout=60), "the second is not looked up"
        return forecast(*arguments, **options)

    monkeypatch.setattr(FoundAssets, "look_up", counted)
    monkeypatch.setattr(FoundAssets, "forecast", waiting)
    assert world.run_next(context) == "done"


def test_an_asset_that_came_since_the_plan_is_found(
    world: World, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync_id = queued(world, context, *map(photo, "abcdefgh"), day=2)
    real = plan_steps.foresee

    def foresee(*arguments: Any) -> Any:
        found = real(*arguments)
        monkeypatch.setattr(plan_steps, "foresee", real)
        assert world.import_all(world.context(), world.put(photo("c"), photo("d", title="Other"))) == ["done"]
        return found

    monkeypatch.setattr(plan_steps, "foresee", foresee)
    assert world.run_next(context) == "done"
    names = {md5(name): name for name in "abcdefgh"}
    decided = {names[hash_]: decision for hash_, decision in world.decisions(sync_id).items()}
    assert decided == dict.fromkeys("abefgh", "created") | {"c": "skipped:unchanged", "d": "updated"}
    assert world.tallies() == world.counted()


def test_an_asset_that_was_changed_since_the_plan_is_compared(
    world: World, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By an older bundle, a newer one, and by a removal."""
    queued(world, context, *map(photo, "abcdefgh"), day=1)
    assert world.run_next(context) == "done"
    sync_id = queued(world, context, *map(photo, "abcdefgh"), day=3)
    real = plan_steps.foresee

    def foresee(*arguments: Any) -> Any:
        found = real(*arguments)
        monkeypatch.setattr(plan_steps, "foresee", real)
        for bundle in (
            world.put(photo("b", title="Old"), day=2),
            world.put(photo("c", title="New"), day=4),
            world.put(photo("f"), action="remove", day=2),
        ):
            assert world.import_all(world.context(), bundle) == ["done"]
        return found

    monkeypatch.setattr(plan_steps, "foresee", foresee)
    assert world.run_next(context) == "done"
    names = {md5(name): name for name in "abcdefgh"}
    decided = {names[hash_]: decision for hash_, decision in world.decisions(sync_id).items()}
    others = {"b": "updated", "c": "skipped:superseded", "f": "updated"}
    assert decided == dict.fromkeys("abcdefgh", "skipped:unchanged") | others
    assert world.tallies() == world.counted()


def test_parts_may_be_found_in_any_order(world: World, context: Context) -> None:
    """One that the thread ahead read in vain is read after the next one."""
    queued(world, context, *map(photo, "abcdef"), day=1)
    assert world.run_next(context) == "done"
    sync_id = world.put(*map(photo, "abcdef"), day=2)
    manifest = delivery.read(context, sync_id).manifest
    assert manifest is not None
    found = FoundAssets(Bundle(manifest.action, Version(manifest.completed_at, sync_id), manifest.index))
    entries = list(manifest.standing())
    parts = [entries[:2], entries[2:4], entries[4:]]
    for part in (parts[0], parts[2], parts[1]):
        context.db.read(partial(found.forecast, entries=part))
    for part in parts:
        known = context.db.read(partial(found.state, entries=part)).assets
        assert known.keys() == {entry.asset_hash for entry in part}
