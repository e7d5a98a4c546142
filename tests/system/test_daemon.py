"""The real daemon under real signals: stopped, killed, frozen, in company, and without its database."""

import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest

from ingestd.config import DatabaseSettings
from ingestd.embedded import EmbeddedMariaDB
from ingestd.pipeline import queueing
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.sweeps import Sweeper
from support.private_db import folder_in_memory, prepare, unstarted_server
from support.process import Daemons, Process, daemons_of
from support.scale import scaled
from support.wait import until
from support.world import World, md5, owner_sql

BIG = 5000
CHUNKS = {"chunk_items": 20, "poll_interval": 0.1, "stop_seconds": 10.0}
STOP_SECONDS = 10.0
LOCK_WAIT = 1205
WRITTEN = ("asset", "ingest_batch_item", "import_job")
"""what the transaction of a chunk writes, in this order"""
AUTO = {"auto": ["create", "update"]}


@pytest.fixture
def daemons(world: World, tmp_path: Path) -> Iterator[Daemons]:
    with daemons_of(world, tmp_path) as made:
        yield made


class View:
    """The owner's look at a database."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self._settings = settings

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        return owner_sql(self._settings, statement, *values)

    def one(self, statement: str) -> Any:
        ((value,),) = self.sql(statement)
        return value

    def items_done(self) -> int:
        return int(self.one("SELECT COALESCE(SUM(items_done), 0) FROM import_job"))

    def events(self, kind: str) -> int:
        return int(self.one(f"SELECT COUNT(*) FROM ingest_event WHERE event_type = '{kind}'"))

    def jobs(self) -> list[tuple[Any, ...]]:
        return self.sql("SELECT state, items_done, items_total FROM import_job ORDER BY id")

    def statuses(self) -> list[str]:
        return [status for (status,) in self.sql("SELECT DISTINCT status FROM ingest_batch ORDER BY 1")]

    def demand_each_item_once(self, count: int) -> None:
        """Every item was created, has one event, and its asset exists."""
        recorded = self.sql(
            "SELECT event_type, JSON_VALUE(payload, '$.hash'), COUNT(*) FROM ingest_event"
            " WHERE event_type LIKE 'item\\_%%' AND %s GROUP BY 1, 2",
            1,
        )
        assert {(kind, times) for kind, _, times in recorded} == {("item_created", 1)}
        assert len(recorded) == count
        assert self.sql("SELECT decision, COUNT(*) FROM ingest_batch_item GROUP BY 1") == [("created", count)]
        assert self.one("SELECT COUNT(*) FROM asset") == count


def lean(prefix: str, count: int) -> list[dict[str, Any]]:
    """Items without anything on the mount."""
    return [{"type": "photo", "hash": md5(f"{prefix}{number}")} for number in range(count)]


def view_of(world: World) -> View:
    return View(world.server.owner_settings())


def put_big(world: World) -> str:
    """A big bundle, in the queue."""
    sync_id = world.put(*lean("big", BIG))
    context = world.context()
    world.scan(context)
    enqueue(context, QueueRequest(sync_id, "tester"))
    return sync_id


def in_the_middle(view: View, process: Process, limit: int = BIG) -> None:
    until(lambda: process.has_ended() or view.items_done() > 0, what=lambda: f"for the first items; log: {process.log}")
    assert view.items_done() < limit / 2, "the signal comes in the middle"


def wait_for_end(view: View, process: Process, count: int) -> None:
    until(
        lambda: process.has_ended() or view.statuses() == ["imported"],
        seconds=60,
        what=lambda: f"for the import to end; jobs: {view.jobs()}; log: {process.log}",
    )
    assert view.statuses() == ["imported"], process.log
    assert {state for state, *_ in view.jobs()} == {"done"}
    view.demand_each_item_once(count)


def test_sigterm_puts_the_job_back_and_the_next_daemon_finishes_it(world: World, daemons: Daemons) -> None:
    sync_id, view = put_big(world), view_of(world)
    first = daemons.start(worker=CHUNKS)
    in_the_middle(view, first)
    assert first.terminate(STOP_SECONDS) == 0, first.log
    first.wait_for("event=stopped")
    ((state, done, total),) = view.jobs()
    assert (state, total) == ("queued", BIG)
    assert 0 < done < BIG
    assert view.statuses() == ["queued"]
    kind, payload = world.events(sync_id)[-1]
    assert kind == "job_released"
    job_id = world.one("SELECT id FROM import_job")
    worker = payload.pop("worker_id")
    assert payload == {"phase": "job_release", "job_id": job_id, "reason": "stopping"}
    assert f"/pid:{first.pid}/" in worker
    assert world.sql("SELECT claimed_by, claimed_instance, heartbeat_at FROM import_job") == [(None, None, None)]
    assert view.one("SELECT COUNT(*) FROM ingest_batch_item WHERE decision = 'created'") == done, "no half a chunk"
    second = daemons.start(worker={**CHUNKS, "chunk_items": 500})
    wait_for_end(view, second, BIG)
    assert view.events("job_reset") == 0
    assert view.events("job_finished") == 1
    assert second.terminate(STOP_SECONDS) == 0


def test_sigkill_loses_nothing_and_the_next_daemon_goes_on_at_once(world: World, daemons: Daemons) -> None:
    sync_id, view = put_big(world), view_of(world)
    first = daemons.start(worker=CHUNKS)
    in_the_middle(view, first)
    first.kill()
    assert [state for state, *_ in view.jobs()] == ["running"]
    second = daemons.start(worker={**CHUNKS, "chunk_items": 500})
    wait_for_end(view, second, BIG)
    (reset,) = (payload for kind, payload in world.events(sync_id) if kind == "job_reset")
    assert f"/pid:{first.pid}/" in reset["prior_claimed_by"]
    assert f"/pid:{second.pid}" in reset["reaped_by"]
    assert reset["threshold_seconds"] == 900, "it did not wait for that"
    assert view.sql("SELECT reset_count, isolate_items FROM import_job") == [(1, 0)]
    claims = [payload["worker_id"] for kind, payload in world.events(sync_id) if kind == "job_claimed"]
    assert [re.sub(r".*/pid:(\d+)/.*", r"\1", claim) for claim in claims] == [str(first.pid), str(second.pid)]


def is_locked(world: World, table: str) -> bool:
    """Whether an open transaction holds a row of a table."""
    try:
        world.sql(f"SELECT id FROM {table} WHERE %s FOR UPDATE NOWAIT", 1)
    except pymysql.OperationalError as error:
        if error.args[0] != LOCK_WAIT:
            raise
        return True
    return False


def is_asked_nothing(world: World) -> bool:
    """Whether the server has done everything that a daemon has sent."""
    return (
        world.sql(
            "SELECT 1 FROM information_schema.processlist WHERE user = 'ingestd' AND command <> 'Sleep' LIMIT %s", 1
        )
        == []
    )


def freeze_when(world: World, process: Process, *, in_transaction: bool) -> None:
    """Freezes a daemon while its importer has a transaction open that has written assets, or none at all."""

    def caught() -> bool:
        process.freeze()
        until(lambda: is_asked_nothing(world), what="for the server")
        locked = [table for table in WRITTEN if is_locked(world, table)]
        if "asset" in locked if in_transaction else not locked:
            return True
        process.thaw()
        return False

    until(caught, what="to catch it")


@pytest.mark.parametrize("in_transaction", [False, True])
def test_a_frozen_worker_is_replaced_and_writes_nothing_when_it_wakes(
    world: World, daemons: Daemons, in_transaction: bool
) -> None:
    sync_id, view = put_big(world), view_of(world)
    short = {**CHUNKS, "stale_after": 2.0, "heartbeat_interval": 0.3}
    frozen = daemons.start(worker=short)
    in_the_middle(view, frozen)
    freeze_when(world, frozen, in_transaction=in_transaction)
    assert [state for state, *_ in view.jobs()] == ["running"]
    if in_transaction:
        # The server does this by itself, by idle_transaction_timeout, after a minute.
        for (connection,) in view.sql("SELECT id FROM information_schema.processlist WHERE user = 'ingestd'"):
            view.sql(f"KILL {connection}")
    rescuer = daemons.start(worker={**short, "chunk_items": 500}, queue=AUTO)
    wait_for_end(view, rescuer, BIG)
    (reset,) = (payload for kind, payload in world.events(sync_id) if kind == "job_reset")
    assert f"/pid:{frozen.pid}/" in reset["prior_claimed_by"]
    assert f"/pid:{rescuer.pid}" in reset["reaped_by"]
    assert reset["threshold_seconds"] == 2
    assert rescuer.terminate(STOP_SECONDS) == 0
    library, ledger = world.library(), world.events(sync_id)
    frozen.thaw()
    frozen.wait_for("event=lease_lost")
    assert world.library() == library
    assert world.events(sync_id) == ledger
    assert view.events("job_finished") == 1
    # It has lost that job, and nothing else: it works on.
    later = world.put(*lean("later", 3), day=2)
    context = world.context()
    world.scan(context)
    enqueue(context, QueueRequest(later, "tester"))
    until(lambda: world.status(later) == "imported", what=lambda: f"for the thawed daemon; log: {frozen.log}")
    assert frozen.terminate(STOP_SECONDS) == 0
    view.demand_each_item_once(BIG + 3)


BUNDLES = scaled(400, 2000)
WORKERS = 8


def queue_many(world: World) -> None:
    """Single-item bundles in two priorities, all queued while nothing is claimed."""
    for number in range(BUNDLES):
        world.put(*lean(f"one{number}-", 1), action=("create", "update")[number % 2])
    ordinary = world.context(queue={"auto": ["create"]})
    urgent = world.context(queue={"auto": ["update"], "priority": 50})
    world.scan(ordinary)
    queueing.pause(ordinary, "tester", "until all are queued")
    for context in (ordinary, urgent):
        sweeper = Sweeper(context)
        while sweeper.queue_new():
            pass


@pytest.mark.soak
def test_two_daemons_share_the_work_and_keep_the_order(world: World, daemons: Daemons) -> None:
    queue_many(world)
    view = view_of(world)
    assert view.sql("SELECT priority, COUNT(*) FROM import_job WHERE state = 'queued' GROUP BY 1") == [
        (50, BUNDLES // 2),
        (100, BUNDLES // 2),
    ]
    worker = {"threads": WORKERS // 2, "poll_interval": 0.1, "stop_seconds": STOP_SECONDS}
    pair = [daemons.start(worker=worker, log={"level": "warning"}) for _ in range(2)]
    queueing.resume(world.context(), "tester")
    unfinished = "SELECT EXISTS (SELECT 1 FROM import_job WHERE state IN ('queued', 'running'))"
    until(
        lambda: not view.one(unfinished), seconds=90, what=lambda: f"for the end; {[process.log for process in pair]}"
    )
    assert view.statuses() == ["imported"]
    view.demand_each_item_once(BUNDLES)
    assert [process.terminate(STOP_SECONDS) for process in pair] == [0, 0]
    claims = view.sql(
        "SELECT JSON_VALUE(payload, '$.job_id'), JSON_VALUE(payload, '$.priority'), JSON_VALUE(payload, '$.worker_id')"
        " FROM ingest_event WHERE event_type = 'job_claimed' ORDER BY id"
    )
    claimed = [(int(priority), int(job_id)) for job_id, priority, _ in claims]
    in_order = sorted(claimed)
    assert in_order == view.sql("SELECT priority, id FROM import_job ORDER BY 1, 2"), "each exactly once"
    assert view.sql("SELECT DISTINCT claim_token, state, reset_count FROM import_job") == [(1, "done", 0)]
    demand_order(claimed, in_order)
    shares = {pid: len([worker for *_, worker in claims if f"/pid:{pid}/" in worker]) for pid in (p.pid for p in pair)}
    assert sum(shares.values()) == BUNDLES
    assert min(shares.values()) > BUNDLES / 10, f"both took their part: {shares}"


def demand_order(claimed: list[tuple[int, int]], in_order: list[tuple[int, int]]) -> None:
    """When a job is claimed, those before it are claimed already, or are just being claimed by the other workers."""
    overtaken: set[tuple[int, int]] = set()
    following = iter(in_order)
    furthest = (-1, -1)
    for claim in claimed:
        while furthest < claim:
            furthest = next(following)
            overtaken.add(furthest)
        overtaken.remove(claim)
        earlier = [job for job in overtaken if job < claim]
        assert len(earlier) < WORKERS, f"{claim} was claimed before {sorted(earlier)}"


# the database


@pytest.fixture
def own_server() -> Iterator[EmbeddedMariaDB]:
    """A database of the test's own, that it may start and stop; not there yet."""
    with unstarted_server() as made:
        yield made


@pytest.fixture
def empty_folder() -> Iterator[Path]:
    with folder_in_memory() as folder:
        yield folder


def bring_up(server: EmbeddedMariaDB) -> View:
    server.start()
    prepare(server)
    return View(server.owner_settings())


def test_a_daemon_outlives_its_database(world: World, daemons: Daemons, own_server: EmbeddedMariaDB) -> None:
    """It is started before its database exists, and goes on by itself after two outages in the middle of a job."""
    socket = str(own_server.folder / "mariadb.sock")
    world.put(*lean("big", BIG))
    worker = {**CHUNKS, "heartbeat_interval": 0.5}
    process = daemons.start(socket=socket, worker=worker, queue=AUTO, mount={"rescan_interval": 1.0})
    process.wait_until_started()
    process.wait_for("event=waiting", "out of reach")
    view = bring_up(own_server)
    for limit in (BIG / 3, BIG):
        before = view.items_done()
        until(lambda before=before: view.items_done() > before, what=lambda: f"for items; log: {process.log}")  # type: ignore[misc]
        assert view.items_done() < limit, "the outage comes in the middle"
        own_server.stop()
        process.wait_for("event=waiting", "out of reach")
        own_server.start()
    wait_for_end(view, process, BIG)
    assert view.events("job_finished") == 1
    assert view.events("job_reset") == 0, "its worker never died"
    assert process.terminate(STOP_SECONDS) == 0


# the command


def test_all_errors_of_a_configuration_are_reported_together(daemons: Daemons) -> None:
    wrong: dict[str, Any] = {
        "worker": {"threads": 0, "chunk_items": "many"},
        "queue": {"auto": ["destroy"]},
        "mount": {"verify": "md5", "rot": "/"},
        "nonsense": {"a": 1},
    }
    process = daemons.make("run", **wrong)
    process.environment = {"INGESTD_WORKER__THREDS": "4", "INGESTD_LOG__LEVEL": "loud"}
    daemons.started.append((process, None))
    process.start()
    assert process.wait(30) == 78
    for key in ("worker.threads", "worker.chunk_items", "queue.auto", "mount.verify", "mount.rot", "nonsense",
                "INGESTD_WORKER__THREDS", "log.level"):  # fmt: skip
        assert key in process.log
    assert "Traceback" not in process.log


def test_run_embedded_from_an_empty_folder_and_again(world: World, daemons: Daemons, empty_folder: Path) -> None:
    folder = empty_folder
    for number, name in enumerate(("first", "second")):
        process = daemons.start(embedded=folder, queue=AUTO, mount={"rescan_interval": 0.5})
        view = View(process.embedded_settings())
        process.wait_until_started()
        world.put(*lean(name, 3))
        until(lambda view=view, number=number: view.events("job_finished") == number + 1, what=process.log)  # type: ignore[misc]
        assert view.statuses() == ["imported"]
        view.demand_each_item_once(3 * (number + 1))
        assert process.terminate(30) == 0, process.log
        assert not (folder / "pid").exists(), "its database ended with it"
    # What it leaves is a clean database, which anybody may start.
    with_data = EmbeddedMariaDB(folder)
    with_data.start()
    try:
        assert View(with_data.owner_settings()).statuses() == ["imported"]
    finally:
        with_data.stop()


def test_sigint_stops_it_as_sigterm_does(world: World, daemons: Daemons) -> None:
    process = daemons.start(worker=CHUNKS)
    process.wait_until_started()
    process.send(signal.SIGINT)
    process.send(signal.SIGTERM)
    assert process.wait(STOP_SECONDS) == 0
