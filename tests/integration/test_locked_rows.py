"""Rows that other clients hold for long delay only what they are about: promotions, retries, revivals, resets."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial

import pymysql
import pytest

from ingestd.errors import DatabaseContention
from ingestd.model import RequestKind
from ingestd.pipeline import ordering
from ingestd.pipeline import rescuer as rescuer_module
from ingestd.pipeline.context import Context
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.rescuer import LOCKED_INTERVAL, Rescuer
from ingestd.pipeline.sweeps import Sweeper
from ingestd.store import connection, request
from support.claimed import ME, running
from support.refusals import refused_events
from support.wait import until
from support.world import World, cover, photo

DEAD = str(ME._replace(pid=2**22 + 1))
PROMPT_SECONDS, LOCK_SECONDS = 15.0, 30
"""The server would wait longer than that for one row."""


@contextmanager
def held(world: World, *statements: str) -> Iterator[None]:
    """Rows that another client holds as long as the block runs; what is done meanwhile does not wait for them."""
    owner = world.server.owner_settings()
    other = pymysql.connect(unix_socket=owner.unix_socket, user=owner.user, database=owner.name, ssl_disabled=True)
    with closing(other), other.cursor() as cursor:
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")  # else it holds whatever it looks at
        for statement in statements:
            cursor.execute(statement)
        began = time.monotonic()
        yield
        took = time.monotonic() - began
        other.rollback()  # the server frees the rows of a closed connection some time later
    assert took < PROMPT_SECONDS


def rows(world: World, table: str, *numbers: int) -> str:
    """Locks rows of a table, by their place in order of id."""
    ids = [str(id_) for (id_,) in world.sql(f"SELECT id FROM {table} ORDER BY id")]
    wanted = ", ".join(ids[number - 1] for number in numbers)
    return f"SELECT id FROM {table} FORCE INDEX (PRIMARY) WHERE id IN ({wanted}) FOR UPDATE"


@pytest.fixture(autouse=True)
def _long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LOCK_SECONDS", LOCK_SECONDS)


@pytest.fixture
def context(world: World) -> Context:
    return world.context(queue={"auto": ["create"], "revive_interval": 1, "retry_pauses": [0.001]})


def states(world: World, table: str = "import_job") -> list[str]:
    return [state for (state,) in world.sql(f"SELECT state FROM {table} ORDER BY id")]


# sweeps


@pytest.mark.parametrize("table", ["import_job", "ingest_batch"])
@pytest.mark.parametrize("locked", [1, 2, 3])
@pytest.mark.parametrize("by_sweep", [True, False])
def test_a_locked_row_delays_no_promotion_of_others(
    world: World, context: Context, monkeypatch: pytest.MonkeyPatch, table: str, locked: int, *, by_sweep: bool
) -> None:
    priors = [world.put(photo(f"p{number}"), day=1) for number in range(3)]
    followers = [world.put(photo(f"f{n}"), day=2, prior_sync_id=prior) for n, prior in enumerate(priors)]
    world.scan(context)
    for sync_id in (*priors, *followers):
        enqueue(context, QueueRequest(sync_id, "tester"))
    if by_sweep:
        monkeypatch.setattr(ordering, "MAX_SUCCESSORS", 0)
        assert [world.run_next(context) for _ in priors] == ["done"] * 3
    place = f"SELECT j.id FROM import_job j WHERE j.state = 'waiting' ORDER BY j.id LIMIT 1 OFFSET {locked - 1}"
    ((job_id,),) = world.sql(place)
    ((batch_id,),) = world.sql("SELECT batch_id FROM import_job WHERE id = %s", job_id)
    with held(
        world, "BEGIN", f"SELECT id FROM {table} WHERE id = {job_id if table == 'import_job' else batch_id} FOR UPDATE"
    ):
        if by_sweep:
            assert Sweeper(context).promote() in (2, 3)
        else:
            assert [world.run_next(context) for _ in priors] == ["done"] * 3
        assert states(world).count("queued") >= 2
    Sweeper(context).promote()
    assert states(world).count("queued") == 3


@pytest.mark.parametrize("locked", [1, 4, 7])
def test_locked_batches_delay_no_automatic_queueing_of_others(world: World, context: Context, locked: int) -> None:
    for number in range(8):
        world.put(photo(f"n{number}"), day=number + 1)
    world.scan(context)
    with held(world, "BEGIN", rows(world, "ingest_batch", *range(1, locked + 1))):
        assert Sweeper(context).queue_new() == 8 - locked
    assert Sweeper(context).queue_new() == locked


def test_locked_priors_and_successors_delay_no_automatic_queueing_of_others(world: World, context: Context) -> None:
    prior = world.put(photo("p"), day=1)
    follower = world.put(photo("f"), day=2, prior_sync_id=prior)
    world.scan(context)
    enqueue(context, QueueRequest(follower, "tester"))
    world.put(photo("other"), day=3)
    world.scan(context)
    with held(world, "BEGIN", rows(world, "import_job", 1)):
        assert Sweeper(context).queue_new() == 1, "the job of the follower would have to wait from now on"
    assert Sweeper(context).queue_new() == 1


def test_locked_batches_delay_no_retries_and_revivals_of_others(world: World, context: Context) -> None:
    failed = [world.put(photo(f"n{number}"), day=number + 1) for number in range(4)]
    with refused_events(world, "import_started"):
        assert world.import_all(context, *failed) == ["failed"] * 4
    deferred = world.put(cover("c", "parent"), day=6)
    assert world.import_all(context, deferred, world.put(photo("parent"), day=7)) == ["done", "done"]
    sweeper = Sweeper(context)
    with held(world, "BEGIN", rows(world, "ingest_batch", 1, 2, 3)):
        until(lambda: "queued" in states(world) or sweeper.retry())
        assert sweeper.promote_and_requeue() > 0
        scopes = world.sql("SELECT scope FROM import_job WHERE state = 'queued' ORDER BY scope")
        assert scopes == [("all",), ("revival",)]


def test_locked_tables_end_a_sweep_as_an_outage_does(
    world: World, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "LOCK_SECONDS", 2)
    world.put(photo("a"))
    world.scan(context)
    impatient = world.context(queue={"auto": ["create"]})
    owner = world.server.owner_settings()
    other = pymysql.connect(unix_socket=owner.unix_socket, user=owner.user, database=owner.name, ssl_disabled=True)
    with closing(other), other.cursor() as cursor:
        cursor.execute("LOCK TABLES import_job READ, ingest_batch READ")
        with pytest.raises(DatabaseContention):
            Sweeper(impatient).queue_new()
        cursor.execute("UNLOCK TABLES")
    assert Sweeper(context).queue_new() == 1


# resets


@pytest.mark.parametrize("table", ["import_job", "ingest_batch"])
@pytest.mark.parametrize("instance", ["dead", "silent"])
def test_a_locked_row_delays_no_reset_of_others(world: World, context: Context, table: str, instance: str) -> None:
    gone = DEAD if instance == "dead" else "other/boot/1/1/1"
    for _ in range(3):
        running(world, context, gone)
    if instance == "silent":
        world.sql("UPDATE import_job SET heartbeat_at = UTC_TIMESTAMP(6) - INTERVAL 1 HOUR")
    rescuer = Rescuer(context, ME)
    with held(world, "BEGIN", rows(world, table, 1)):
        assert rescuer.run_once() == LOCKED_INTERVAL
        assert states(world) == ["running", "queued", "queued"]
    assert rescuer.run_once() > LOCKED_INTERVAL
    assert states(world) == ["queued"] * 3


def test_a_dead_job_whose_row_is_locked_for_long_is_reset_when_it_is_free(world: World) -> None:
    context = world.context(worker={"heartbeat_interval": 0.01, "stale_after": 900.0})
    running(world, context, DEAD)
    rescuer = Rescuer(context, ME)
    with held(world, "BEGIN", rows(world, "import_job", 1)):
        for _ in range(5):
            rescuer.run_once()
    rescuer.run_once()
    assert states(world) == ["queued"], "it does not wait for worker.stale_after"


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_locked_job_is_logged_once_while_it_stays_locked(
    world: World, context: Context, monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    for _ in range(jobs):
        running(world, context, DEAD)
    rescuer, lines = Rescuer(context, ME), []
    monkeypatch.setattr(rescuer_module.log, "info", lambda event, **_more: lines.append(event), raising=False)
    monkeypatch.setattr(rescuer_module, "LOG_LOCKED_SECONDS", 3600.0)
    with held(world, "BEGIN", rows(world, "import_job", *range(1, jobs + 1))):
        for _ in range(5):
            rescuer.run_once()
        assert lines.count("job_locked") == jobs
        monkeypatch.setattr(rescuer_module, "LOG_LOCKED_SECONDS", 0.0)
        rescuer.run_once()
        assert lines.count("job_locked") == 2 * jobs


def test_a_locked_request_delays_no_reset_of_others(world: World, context: Context) -> None:
    names = [world.put(photo(f"n{number}")) for number in range(2)]
    world.scan(context)
    for sync_id in names:
        insert = partial(request.insert, kind=RequestKind.PREFLIGHT, requested_by="tester", sync_id=sync_id)
        context.db.transaction(insert)
    world.sql(
        "UPDATE ingest_request SET state = 'running', claim_token = 1, claimed_by = 'x', claimed_instance = %s,"
        " claimed_at = UTC_TIMESTAMP(6), heartbeat_at = UTC_TIMESTAMP(6)",
        DEAD,
    )
    rescuer = Rescuer(context, ME)
    with held(world, "BEGIN", rows(world, "ingest_request", 1)):
        assert rescuer.run_once() == LOCKED_INTERVAL
        assert states(world, "ingest_request") == ["running", "queued"]
    rescuer.run_once()
    assert states(world, "ingest_request") == ["queued", "queued"]


def test_waiting_for_no_row_ends_with_the_transaction(world: World, context: Context) -> None:
    with held(world, "BEGIN", "UPDATE ingest_control SET paused = 0"), pytest.raises(DatabaseContention):
        context.db.transaction_at_once(lambda tx: tx.connection.query("UPDATE ingest_control SET paused = 0"))
    with context.db.connection().cursor() as cursor:
        cursor.execute("SELECT @@innodb_lock_wait_timeout")
        assert cursor.fetchall() == ((LOCK_SECONDS,),)
