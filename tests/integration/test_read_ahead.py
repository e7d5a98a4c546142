"""Small bundles on a remote mount are read before a worker takes them; what was read counts only where it must."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from ingestd.mount.access import Mount
from ingestd.mount.helper_pool import HelperPool, Use
from ingestd.pipeline import ahead
from ingestd.pipeline.context import Context
from ingestd.pipeline.read_ahead import MAX_ITEMS, ReadAhead
from ingestd.pipeline.sweeps import Sweeper
from support.world import World, md5, photo


@pytest.fixture
def context(world: World, monkeypatch: pytest.MonkeyPatch) -> Context:
    monkeypatch.setattr(Mount, "is_remote", True)
    return world.context(queue={"auto": ["create"]})


@pytest.fixture
def asked(context: Context, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often manifests and items were read."""
    counts: Counter[str] = Counter()
    read_manifest, read_items = context.mount.read_manifest, context.mount.read_items

    def manifest(*arguments: Any, **options: Any) -> Any:
        counts["manifests"] += 1
        return read_manifest(*arguments, **options)

    def items(requests: list[Any], *more: Any, **options: Any) -> Any:
        counts["items"] += len(requests)
        counts["requests"] += 1
        return read_items(requests, *more, **options)

    monkeypatch.setattr(context.mount, "read_manifest", manifest)
    monkeypatch.setattr(context.mount, "read_items", items)
    return counts


def delivered(world: World, name: str, count: int = 1) -> str:
    for number in range(count):
        world.file(f"{photo(f'{name}{number}')['path']}/source/data/photo.meaning.json", f'"{name}"'.encode())
    return world.put(*(photo(f"{name}{number}") for number in range(count)))


def queued(world: World, context: Context) -> None:
    world.scan(context)
    assert Sweeper(context).queue_new()


def documents(world: World) -> list[Any]:
    return [text for (text,) in world.sql("SELECT document FROM asset_ai_run")]


def test_bundles_are_read_together_and_once(world: World, context: Context, asked: Counter[str]) -> None:
    for name in "abcd":
        delivered(world, name)
    queued(world, context)
    asked.clear()
    ReadAhead(context).run_once()
    assert [world.run_next(context) for _ in range(4)] == ["done"] * 4
    assert asked == {"items": 4, "requests": 1}
    assert sorted(documents(world)) == [f'"{name}"' for name in "abcd"]


def test_nothing_is_read_ahead_on_a_local_mount(
    world: World, asked: Counter[str], context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Mount, "is_remote", False)
    delivered(world, "a")
    queued(world, context)
    ReadAhead(context).run_once()
    assert asked["items"] == 0


def test_large_bundles_are_left_to_their_workers(world: World, asked: Counter[str], context: Context) -> None:
    delivered(world, "a", MAX_ITEMS + 1)
    queued(world, context)
    ReadAhead(context).run_once()
    assert asked["items"] == 0


def test_another_manifest_is_read_again(world: World, context: Context, asked: Counter[str]) -> None:
    """It was delivered again and recorded after its items were read."""
    sync_id = delivered(world, "a")
    queued(world, context)
    ReadAhead(context).run_once()
    world.put(photo("b0"), sync_id=sync_id)
    world.scan(context)
    assert world.run_next(context) == "done"
    assert world.decisions(sync_id) == {md5("b0"): "created"}


def test_another_manifest_that_another_host_recorded_is_read_again(world: World, context: Context) -> None:
    sync_id = delivered(world, "a")
    queued(world, context)
    ReadAhead(context).run_once()
    world.put(photo("b0"), sync_id=sync_id)
    world.scan(world.context())
    assert world.run_next(context) == "done"
    assert world.decisions(sync_id) == {md5("b0"): "created"}


def test_what_was_read_long_ago_is_read_again(
    world: World, context: Context, asked: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    delivered(world, "a")
    queued(world, context)
    ReadAhead(context).run_once()
    monkeypatch.setattr(ahead, "MAX_AGE", 0.0)
    asked.clear()
    assert world.run_next(context) == "done"
    assert asked == {"manifests": 1, "items": 1, "requests": 1}


def test_what_was_read_in_another_mount_is_read_again(world: World, context: Context, asked: Counter[str]) -> None:
    delivered(world, "a")
    queued(world, context)
    ReadAhead(context).run_once()
    for kept in context.ahead._kept.values():
        kept.identity = replace(kept.identity, fs_id=1)
    asked.clear()
    assert world.run_next(context) == "done"
    assert asked == {"manifests": 1, "items": 1, "requests": 1}


@pytest.mark.parametrize("what", ["file", "folder"])
def test_an_item_that_is_missing_is_left_to_its_run(world: World, context: Context, what: str) -> None:
    """It may be listed late: that is for a run to find out."""
    good, bad = delivered(world, "a"), world.put(photo("late", files=1))
    folder = world.root / photo("late")["path"]
    for file in folder.iterdir():
        file.unlink()
    if what == "folder":
        folder.rmdir()
    queued(world, context)
    ReadAhead(context).run_once()
    assert context.ahead._kept[good].readings is not None
    assert context.ahead._kept[bad].readings is None


def test_what_is_kept_is_bounded(world: World, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "MAX_BUNDLES", 3)
    sync_ids = [delivered(world, name) for name in "abcde"]
    queued(world, context)
    assert len(context.ahead._kept) == 3
    ReadAhead(context).run_once()
    assert [world.run_next(context) for _ in sync_ids] == ["done"] * 5
    assert len(context.ahead._kept) == 0


def test_a_bundle_counts_as_soon_as_it_was_read(
    world: World, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that waits for it does not wait for those that are read with it."""
    sync_ids = [delivered(world, name) for name in "abc"]
    queued(world, context)
    read_items, counts = context.mount.read_items, []

    def items(requests: list[Any], on_bytes: Any, *more: Any, **options: Any) -> Any:
        for reading in read_items(requests, on_bytes, *more, **options):
            yield reading
            on_bytes(0)
            counts.append(sum(context.ahead._kept[sync_id].readings is not None for sync_id in sync_ids))

    monkeypatch.setattr(context.mount, "read_items", items)
    ReadAhead(context).run_once()
    assert counts == [1, 2, 3]


def test_on_a_near_mount_a_run_asks_one_helper_once_for_a_small_bundle(
    world: World, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Mount, "is_remote", False)
    names, uses, borrow = [delivered(world, name) for name in "ab"], list[Use](), HelperPool.borrow

    def borrowing(pool: HelperPool, use: Use, *more: Any) -> Any:
        uses.append(use)
        return borrow(pool, use, *more)

    queued(world, context)
    monkeypatch.setattr(HelperPool, "borrow", borrowing)
    assert [world.run_next(context) for _ in names] == ["done"] * len(names)
    assert uses == [Use.ITEMS] * len(names)
    assert sorted(documents(world)) == ['"a"', '"b"']
