"""The jobs of a group: they are claimed in order, all are running, and all are put back."""

import threading
from typing import Any

import pytest

from ingestd.errors import DatabaseContention
from ingestd.pipeline import claims, worker_pool
from ingestd.pipeline.claims import claim_group
from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.importer import group_import
from ingestd.pipeline.importer.run import Run
from ingestd.pipeline.importer.together import Together
from ingestd.pipeline.rescuer import Rescuer
from ingestd.pipeline.worker_pool import WorkerPool
from ingestd.store.db import Tx
from support.groups import of_threads, put, queued, statuses
from support.workers import run_all
from support.world import World, cover, owner_cursor, photo


@pytest.fixture
def context(world: World) -> Context:
    return of_threads(world, 1)


@pytest.fixture
def shares(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of two workers gets its share, however few jobs there are."""
    monkeypatch.setattr(worker_pool, "MIN_SHARE", 1)


@pytest.mark.usefixtures("shares")
def test_all_of_a_group_are_running(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """They get heartbeats, also those that are left over."""
    context = of_threads(world, 2)
    names = [put(world, name) for name in "abcd"]
    pool = queued(world, context)
    seen: list[Any] = []

    def look(*_arguments: Any) -> Any:
        seen.append((sorted(lease.sync_id for lease in pool.leases), pool.workers()))
        return []

    monkeypatch.setattr(Together, "run", look)
    execute = Run.execute
    monkeypatch.setattr(Run, "execute", lambda self: (look(), execute(self))[1])
    pool.claim_and_run(0)
    first = sorted(names[:2])
    assert seen == [(first, {"idle": 1, "busy": 1})] * 2 + [([names[1]], {"idle": 1, "busy": 1})]
    assert statuses(world, names) == ["imported", "imported", "queued", "queued"], "the others are for the other worker"


@pytest.mark.usefixtures("shares")
def test_what_is_left_is_run_by_other_workers_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    context = of_threads(world, 2)
    names = [put(world, name) for name in "abcd"]
    pool = queued(world, context)
    monkeypatch.setattr(Together, "run", lambda _self: [])
    execute = Run.execute

    def run(self: Run) -> str:
        if self._lease.sync_id == names[0]:  # it takes long
            assert pool._run_left(1)
        return execute(self)

    monkeypatch.setattr(Run, "execute", run)
    pool.claim_and_run(0)
    assert statuses(world, names) == ["imported", "imported", "queued", "queued"]
    assert pool.leases == []


def test_a_stopping_daemon_puts_back_all_of_a_group(
    world: World, context: Context, monkeypatch: pytest.MonkeyPatch, groups: list[int]
) -> None:
    names = [put(world, name) for name in "abc"]
    pool = queued(world, context)
    request = Together._read

    def stop(self: Together, requests: Any) -> Any:
        pool._stopping.set()
        return request(self, requests)

    monkeypatch.setattr(Together, "_read", stop)
    pool.claim_and_run(0)
    assert groups == [0]
    assert statuses(world, names) == ["queued"] * 3
    assert all(world.events(one)[-1][1]["reason"] == "stopping" for one in names)
    assert (pool.leases, world.one("SELECT COUNT(*) FROM asset")) == ([], 0)


def test_a_stopping_daemon_begins_no_run_of_what_is_left(
    world: World, context: Context, monkeypatch: pytest.MonkeyPatch, groups: list[int]
) -> None:
    """Not even where all is read already: each may have to wait for what the group met."""
    names = [put(world, name) for name in "abc"]
    pool = queued(world, context)

    def stop(*_arguments: Any) -> Any:
        pool._stopping.set()
        raise DatabaseContention("another transaction is in the way")

    monkeypatch.setattr(group_import, "run", stop)
    pool.claim_and_run(0)
    assert groups == [0]
    assert statuses(world, names) == ["queued"] * 3
    assert all(world.events(one)[-1][1]["reason"] == "stopping" for one in names)


def test_nothing_is_claimed_while_the_queue_is_paused(world: World, context: Context, groups: list[int]) -> None:
    names = [put(world, name) for name in "abc"]
    pool = queued(world, context)
    world.sql("UPDATE ingest_control SET paused = 1")
    run_all(pool)
    assert (groups, statuses(world, names)) == ([], ["queued"] * 3)


def test_after_work_was_given_back_one_job_at_a_time_is_claimed(
    world: World, context: Context, groups: list[int]
) -> None:
    names = [put(world, name) for name in "abc"]
    pool = queued(world, context)
    pool._pace.released(float("inf"))
    pool._pace._next_claim_at = 0.0
    pool.claim_and_run(0)
    assert (groups, statuses(world, names)) == ([], ["imported", "queued", "queued"])


def test_a_claim_locks_only_what_it_takes(world: World, context: Context) -> None:
    """The job that ends a group is the next one for another worker, as long as the claim of the group lasts."""
    names = [put(world, name) for name in "ab"]
    names.append(put(world, "c", photo("cover"), cover("cover", "c")))
    names += [put(world, name) for name in "de"]
    queued(world, context)
    assert statuses(world, names) == ["queued"] * len(names)
    claimed: list[list[str]] = []

    def claim(limit: int) -> None:
        claimed.append([lease.sync_id for lease in claim_group(context, "here/pid:1/0", str(this_instance()), limit)])

    def claim_two(tx: Tx) -> None:
        claimed.append([found.sync_id for found in claims._next_group(tx, context, 16, ())])
        other = threading.Thread(target=claim, args=(1,))
        other.start()
        other.join()

    context.db.transaction(claim_two)
    assert claimed == [names[:2], [names[2]]]


def test_a_job_whose_prior_was_queued_meanwhile_is_not_claimed_with_it(world: World, context: Context) -> None:
    first = put(world, "a")
    put(world, "b", prior_sync_id=first, day=2)
    queued(world, context)
    assert world.sql("SELECT state FROM import_job ORDER BY id") == [("queued",), ("waiting",)]
    world.sql("UPDATE import_job SET state = 'queued'")
    leases = claim_group(context, "here/pid:1/0", str(this_instance()), 16)
    assert [lease.sync_id for lease in leases] == [first]


def test_a_group_begins_after_those_that_others_claim(world: World, context: Context) -> None:
    names = [put(world, name) for name in "abcde"]
    queued(world, context)
    with owner_cursor(world.server.owner_settings()) as cursor:
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        cursor.execute("BEGIN")
        cursor.execute("SELECT id FROM import_job ORDER BY id LIMIT 3 FOR UPDATE")
        leases = claim_group(context, "here/pid:1/0", str(this_instance()), 2)
    assert [lease.sync_id for lease in leases] == [names[3]], "the one beside what others claim is the next one"


def test_a_crash_has_all_of_a_group_run_alone_next(world: World, context: Context, groups: list[int]) -> None:
    names = [put(world, name) for name in "abc"]
    pool = queued(world, context)
    me = this_instance()
    leases = claim_group(context, "here/pid:4194000/0", str(me._replace(pid=4_194_000)), 16)
    assert len(leases) == 3
    assert Rescuer(context, me).reset_dead() == 3
    assert world.sql("SELECT DISTINCT state, isolate_items, crash_count FROM import_job") == [("queued", 1, 0)]
    run_all(pool)
    assert (groups, statuses(world, names)) == ([], ["imported"] * 3)


def test_a_crash_with_others_counts_against_none_of_them(world: World, context: Context) -> None:
    """One of them may be the reason: the others must not fail because they were beside it."""
    names = [put(world, name) for name in "abc"]
    queued(world, context)
    me = this_instance()
    for limit in (16, 1, 1):
        assert claim_group(context, "here/pid:4194000/0", str(me._replace(pid=4_194_000)), limit)
        assert Rescuer(context, me).reset_dead()
    assert statuses(world, names) == ["queued"] * 3
    assert claim_group(context, "here/pid:4194000/0", str(me._replace(pid=4_194_000)), 1)
    assert Rescuer(context, me).reset_dead()
    assert statuses(world, names) == ["failed", "queued", "queued"], "it crashed three workers when it was alone"


@pytest.mark.usefixtures("shares")
def test_the_others_are_woken_where_more_may_be_queued(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    context = of_threads(world, 2)
    names = [put(world, name) for name in "abcd"]
    pool = queued(world, context)
    assert statuses(world, names) == ["queued"] * len(names)
    woken: list[None] = []
    monkeypatch.setattr(pool.services[1], "wake", lambda: woken.append(None))
    WorkerPool.wake_one(pool)
    woken.clear()
    pool.claim_and_run(0)
    assert len(woken) == 1
