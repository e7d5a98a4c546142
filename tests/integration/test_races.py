"""Two of a kind at the same moment, raced for real: threads with connections of their own, let loose by a barrier."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest

from ingestd.errors import NotEligible
from ingestd.model import JobState, Lease
from ingestd.pipeline import queueing
from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.importer import chunk_writer
from ingestd.pipeline.importer.run import Run
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.rescuer import Rescuer
from ingestd.pipeline.sweeps import Sweeper
from ingestd.pipeline.worker_pool import claim
from ingestd.store import job
from support.wait import stop_event, until
from support.world import World, cover, md5

T = TypeVar("T")

INSTANCE = str(this_instance())
LONG_AGO = "UPDATE import_job SET heartbeat_at = UTC_TIMESTAMP(6) - INTERVAL 1 HOUR WHERE state = 'running'"


@pytest.fixture
def race() -> Iterator[Callable[..., list[Any]]]:
    """Runs callables at the same moment, each in a thread of its own; their results, in order."""
    with ThreadPoolExecutor(8) as pool:

        def run(*racers: Callable[[], T]) -> list[T]:
            barrier = threading.Barrier(len(racers))

            def start(racer: Callable[[], T]) -> T:
                barrier.wait(10)
                return racer()

            return [future.result(60) for future in [pool.submit(start, racer) for racer in racers]]

        yield run


Race = Callable[..., list[Any]]


def take(context: Context, slot: int = 0) -> Lease:
    lease = claim(context, f"test/pid:1/{slot}", INSTANCE)
    assert lease is not None
    return lease


def runner(context: Context, lease: Lease) -> Callable[[], str]:
    return lambda: Run(context, lease, stop_event()).execute()


def ask(context: Context, sync_id: str, **more: Any) -> queueing.Queued:
    return enqueue(context, QueueRequest(sync_id, "tester", **more))


def kinds(world: World, sync_id: str) -> list[str]:
    return [kind for kind, _ in world.events(sync_id)]


# the library


ASSETS = 50


def items(number: int, title: str, *, backwards: bool) -> list[dict[str, Any]]:
    """The same assets for every title; each with a cover of that title."""
    listed = [
        {"type": "photo", "hash": md5(f"{number}/{i}"), "title": title, "cover_hash": md5(title)} for i in range(ASSETS)
    ]
    return listed[::-1] if backwards else listed


def story(world: World, older: str, newer: str) -> dict[str, list[tuple[str, str]]]:
    """The ledger events of each asset, in order: the bundle, and the event."""
    rows = world.sql(
        "SELECT JSON_VALUE(e.payload, '$.hash'), b.sync_id,"
        " CONCAT_WS(':', e.event_type, JSON_VALUE(e.payload, '$.reason'))"
        " FROM ingest_event e JOIN ingest_batch b ON b.id = e.batch_id"
        " WHERE b.sync_id IN (%s, %s) AND e.event_type LIKE 'item\\_%%' ORDER BY e.id",
        older,
        newer,
    )
    recorded: dict[str, list[tuple[str, str]]] = {}
    for hash_, sync_id, what in rows:
        recorded.setdefault(hash_, []).append(("older" if sync_id == older else "newer", what))
    return recorded


OLDER_FIRST = [("older", "item_created"), ("newer", "item_updated")]
NEWER_FIRST = [("newer", "item_created"), ("older", "item_skipped:superseded")]


def test_two_bundles_for_the_same_assets_leave_what_the_newer_one_says(world: World, race: Race) -> None:
    contexts = [world.context(worker={"chunk_items": 7}) for _ in range(2)]
    endings: set[str] = set()
    for number in range(10):
        bundles = {
            "older": world.put(*items(number, "old", backwards=number % 4 > 1), day=1),
            "newer": world.put(*items(number, "new", backwards=number % 3 > 1), action="update", day=2),
        }
        older, newer = bundles["older"], bundles["newer"]
        world.scan(contexts[0])
        for name in sorted(bundles, reverse=bool(number % 2)):
            ask(contexts[0], bundles[name])
        leases = [take(context, slot) for slot, context in enumerate(contexts)]
        assert race(*map(runner, contexts, leases)) == ["done", "done"]
        recorded = story(world, older, newer)
        assert len(recorded) == ASSETS
        for events in recorded.values():
            assert events in (OLDER_FIRST, NEWER_FIRST)
            endings.add(events[0][0])
        for sync_id in (older, newer):
            rows = {hash_: f"item_{decision}" for hash_, decision in world.decisions(sync_id).items()}
            name = "older" if sync_id == older else "newer"
            assert rows == {hash_: dict(events)[name] for hash_, events in recorded.items()}
        hashes = tuple(recorded)
        assert world.sql("SELECT DISTINCT title, sync_id, deleted_at FROM asset WHERE hash IN %s", hashes) == [
            ("new", newer, None)
        ]
        covers = "SELECT DISTINCT c.cover_hash, c.sync_id FROM asset_cover c JOIN asset a ON a.id = c.asset_id"
        assert world.sql(f"{covers} WHERE a.hash IN %s", hashes) == [(md5("new"), newer)]
    assert endings == {"older", "newer"}, "both orders were seen"


def test_a_cover_and_its_parent_at_the_same_moment_are_linked_in_the_end(world: World, race: Race) -> None:
    contexts = [world.context(queue={"revive_interval": 1e-6}, worker={"chunk_items": 2}) for _ in range(2)]
    deferred = linked = 0
    for number in range(12):
        names = [f"{number}/{i}" for i in range(6)]
        parents = world.put(*({"type": "photo", "hash": md5(name)} for name in names))
        covers = world.put(
            *(
                {"type": "cover", "hash": md5(f"c{name}"), "parent_hash": md5(name)}
                for name in names[:: 1 - 2 * (number % 2)]
            )
        )
        world.scan(contexts[0])
        for sync_id in (parents, covers):
            ask(contexts[0], sync_id)
        leases = [take(context, slot) for slot, context in enumerate(contexts)]
        assert race(*map(runner, contexts, leases)) == ["done", "done"]
        at_once = [decision.split(":")[0] for decision in world.decisions(covers).values()]
        deferred += at_once.count("deferred")
        linked += at_once.count("linked")
        while Sweeper(contexts[0]).revive():
            assert world.run_next(contexts[0]) == "done"
        assert set(world.decisions(covers).values()) == {"linked"}
        rows = world.sql(
            "SELECT a.hash, c.cover_hash FROM asset_cover c JOIN asset a ON a.id = c.asset_id"
            " WHERE c.deleted_at IS NULL AND a.hash IN %s",
            tuple(md5(name) for name in names),
        )
        assert dict(rows) == {md5(name): md5(f"c{name}") for name in names}
        assert world.status(covers) == "imported"
        assert kinds(world, covers).count("item_linked") == len(names)
    assert deferred, "the cover was sometimes first"
    assert deferred + linked == 12 * 6


# the queue


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
                queueing.cancel(contexts[0], sync_id, "tester")  # noqa: B023
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


# leases


def prepare_stale(world: World, context: Context, *, count: int = 6) -> tuple[str, Lease]:
    sync_id = world.put(
        *({"type": "photo", "hash": md5(str(i)), "title": "t"} for i in range(count)),
        cover("cover", "0"),
        containers=[{"type": "gallery", "hash": md5("g"), "items": [md5("0")]}],
    )
    world.scan(context)
    ask(context, sync_id)
    return sync_id, take(context)


def decided(world: World) -> list[tuple[Any, ...]]:
    return world.sql("SELECT id, decision, reason, target_ids, updated_at FROM ingest_batch_item ORDER BY id")


def test_a_worker_that_lost_its_lease_writes_nothing(world: World) -> None:
    context, other = world.context(), world.context()
    sync_id, lease = prepare_stale(world, context)
    world.sql(LONG_AGO)
    assert Rescuer(other, this_instance()).reset_stale() == 1
    before = (world.library(), decided(world), world.events(sync_id), world.sql("SELECT * FROM import_job"))
    assert Run(context, lease, stop_event()).execute() == "lost"
    assert before == (world.library(), decided(world), world.events(sync_id), world.sql("SELECT * FROM import_job"))


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("writes", [1, 2, 4])
def test_a_chunk_written_while_the_lease_is_lost_is_rolled_back(
    world: World, monkeypatch: pytest.MonkeyPatch, writes: int, again: bool
) -> None:
    """The job is reset (and claimed by another) between the writes of a chunk and its fence: the latest moment."""
    context, other = world.context(worker={"chunk_items": 2}), world.context()
    sync_id, lease = prepare_stale(world, context)
    rescuer, real = Rescuer(other, this_instance()), chunk_writer.write
    calls: list[Any] = []
    kept: list[Any] = []
    new_leases: list[Lease] = []

    def losing(*args: Any) -> Any:
        if len(calls) + 1 == writes:
            kept.extend([world.library(), decided(world)])
        result = real(*args)
        calls.append(result)
        if len(calls) == writes:
            world.sql(LONG_AGO)
            assert rescuer.reset_stale() == 1
            if again:
                new_leases.append(take(other, 1))
            kept.append(world.events(sync_id))
        return result

    monkeypatch.setattr(chunk_writer, "write", losing)
    assert Run(context, lease, stop_event()).execute() == "lost"
    assert len(calls) == writes
    assert [world.library(), decided(world), world.events(sync_id)] == kept
    monkeypatch.setattr(chunk_writer, "write", real)
    lease = new_leases[0] if again else take(other, 1)
    assert Run(other, lease, stop_event()).execute() == "done"
    recorded = kinds(world, sync_id)
    assert recorded.count("item_created") == 6
    assert recorded.count("item_linked") == recorded.count("container_created") == recorded.count("job_finished") == 1
    assert world.status(sync_id) == "imported"
    assert world.sql("SELECT state, items_done, claim_token FROM import_job") == [("done", 7, 2)]
