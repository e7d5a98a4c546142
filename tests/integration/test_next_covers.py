"""Covers that count because the item that would win has failed: what later runs and plans make of that."""

from typing import Any

import pytest

from ingestd.model import Scope
from ingestd.pipeline.cancelling import cancel
from ingestd.pipeline.context import Context
from ingestd.pipeline.importer.next_covers import Contest
from ingestd.pipeline.preflight import preflight
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.sweeps import Sweeper
from ingestd.store import item
from ingestd.store.db import Tx
from ingestd.store.item import CoverStatement
from support.world import World, cover, md5, photo


def failing(name: str) -> dict[str, Any]:
    """What makes an item fail as long as its file is missing."""
    return {"path": name, "files": [{"variant": "original", "path": "it.jpg", "bytes": 1}]}


def put(world: World, *items: Any, missing: str, **more: Any) -> str:
    sync_id = world.put(*items, **more)
    (world.root / missing / "it.jpg").unlink()
    return sync_id


def run_again(world: World, context: Context, sync_id: str, scope: Scope) -> None:
    enqueue(context, QueueRequest(sync_id, "tester", scope=scope))
    assert world.run_next(context) == "done"


def linked(world: World) -> list[tuple[Any, ...]]:
    """The covers of live assets, with the paths of their files."""
    return world.sql(
        "SELECT c.cover_hash, c.path FROM asset_cover c JOIN asset a ON a.id = c.asset_id"
        " WHERE c.deleted_at IS NULL AND a.deleted_at IS NULL"
    )


def test_a_later_plan_leaves_it_alone(world: World) -> None:
    context = world.context()
    sync_id = put(world, photo("a"), cover("x", "a"), cover("y", "a", **failing("y")), missing="y")
    world.import_all(context, sync_id)
    decided = {md5("a"): "created", md5("x"): "linked", md5("y"): "failed:file_missing"}
    for _ in range(2):
        assert world.decisions(sync_id) == decided
        assert world.status(sync_id) == "partial"
        preflight(context, sync_id)
        run_again(world, context, sync_id, Scope.FAILED)


def test_an_entry_that_names_a_failed_one_is_left_alone(world: World) -> None:
    """Also in a bundle that follows another one of its time."""
    context = world.context()
    prior = world.put(photo("b"))
    items = (photo("a", cover_hash=md5("x")), cover("x", "a", **failing("x")))
    sync_id = put(world, *items, missing="x", prior_sync_id=prior)
    world.import_all(context, prior, sync_id)
    for _ in range(2):
        assert world.decisions(sync_id) == {md5("a"): "updated", md5("x"): "failed:file_missing"}
        assert linked(world) == [(md5("x"), None)]
        run_again(world, context, sync_id, Scope.FAILED)


def test_the_winner_counts_once_its_file_is_there(world: World) -> None:
    context = world.context()
    sync_id = put(world, photo("a"), cover("x", "a"), cover("y", "a", **failing("y")), missing="y")
    world.import_all(context, sync_id)
    world.file("y/it.jpg", b"y")
    run_again(world, context, sync_id, Scope.FAILED)
    assert linked(world) == [(md5("y"), "y/it.jpg")]


def test_it_brings_its_file_where_the_cover_was_linked_without(world: World) -> None:
    """The entry named the cover before; delivered again, it names none, and the item with the file counts."""
    context = world.context()
    sync_id = world.put(photo("a", cover_hash=md5("x")))
    world.import_all(context, sync_id)
    assert linked(world) == [(md5("x"), None)]
    items = (photo("a"), cover("x", "a", **failing("x")), cover("y", "a", **failing("y")))
    put(world, *items, sync_id=sync_id, missing="y")
    world.import_all(context, sync_id)
    assert linked(world) == [(md5("x"), "x/it.jpg")]


def test_one_that_waited_is_linked_by_its_revival(world: World) -> None:
    context = world.context(queue={"revive_interval": 0.000001})
    sync_id = put(world, cover("x", "a"), cover("y", "a", **failing("y")), missing="y")
    world.import_all(context, sync_id)
    assert world.decisions(sync_id) == {md5("x"): "deferred:parent_missing", md5("y"): "failed:file_missing"}
    world.import_all(context, world.put(photo("a"), day=2))
    assert Sweeper(context).revive() == 1
    assert world.run_next(context) == "done"
    assert world.decisions(sync_id) == {md5("x"): "linked", md5("y"): "failed:file_missing"}
    decided = [kind for kind, _ in world.events(sync_id) if kind.startswith("item_")]
    assert decided == ["item_skipped", "item_failed", "item_deferred", "item_linked"]


@pytest.mark.parametrize("is_planned", [True, False])
def test_one_that_was_only_planned_is_counted_once(world: World, *, is_planned: bool) -> None:
    """It comes with a further delivery, and a run of the items that wait takes it up in place of the failed one."""
    context = world.context()
    items = (cover("w", "absent"), cover("y", "a", **failing("y")))
    sync_id = put(world, *items, missing="y")
    world.import_all(context, sync_id, world.put(photo("a"), day=2))
    put(world, cover("z", "a"), *items, sync_id=sync_id, missing="y")
    world.scan(context)
    if is_planned:
        preflight(context, sync_id)
    run_again(world, context, sync_id, Scope.DEFERRED)
    assert linked(world) == [(md5("z"), None)]
    counts = world.one("SELECT CONCAT(items_done, '/', items_total) FROM import_job ORDER BY id DESC LIMIT 1")
    assert counts == "2/3", "the failed one is not tried again"


class Crash(BaseException):
    """The process dies."""


def test_a_crash_before_it_is_elected_loses_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next run is one that does not try again what failed."""
    context = world.context()
    items = (photo("a"), cover("x", "a"), cover("y", "a", **failing("y")), cover("z", "absent"))
    sync_id = put(world, *items, missing="y")
    with monkeypatch.context() as patched:
        patched.setattr(Contest, "elect", crash)
        with pytest.raises(Crash):
            world.import_all(context, sync_id)
    world.sql("UPDATE import_job SET state = 'queued', claim_token = claim_token + 1 WHERE state = 'running'")
    cancel(context, sync_id, "tester")
    assert linked(world) == []
    run_again(world, context, sync_id, Scope.DEFERRED)
    assert linked(world) == [(md5("x"), None)]


def crash(_contest: Contest) -> None:
    raise Crash


def test_many_that_fail_are_read_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    readings: list[int] = []
    real = item.contested_covers

    def counted(tx: Tx, batch_id: int) -> dict[str, list[CoverStatement]]:
        readings.append(batch_id)
        return real(tx, batch_id)

    monkeypatch.setattr(item, "contested_covers", counted)
    context = world.context()
    names = [f"c{number}" for number in range(20)]
    sync_id = world.put(photo("a"), cover("x", "a"), *(cover(name, "a", **failing(name)) for name in names))
    for name in names:
        (world.root / name / "it.jpg").unlink()
    world.import_all(context, sync_id)
    assert linked(world) == [(md5("x"), None)]
    assert len(readings) == 1
