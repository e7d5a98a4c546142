"""Claims, cancellations, sweeps and resets of one job at the same moment."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ingestd.errors import NotEligible
from ingestd.model import JobState
from ingestd.pipeline import cancelling
from ingestd.pipeline.claims import claim
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.rescuer import Rescuer
from ingestd.pipeline.sweeps import Sweeper
from ingestd.store import job
from support.racing import INSTANCE, LONG_AGO, Race, ask, runner, take
from support.scanning import kinds
from support.wait import until
from support.world import World, md5


def test_no_job_is_claimed_twice(world: World, race: Race) -> None:
    jobs = 40
    contexts = [world.context() for _ in range(4)]
    for number in range(jobs):
        world.put({"type": "photo", "hash": md5(str(number))})
    feeding = world.context(queue={"auto": ["create"]})
    world.scan(feeding)
    assert Sweeper(feeding).queue_new() == jobs
    claimed: list[tuple[int, int]] = []

    def claim_all(slot: int) -> None:
        # Finding no row does not mean that none is left: the others may hold the last ones for a moment.
        while len(claimed) < jobs:
            lease = claim(contexts[slot], f"test/pid:1/{slot}", INSTANCE)
            if lease is not None:
                claimed.append((lease.job_id, slot))

    race(*(lambda slot=slot: claim_all(slot) for slot in range(4)))
    assert sorted(job_id for job_id, _ in claimed) == [
        id_ for (id_,) in world.sql("SELECT id FROM import_job ORDER BY 1")
    ]
    assert world.one("SELECT COUNT(*) FROM ingest_event WHERE event_type = 'job_claimed'") == jobs
    rows = world.sql("SELECT id, claimed_by, claim_token FROM import_job ORDER BY 1")
    assert rows == [(job_id, f"test/pid:1/{slot}", 1) for job_id, slot in sorted(claimed)]


def test_queueing_one_batch_from_all_sides_makes_one_job(world: World, race: Race) -> None:
    contexts = [world.context() for _ in range(4)]
    for number in range(8):
        sync_id = world.put({"type": "photo", "hash": md5(str(number))})
        world.scan(contexts[0])
        results = race(*(lambda context=context: ask(context, sync_id) for context in contexts))  # noqa: B023
        assert [result.is_new for result in results].count(True) == 1
        assert len({result.job.id for result in results}) == 1
        assert kinds(world, sync_id).count("job_queued") == 1
        assert world.status(sync_id) == "queued"
    assert world.one("SELECT COUNT(*) FROM import_job") == 8


def test_a_sweep_and_an_operator_make_one_job(world: World, race: Race) -> None:
    operator, sweeping = world.context(), world.context(queue={"auto": ["create"]})
    for number in range(8):
        sync_id = world.put({"type": "photo", "hash": md5(str(number))})
        world.scan(operator)
        race(lambda: ask(operator, sync_id), Sweeper(sweeping).queue_new)  # noqa: B023
        assert kinds(world, sync_id).count("job_queued") == 1
    assert world.one("SELECT COUNT(*) FROM import_job") == 8


def test_a_successor_queued_with_its_prior_waits_for_it_or_was_first(world: World, race: Race) -> None:
    contexts = [world.context() for _ in range(2)]
    seen: set[str] = set()
    for number in range(15):
        prior = world.put({"type": "photo", "hash": md5(str(number)), "title": "prior"}, day=1)
        follower = world.put(
            {"type": "photo", "hash": md5(str(number)), "title": "promoter"}, day=2, prior_sync_id=prior
        )
        world.scan(contexts[0])
        first, second = race(lambda: ask(contexts[0], prior), lambda: ask(contexts[1], follower))  # noqa: B023
        assert first.job.state is JobState.QUEUED
        waits = first.job.id < second.job.id
        assert second.job.state is (JobState.WAITING if waits else JobState.QUEUED)
        seen.add(second.job.state)
        assert Sweeper(contexts[0]).promote() == 0, "the prior batch has an active job"
        while world.run_next(contexts[0]):
            Sweeper(contexts[0]).promote()
        assert world.status(prior) == world.status(follower) == "imported"
        assert world.one("SELECT title FROM asset WHERE hash = %s", md5(str(number))) == "promoter"
        order = world.sql(
            "SELECT b.sync_id FROM ingest_event e JOIN ingest_batch b ON b.id = e.batch_id"
            " WHERE e.event_type = 'job_claimed' AND b.sync_id IN (%s, %s) ORDER BY e.id",
            prior,
            follower,
        )
        assert order == [(prior,), (follower,)] if waits else [(follower,), (prior,)]
    assert JobState.WAITING in seen


def somebody_waits(world: World) -> bool:
    """Whether a statement of the daemon's account has been held up for a while."""
    return bool(
        world.one(
            "SELECT COUNT(*) FROM information_schema.processlist"
            " WHERE user = 'ingestd' AND command = 'Query' AND time_ms > 50"
        )
    )


def test_a_successor_sees_the_job_that_its_prior_is_just_getting(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The prior's job is inserted and not yet committed when the successor is queued."""
    contexts = [world.context() for _ in range(2)]
    prior = world.put({"type": "photo", "hash": md5("a")}, day=1)
    follower = world.put({"type": "photo", "hash": md5("a"), "title": "b"}, day=2, prior_sync_id=prior)
    world.scan(contexts[0])
    real, followed, begun = job.insert, [], threading.Event()
    with ThreadPoolExecutor(1) as pool:

        def inserting(*args: Any, **values: Any) -> int:
            job_id = real(*args, **values)
            if not begun.is_set():
                begun.set()
                followed.append(pool.submit(ask, contexts[1], follower))
                until(lambda: followed[0].done() or somebody_waits(world))
            return job_id

        monkeypatch.setattr(job, "insert", inserting)
        first = ask(contexts[0], prior)
        second = followed[0].result(30)
    assert (first.job.state, second.job.state) == (JobState.QUEUED, JobState.WAITING)


def test_either_the_cancellation_wins_or_the_claim(world: World, race: Race) -> None:
    contexts = [world.context() for _ in range(2)]
    winners = []
    for number in range(25):
        sync_id = world.put({"type": "photo", "hash": md5(str(number))})
        world.scan(contexts[0])
        ask(contexts[0], sync_id)

        def cancel() -> str | None:
            try:
                cancelling.cancel(contexts[0], sync_id, "tester")  # noqa: B023
            except NotEligible:
                return None
            return "cancel"

        def take_it() -> str | None:
            return "claim" if claim(contexts[1], "test/pid:1/0", INSTANCE) else None

        results = race(*((cancel, take_it) if number % 2 else (take_it, cancel)))
        (winner,) = filter(None, results)
        winners.append(winner)
        recorded = kinds(world, sync_id)
        expected = {
            "cancel": ("cancelled", "ready", 1, 0),
            "claim": ("running", "importing", 0, 1),
        }
        state = world.one("SELECT state FROM import_job ORDER BY id DESC LIMIT 1")
        counts = (recorded.count("job_cancelled"), recorded.count("job_claimed"))
        assert (state, world.status(sync_id), *counts) == expected[winner]
        world.sql("UPDATE import_job SET state = 'done' WHERE state = 'running'")
    assert len(winners) == 25


def test_one_of_two_rescuers_resets_a_stale_job(world: World, race: Race) -> None:
    contexts = [world.context() for _ in range(2)]
    rescuers = [Rescuer(context, this_instance()) for context in contexts]
    for number in range(8):
        sync_id = world.put({"type": "photo", "hash": md5(str(number))})
        world.scan(contexts[0])
        ask(contexts[0], sync_id)
        take(contexts[0])
        world.sql(LONG_AGO)
        assert sorted(race(*(rescuer.reset_stale for rescuer in rescuers))) == [0, 1]
        assert kinds(world, sync_id).count("job_reset") == 1
        assert world.sql("SELECT reset_count FROM import_job WHERE state = 'queued'") == [(1,)]
        assert world.run_next(contexts[0]) == "done"


def test_a_reset_raced_with_a_sign_of_life_leaves_one_owner(world: World, race: Race) -> None:
    """A late heartbeat races with the rescuer: the second one notices that the first has won."""
    contexts = [world.context() for _ in range(2)]
    rescuer = Rescuer(contexts[1], this_instance())
    for number in range(10):
        sync_id = world.put({"type": "photo", "hash": md5(str(number))})
        world.scan(contexts[0])
        ask(contexts[0], sync_id)
        lease = take(contexts[0])
        world.sql(LONG_AGO)
        outcome, resets = race(runner(contexts[0], lease), rescuer.reset_stale)
        assert (outcome, resets) in (("done", 0), ("lost", 1))
        if resets:
            assert world.run_next(contexts[0]) == "done"
        recorded = kinds(world, sync_id)
        assert recorded.count("item_created") == recorded.count("job_finished") == 1
        assert recorded.count("job_reset") == resets
