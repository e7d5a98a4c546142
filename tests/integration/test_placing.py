"""Bundles of one time whose order becomes known late, because what they follow arrives after their import."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from typing import Any

import pytest

from ingestd.pipeline.cancelling import cancel
from ingestd.pipeline.context import Context
from ingestd.pipeline.sweeps import Sweeper
from ingestd.store import versions
from support.order_world import sync_id_of
from support.world import World, photo

NOON = "2026-04-01T12:00:00Z"
OLDER, NEWER, PRIOR = (sync_id_of(name) for name in ("1", "2", "3"))
"""`OLDER` is the older one of two bundles of one time, as long as it does not follow another"""


def put(world: World, sync_id: str, *items: Any, prior: str | None = None, **more: Any) -> str:
    return world.put(*items, sync_id=sync_id, prior_sync_id=prior, **{"completed_at": NOON, **more})


def sweep(world: World, context: Context) -> int:
    """Sweeps until nothing is found, runs what was queued; returns how many jobs that were."""
    queued = 0
    while found := Sweeper(context).place():
        queued += found
        while world.run_next(context):
            Sweeper(context).promote()
    return queued


def jobs(world: World, sync_id: str) -> list[tuple[Any, ...]]:
    return world.sql(
        "SELECT j.requested_by, j.scope, j.state FROM import_job j JOIN ingest_batch b ON b.id = j.batch_id"
        " WHERE b.sync_id = %s ORDER BY j.id",
        sync_id,
    )


def unplaced(world: World) -> int:
    return int(world.one("SELECT COUNT(*) FROM ingest_batch WHERE is_placed = %s", 0))


def title(world: World) -> str | None:
    """The title of the only live asset."""
    return str(world.one("SELECT title FROM asset WHERE deleted_at IS NULL"))


def follow_late(world: World, context: Context) -> None:
    """Imports two bundles of one time; then what the older one follows arrives, which makes it the newer one."""
    put(world, OLDER, photo("a", title="of the follower"), prior=PRIOR)
    put(world, NEWER, photo("a", title="of the other"))
    world.import_all(context, OLDER, NEWER)
    put(world, PRIOR)
    world.scan(context)


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
