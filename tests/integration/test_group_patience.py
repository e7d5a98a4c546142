"""How long the bundles of a group wait for one another, and for the database."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ingestd.pipeline import worker_pool
from ingestd.pipeline.ahead import Ahead
from ingestd.pipeline.context import Context
from ingestd.pipeline.heartbeat import Poller
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.importer import group_import, together
from ingestd.pipeline.importer.run import Run
from ingestd.pipeline.importer.together import Together
from ingestd.pipeline.worker_pool import WorkerPool
from support.groups import of_threads, put, queued, statuses
from support.locks import holding
from support.mariadb_proxy import Fault, drop_reply, drop_request
from support.proxied import proxied
from support.workers import run_all
from support.world import World, md5, photo, sample

OUTAGE = 10
"""tries: more than a group makes where nothing can have been committed"""


@pytest.fixture
def context(world: World) -> Context:
    return of_threads(world, 1)


def test_what_was_committed_is_known_after_an_outage(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, groups: list[int]
) -> None:
    with proxied(world, tmp_path) as site:
        names = [put(world, name) for name in "abc"]
        here, end = of_threads(site, 1), group_import._end
        pool, outage = queued(site, here), Fault("^SELECT id FROM ingest_event", drop_request, times=OUTAGE)

        def losing(*arguments: Any) -> Any:
            site.proxy.faults += [Fault("^COMMIT", drop_reply), outage]
            return end(*arguments)

        monkeypatch.setattr(group_import, "_end", losing)
        pool.claim_and_run(0)
        assert outage.done == OUTAGE
        assert (groups, statuses(world, names)) == ([3], ["imported"] * 3)
        assert sample(here, "leases_lost_total") == 0
        assert sample(here, "jobs_finished_total", outcome="done") == 3
        assert sample(here, "items_total", decision="created") == 3


def test_a_stopping_daemon_does_not_wait_for_the_answer(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with proxied(world, tmp_path) as site:
        names = [put(world, name) for name in "abc"]
        pool, end = queued(site, of_threads(site, 1)), group_import._end
        outage = Fault(".", drop_request, times=float("inf"), while_=lambda: lost.done > 0)
        lost = Fault("^COMMIT", drop_reply)

        def losing(*arguments: Any) -> Any:
            site.proxy.faults += [lost, outage]
            pool._stopping.set()
            return end(*arguments)

        monkeypatch.setattr(group_import, "_end", losing)
        pool.claim_and_run(0)
        assert outage.done > 0
        assert statuses(world, names) == ["imported"] * 3


def test_a_lock_is_waited_for_once(world: World, monkeypatch: pytest.MonkeyPatch, groups: list[int]) -> None:
    context = world.context(worker={"threads": 1, "stale_after": 6.0}, queue={"auto": ["create"]})
    names = [put(world, name) for name in "abc"]
    pool, tries, work = queued(world, context), list[None](), group_import.run
    assert context.db.lock_seconds == 1
    monkeypatch.setattr(together, "WRITING_SECONDS", 0.5)

    def counted(*arguments: Any) -> Any:
        tries.append(None)
        return work(*arguments)

    monkeypatch.setattr(group_import, "run", counted)
    with holding(world, "INSERT INTO asset (hash, deleted_at) VALUES (%s, NOW())", md5("b")):
        monkeypatch.setattr(Run, "execute", lambda _self: "lost")
        pool.claim_and_run(0)
    assert (groups, len(tries)) == ([0], 1)
    assert statuses(world, names) == ["queued"] * 3


def test_long_documents_leave_only_their_own_bundle_out(world: World, context: Context, groups: list[int]) -> None:
    long = json.dumps("x" * together.MAX_BYTES).encode()
    world.file(f"{photo('a')['path']}/source/data/long.json", long)
    names = [put(world, name) for name in "abc"]
    run_all(queued(world, context))
    assert (groups, statuses(world, names)) == ([2], ["imported"] * 3)


@contextmanager
def left_over(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[WorkerPool, list[str], list[list[str]]]]:
    """A pool of one worker, four bundles of a group that are left, and what their statuses were in the first run."""
    context = of_threads(world, 1)
    names = [put(world, name) for name in "abcd"]
    pool, seen, execute = queued(world, context), list[list[str]](), Run.execute
    poller = Poller(context, lambda _work: None, pool.give_back_left)

    def long(self: Run) -> str:
        if self._context is context and not seen:
            poller.run_once()
            seen.append(statuses(world, names))
        return execute(self)

    monkeypatch.setattr(Together, "run", lambda _self: [])
    monkeypatch.setattr(Run, "execute", long)
    yield pool, names, seen


def test_jobs_that_find_no_worker_are_put_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_pool, "LEFT_SECONDS", 0.0)
    with left_over(world, monkeypatch) as (pool, names, seen):
        pool.claim_and_run(0)
        assert seen == [["importing", "queued", "queued", "queued"]]
        assert statuses(world, names) == ["imported", "queued", "queued", "queued"]
        assert world.events(names[1])[-1][1]["reason"] == "no_worker"
        assert pool.leases == []
        run_all(WorkerPool(of_threads(world, 1), this_instance()))
        assert statuses(world, names) == ["imported"] * 4


def test_they_are_claimed_again_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_pool, "LEFT_SECONDS", 0.0)
    with left_over(world, monkeypatch) as (pool, names, _):
        run_all(pool)
        assert statuses(world, names) == ["imported"] * 4
        assert sample(pool._context, "jobs_finished_total", outcome="released") == 0, "none of them has run"


def test_jobs_that_wait_for_a_moment_are_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with left_over(world, monkeypatch) as (pool, names, seen):
        pool.claim_and_run(0)
        assert seen == [["importing"] * 4]
        assert statuses(world, names) == ["imported"] * 4


def test_the_rest_after_slow_reads_grows_until_a_group_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    ahead = Ahead()

    def rested() -> float:
        ahead.rest()
        return ahead._rests_until - now

    assert [rested() for _ in range(8)] == [60, 120, 240, 480, 960, 1920, 3600, 3600]
    ahead.forget(["a"])
    assert rested() == 60
