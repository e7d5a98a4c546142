"""A prior that is queued at the moment in which the job that follows it becomes claimable still runs first."""

from collections.abc import Callable
from typing import Any

import pytest

from ingestd.pipeline import cancelling, ordering
from ingestd.pipeline.claims import claim
from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.importer import completion
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.rescuer import Rescuer
from ingestd.pipeline.sweeps import Sweeper
from support.world import World, photo

ME = this_instance()


@pytest.fixture
def pair(world: World) -> tuple[Context, str, str]:
    """A bundle and the one that follows it, recorded."""
    context = world.context()
    prior = world.put(photo("a"), day=1)
    following = world.put(photo("b"), day=2, prior_sync_id=prior)
    world.scan(context)
    return context, prior, following


def promote(context: Context, _following: str) -> None:
    Sweeper(context).promote()


def reset(context: Context, _following: str) -> None:
    Rescuer(context, ME).reset_stale()


def release(context: Context, _following: str) -> None:
    lease = claim(context, "w/pid:1/0", str(ME))
    assert lease is not None
    context.db.transaction(lambda tx: completion.release(tx, lease, "stopping"))


def make_waiting(world: World, context: Context, prior: str, following: str) -> None:
    for sync_id in (prior, following):
        enqueue(context, QueueRequest(sync_id, "tester"))
    cancelling.cancel(context, prior, "tester")


def make_stale(world: World, context: Context, _prior: str, following: str) -> None:
    enqueue(context, QueueRequest(following, "tester"))
    assert claim(context, "elsewhere/pid:1/0", "elsewhere") is not None
    world.sql("UPDATE import_job SET heartbeat_at = UTC_TIMESTAMP(6) - INTERVAL 1 DAY")


def make_queued(_world: World, context: Context, _prior: str, following: str) -> None:
    enqueue(context, QueueRequest(following, "tester"))


@pytest.mark.parametrize(
    ("prepare", "act"), [(make_waiting, promote), (make_stale, reset), (make_queued, release)], ids=lambda f: f.__name__
)
def test_it_is_claimed_first(
    world: World,
    pair: tuple[Context, str, str],
    monkeypatch: pytest.MonkeyPatch,
    prepare: Callable[..., None],
    act: Callable[..., None],
) -> None:
    context, prior, following = pair
    prepare(world, context, prior, following)
    must_wait = ordering.must_wait

    def answer_before_the_prior_is_queued(*arguments: Any) -> bool:
        answer = must_wait(*arguments)
        monkeypatch.setattr(ordering, "must_wait", must_wait)
        enqueue(world.context(), QueueRequest(prior, "other"))
        return answer

    monkeypatch.setattr(ordering, "must_wait", answer_before_the_prior_is_queued)
    act(context, following)
    first = claim(context, "w/pid:1/0", str(ME))
    assert first is not None
    assert world.one("SELECT sync_id FROM ingest_batch WHERE id = %s", first.batch_id) == prior
    assert claim(context, "w/pid:1/1", str(ME)) is None
    assert world.one("SELECT state FROM import_job WHERE state <> 'cancelled' AND id <> %s", first.job_id) == "waiting"
    assert [kind for kind, _ in world.events(following)].count("job_waiting") == 1


def test_a_run_that_reads_another_manifest_waits_for_the_prior_it_names(world: World) -> None:
    """The job was claimable, because the manifest that was recorded named no prior."""
    context = world.context()
    following, prior = world.put(photo("b"), day=2), world.put(photo("a"), day=1)
    world.scan(context)
    for sync_id in (following, prior):
        enqueue(context, QueueRequest(sync_id, "tester"))
    world.put(photo("b"), sync_id=following, day=2, prior_sync_id=prior)
    assert world.run_next(context) == "released"
    assert (world.status(following), world.status(prior)) == ("queued", "queued")
    assert world.run_next(context) == "done"
    assert (world.status(following), world.status(prior)) == ("queued", "imported")
    assert world.run_next(context) == "done"
    assert world.status(following) == "imported"
