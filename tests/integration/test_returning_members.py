"""Assets that return while a container is written: their memberships go counted, or not at all."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pymysql
import pytest

from ingestd.pipeline.removals import RemovalCount
from ingestd.pipeline.sweeps import Sweeper
from ingestd.store import library
from support.removals import container, entries, imported, names, queue, removed
from support.visible import gone, visible
from support.world import World, photo

NOW = "SET STATEMENT innodb_lock_wait_timeout = 0 FOR "
EMPTYING = [("update", True), ("update", False), ("remove", False)]
"""an empty list, one that names a single member, and the removal of the list"""


def once(monkeypatch: pytest.MonkeyPatch, place: Any, name: str, work: Callable[[], object], *, before: bool) -> None:
    """Does something the next time that a function is called, before or after it runs."""
    real = getattr(place, name)

    def called(*arguments: Any, **named: Any) -> Any:
        monkeypatch.setattr(place, name, real)
        if before:
            work()
        result = real(*arguments, **named)
        if not before:
            work()
        return result

    monkeypatch.setattr(place, name, called)


def removed_members(world: World, kind: str) -> None:
    """A list of five, whose assets another bundle has removed."""
    context = world.context()
    imported(world, context, 5, containers=[container("g", names(5), kind)])
    assert world.import_all(context, world.put(*entries(names(5)), action="remove", day=2)) == ["done"]


@pytest.mark.parametrize("kind", ["gallery", "collection"])
@pytest.mark.parametrize(("action", "is_empty"), EMPTYING)
def test_assets_that_return_after_the_count_take_no_membership_along(
    world: World, monkeypatch: pytest.MonkeyPatch, kind: str, action: str, is_empty: bool
) -> None:
    removed_members(world, kind)
    context = world.context(queue={"removal_limit": 1})
    listed = container("g", [] if is_empty else names(1), kind, complete=True)
    emptying = world.put(action=action, day=4, containers=[listed])
    world.scan(context)
    queue(context, emptying)
    seen: list[set[Any]] = []

    def bring_back() -> None:
        with suppress(pymysql.err.OperationalError):  # refused at once: the rows are locked
            world.sql(f"{NOW} UPDATE asset SET deleted_at = NULL")
        seen.append(visible(world))

    once(monkeypatch, RemovalCount, "add", bring_back, before=True)
    world.run_next(context)
    assert len(gone(seen[0], visible(world))) <= 1
    assert removed(world, emptying) == (0, 0, 0)


def test_assets_that_return_before_the_count_are_counted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    removed_members(world, "gallery")
    context, other = world.context(queue={"removal_limit": 4}), world.context()
    emptying = world.put(action="update", day=4, containers=[container("g", [], complete=True)])
    back = world.put(*map(photo, names(5)), day=3)
    world.scan(context)
    queue(context, emptying)
    once(monkeypatch, library, "members", lambda: world.import_all(other, back), before=False)
    assert world.run_next(context) == "failed"
    assert world.status(emptying) == "held"


def test_a_list_whose_members_return_meanwhile_keeps_them(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads that none is live, and then, under lock, that all are."""
    removed_members(world, "gallery")
    context, other = world.context(queue={"removal_limit": 1, "revive_interval": 0.001}), world.context()
    same = world.put(action="update", day=4, containers=[container("g", names(5), complete=True)])
    back = world.put(*map(photo, names(5)), day=3)
    world.scan(context)
    queue(context, same)
    once(monkeypatch, library, "named", lambda: world.import_all(other, back), before=False)
    assert world.run_next(context) == "done"
    assert sum(row[0] == "gallery" for row in visible(world)) == 5
    assert Sweeper(context).revive() == 0
    assert (world.status(same), removed(world, same)) == ("imported", (0, 0, 0))
