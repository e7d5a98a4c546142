"""Bundles of one time whose order becomes known late, because what they follow arrives after their import."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from typing import Any

import pytest

from ingestd.pipeline.cancelling import cancel
from ingestd.pipeline.sweeps import Sweeper
from ingestd.store import versions
from support.equal_times import NEWER, NOON, OLDER, PRIOR, follow_late, jobs, put, sweep, title, unplaced
from support.order_world import sync_id_of
from support.world import World, photo


def test_a_prior_that_arrives_last_makes_its_follower_newer(world: World) -> None:
    context = world.context()
    follow_late(world, context)
    assert title(world) == "of the other"
    assert sweep(world, context) == 1
    assert title(world) == "of the follower"
    assert jobs(world, OLDER) == [("tester", "all", "done"), ("ingestd", "reimport", "done")]
    assert jobs(world, NEWER) == [("tester", "all", "done")]
    assert sweep(world, context) == unplaced(world) == 0


def test_a_chain_moves_as_a_whole(world: World) -> None:
    context = world.context()
    put(world, sync_id_of("0"), photo("a", title="last"), prior=OLDER)
    put(world, OLDER, photo("a", title="middle"), prior=PRIOR)
    put(world, NEWER, photo("a", title="other"))
    world.import_all(context, sync_id_of("0"), OLDER, NEWER)
    put(world, PRIOR, photo("a", title="first"))
    world.import_all(context, PRIOR)
    sweep(world, context)
    assert title(world) == "last"


def test_followers_that_move_by_different_numbers_are_imported_again(world: World) -> None:
    """Nothing else of their time was imported, and all that they follow is seen by one sweep."""
    context = world.context()
    first, second, roots = sync_id_of("7"), sync_id_of("6"), [sync_id_of(name) for name in "123"]
    put(world, second, photo("a", title="follows two"), prior=roots[1])
    put(world, first, photo("a", title="follows one"), prior=roots[2])
    world.import_all(context, second, first)
    assert title(world) == "follows one"
    for sync_id, prior in zip(roots, [None, roots[0], None], strict=True):
        put(world, sync_id, prior=prior)
    world.scan(context)
    sweep(world, context)
    assert title(world) == "follows two"
    assert unplaced(world) == 0


@pytest.mark.parametrize("prior_time", [NOON, "2026-04-01T11:00:00Z"])
def test_nothing_is_imported_again_where_the_order_stays(world: World, prior_time: str) -> None:
    """Without others of its time, and where the prior is of another time."""
    context = world.context()
    put(world, OLDER, photo("a"), prior=PRIOR)
    world.import_all(context, OLDER)
    if prior_time != NOON:
        put(world, NEWER, photo("a"))
        world.import_all(context, NEWER)
    put(world, PRIOR, completed_at=prior_time)
    world.scan(context)
    assert sweep(world, context) == unplaced(world) == 0


def test_a_bundle_that_names_itself_follows_nothing(world: World) -> None:
    context = world.context()
    put(world, NEWER, photo("a", title="of the other"))
    put(world, OLDER, photo("a", title="its own prior"), prior=OLDER)
    world.import_all(context, NEWER, OLDER)
    assert sweep(world, context) == unplaced(world) == 0
    assert title(world) == "of the other"


@pytest.mark.parametrize("order", [*permutations("513")])
def test_a_circle_is_ordered_by_sync_id(world: World, order: Sequence[str]) -> None:
    context = world.context()
    priors = {"5": "3", "1": "5", "3": "1"}
    for name in order:
        items = () if name == "3" else (photo("a", title=name),)
        put(world, sync_id_of(name), *items, prior=sync_id_of(priors[name]))
        world.import_all(context, sync_id_of(name))
    sweep(world, context)
    assert title(world) == "5"
    assert unplaced(world) == 0


def test_content_that_was_not_queued_is_left_alone(world: World) -> None:
    context = world.context()
    put(world, OLDER, photo("a"), prior=PRIOR)
    put(world, NEWER, photo("b"))
    world.import_all(context, OLDER, NEWER)
    put(world, OLDER, photo("a"), prior=PRIOR, action="remove")
    put(world, PRIOR)
    world.scan(context)
    assert sweep(world, context) == unplaced(world) == 0
    assert world.status(OLDER) == "new"
    assert world.one("SELECT COUNT(*) FROM asset WHERE deleted_at IS NULL AND %s", 1) == 2


def test_a_person_may_cancel_it(world: World) -> None:
    context = world.context()
    follow_late(world, context)
    assert Sweeper(context).place() == 1
    cancel(context, OLDER, "tester")
    assert sweep(world, context) == unplaced(world) == 0
    assert jobs(world, OLDER)[-1] == ("ingestd", "reimport", "cancelled")


def test_a_run_by_a_person_takes_the_new_order_up(world: World) -> None:
    context = world.context()
    follow_late(world, context)
    world.import_all(context, OLDER)
    assert title(world) == "of the follower"
    assert sweep(world, context) == unplaced(world) == 0


def test_a_prior_that_arrives_while_its_follower_begins_is_not_missed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, elsewhere = world.context(), world.context()
    put(world, OLDER, photo("a", title="of the follower"), prior=PRIOR)
    put(world, NEWER, photo("a", title="of the other"))
    world.import_all(context, NEWER)
    begin = versions.begin_import

    def begin_late(*arguments: Any, **more: Any) -> None:
        monkeypatch.setattr(versions, "begin_import", begin)
        put(world, PRIOR)
        world.scan(elsewhere)
        assert Sweeper(elsewhere).place() == 0
        begin(*arguments, **more)

    monkeypatch.setattr(versions, "begin_import", begin_late)
    world.import_all(context, OLDER)
    assert title(world) == "of the other"
    sweep(world, context)
    assert title(world) == "of the follower"
    assert unplaced(world) == 0


def test_a_prior_that_is_delivered_again_with_an_earlier_time_keeps_its_time(world: World) -> None:
    context = world.context()
    put(world, NEWER, photo("a", title="first"))
    put(world, OLDER, photo("a"), prior=NEWER, action="remove")
    world.import_all(context, NEWER, OLDER)
    put(world, NEWER, photo("a", title="again"), completed_at="2026-04-01T11:00:00Z")
    world.import_all(context, NEWER)
    sweep(world, context)
    assert world.sql("SELECT hash FROM asset WHERE deleted_at IS NULL") == []


def test_hosts_that_sweep_at_once_queue_it_once(world: World) -> None:
    contexts = [world.context() for _ in range(2)]
    follow_late(world, contexts[0])
    with ThreadPoolExecutor(2) as pool:
        queued = sum(pool.map(lambda context: Sweeper(context).place(), contexts))
    queued += sum(Sweeper(context).place() for context in contexts)
    assert queued == 1
    assert jobs(world, OLDER)[-1] == ("ingestd", "reimport", "queued")
    assert sweep(world, contexts[0]) == 0


def test_claims_are_tried_again_after_batches_were_locked(world: World) -> None:
    """A claim in the same moment leaves out a job whose batch is locked, and would wait for the next poll."""
    woken: list[bool] = []
    context = world.context()
    put(world, OLDER, photo("a"))
    world.scan(context)
    sweeper = Sweeper(context, lambda: woken.append(True))
    assert sweeper.place() == 0
    assert woken == [True]
    sweeper.place()
    assert woken == [True]
