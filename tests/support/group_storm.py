"""Two hosts that import small bundles, while their statements fail at random, and jobs are taken from live workers."""

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial

import pymysql

from ingestd.errors import IngestdError
from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.rescuer import Rescuer
from ingestd.pipeline.scanner import Scanner
from ingestd.pipeline.sweeps import Sweeper
from ingestd.pipeline.worker_pool import WorkerPool
from support.mariadb_proxy import Fault, drop_reply, drop_request, fake_error
from support.order_model import Asset, Bundle, CoverItem, Listing
from support.wait import until
from support.world import World

SHARE, SHARE_OF_COMMITS = 0.01, 0.06
"""of the statements that fail"""
SHARE_RESET = 0.3
"""of the looks at running jobs that take one from its worker"""
PAUSE = 0.02
ACTIONS = (drop_reply, drop_request, fake_error(1213, "40001"), fake_error(1205), fake_error(1317, "70100"))
AGED = (
    "UPDATE import_job SET heartbeat_at = UTC_TIMESTAMP(6) - INTERVAL 1 DAY"
    " WHERE state = 'running' ORDER BY RAND() LIMIT %s"
)
ACTIVE = "SELECT COUNT(*) FROM import_job WHERE state IN ('waiting', 'queued', 'running')"


class RandomFault(Fault):
    """Does something to a share of all statements."""

    def __init__(self, dice: random.Random) -> None:
        super().__init__(".", drop_reply)
        self._dice = dice

    def applies(self, statement: str) -> bool:
        share = SHARE_OF_COMMITS if statement == "COMMIT" else SHARE
        self.action = self._dice.choice(ACTIONS)
        is_met = not statement.startswith("<") and self._dice.random() < share
        self.done += is_met
        return is_met


class Storm:
    """What happens to `hosts`; `shore` is a host that reaches the database without faults."""

    def __init__(self, world: World, hosts: Sequence[Context], shore: Context, dice: random.Random) -> None:
        self._world, self._hosts, self._shore, self._dice = world, hosts, shore, dice
        self._ended = threading.Event()

    def rage(self, count: int) -> None:
        """The hosts go on until so many bundles are recorded, and no job is left."""
        self._ended.clear()
        works = [self._reset, *(work for host in self._hosts for work in _works(host))]
        threads = [threading.Thread(target=self._repeat, args=(work,)) for work in works]
        for thread in threads:
            thread.start()
        try:
            until(lambda: self._is_recorded(count) and not self._active(), seconds=120)
        finally:
            self._ended.set()
            for thread in threads:
                thread.join()

    def settle(self) -> None:
        """One host does what is left to do."""
        scanner, sweeper = Scanner(self._shore), Sweeper(self._shore)
        pool, is_idle = WorkerPool(self._shore, this_instance()), False
        while not is_idle:
            self._world.sql("UPDATE ingest_batch SET retry_at = UTC_TIMESTAMP(6) WHERE retry_at IS NOT NULL")
            scanner.scan()
            found = sweeper.queue_new() + sweeper.place() + sweeper.retry() + sweeper.revive() + sweeper.promote()
            while pool.claim_and_run(0) == 0.0:
                found += 1
            is_idle = not found and not self._active()

    def _repeat(self, work: Callable[[], object]) -> None:
        while not self._ended.wait(PAUSE):
            with suppress(IngestdError, pymysql.MySQLError):
                work()

    def _reset(self) -> None:
        """Takes a job from its worker, as if that had been silent."""
        if self._dice.random() < SHARE_RESET:
            self._world.sql(AGED, 1)
            Rescuer(self._shore, this_instance()).reset_stale()

    def _is_recorded(self, count: int) -> bool:
        return bool(self._world.one("SELECT COUNT(*) = %s FROM ingest_batch", count))

    def _active(self) -> int:
        return int(self._world.one(ACTIVE))


def _works(host: Context) -> Iterator[Callable[[], object]]:
    """What the threads of a host do again and again."""
    pool, sweeper = WorkerPool(host, this_instance()), Sweeper(host)
    yield Scanner(host, lambda: None, lambda _jobs: None).scan
    yield lambda: (sweeper.queue_new(), sweeper.promote())
    yield pool.give_back_left
    yield from (partial(_run_all, pool, slot) for slot in range(len(pool.services)))


def _run_all(pool: WorkerPool, slot: int) -> None:
    while pool.claim_and_run(slot) == 0.0:
        pass


@contextmanager
def faults(found: list[Fault], dice: random.Random) -> Iterator[RandomFault]:
    """While the block runs, statements fail at random."""
    fault = RandomFault(dice)
    found.append(fault)
    yield fault
    found.remove(fault)


# bundles


def bundles(dice: random.Random, first: int, end: int, known: list[str]) -> Iterator[Bundle]:
    """Random bundles by number, mostly of new assets, whose names are added to those that are `known`."""
    for number in range(first, end):
        names = [f"{number}-{place}" for place in range(dice.randint(1, 3))]
        yield _bundle(dice, number, names, known)
        known += names


def _bundle(dice: random.Random, number: int, names: list[str], known: list[str]) -> Bundle:
    sync_id, at = f"{number:03x}", dice.randint(0, 12)
    prior = f"{dice.randint(max(0, number - 3), number - 1):03x}" if number and dice.random() < 0.25 else None
    kind = dice.random() if known else 1.0
    if kind < 0.06:
        return Bundle(sync_id, at, "remove", prior, (Asset(dice.choice(known)),))
    more = [dice.choice(known)] if kind < 0.2 else []
    covers = (CoverItem("x", names[0], "big"),) if 0.2 < kind < 0.25 else ()
    listings = (Listing("gallery", "g", "G", tuple(names)),) if 0.25 < kind < 0.3 else ()
    return Bundle(sync_id, at, "update", prior, tuple(_asset(dice, name) for name in names + more), covers, listings)


def _asset(dice: random.Random, name: str) -> Asset:
    files, documents = dice.sample(["original", "small"], dice.randint(0, 2)), dice.sample(["meaning", "notes"], 1)
    title = dice.choice([None, "T1", "T2"])
    return Asset(name, title, frozenset(files), frozenset(documents), fails=dice.random() < 0.04)
