"""store.db and store.migrate against real servers: deadlocks, kills, outages and lost replies happen for real."""

import gc
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestd.config import DatabaseSettings, Settings
from ingestd.embedded import EmbeddedMariaDB, running
from ingestd.errors import (
    DatabaseContention,
    DatabaseRefused,
    DatabaseUnavailable,
    DataRefused,
)
from ingestd.store import attempts, ledger
from ingestd.store.attempts import OUTAGE_TRIES
from ingestd.store.db import Database, Tx
from ingestd.store.migrate import migrate
from ingestd.store.values import Json
from support.private_db import unstarted_server
from support.wait import until
from support.world import World, owner_sql

Rows = list[tuple[Any, ...]]


def run(tx: Tx, statement: str, *values: Any) -> Rows:
    with tx.connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


def connection_id(tx: Tx) -> int:
    return int(run(tx, "SELECT CONNECTION_ID()")[0][0])


class Trial:
    """A database with one table `t` of two rows, (1, 0) and (2, 0), and its owner's view of it."""

    def __init__(self, server: EmbeddedMariaDB) -> None:
        self.server = server
        self.settings = server.owner_settings().model_copy(update={"name": "trial"})
        self.made: list[Database] = []

    def create(self) -> None:
        owner_sql(self.server.owner_settings(), "CREATE OR REPLACE DATABASE trial CHARACTER SET utf8mb4")
        self.sql("CREATE TABLE t (id INT PRIMARY KEY, n INT NOT NULL, word VARCHAR(3), text LONGTEXT) ENGINE=InnoDB")
        self.sql("INSERT INTO t (id, n) VALUES (1, 0), (2, 0)")

    def sql(self, statement: str, *values: Any) -> Rows:
        return owner_sql(self.settings, statement, *values)

    def numbers(self) -> dict[int, int]:
        return dict(self.sql("SELECT id, n FROM t ORDER BY id"))

    def database(self, **settings: Any) -> Database:
        self.made.append(Database(self.settings.model_copy(update=settings)))
        return self.made[-1]

    def kill(self, id_: int) -> None:
        self.sql("KILL CONNECTION %s", id_)
        until(lambda: not self.sql("SELECT 1 FROM information_schema.PROCESSLIST WHERE ID = %s", id_))

    def close(self) -> None:
        for database in self.made:
            database.close()


@pytest.fixture
def trial(server: EmbeddedMariaDB) -> Iterator[Trial]:
    made = Trial(server)
    made.create()
    yield made
    made.close()
    owner_sql(server.owner_settings(), "DROP DATABASE trial")


@pytest.fixture(scope="module")
def second_server() -> Iterator[EmbeddedMariaDB]:
    """A server that a test may stop (and starts again), with small packets."""
    with unstarted_server("--max-allowed-packet=1M") as server, running(server):
        Trial(server).create()
        yield server


@pytest.fixture
def second(second_server: EmbeddedMariaDB) -> Iterator[Trial]:
    second_server.start()
    made = Trial(second_server)
    made.create()
    yield made
    made.close()
    gc.collect()


def add(tx: Tx, id_: int, amount: int = 1) -> None:
    run(tx, "UPDATE t SET n = n + %s WHERE id = %s", amount, id_)


# the session


def test_session_is_strict_utc_and_read_committed(trial: Trial) -> None:
    ((mode, zone, isolation, lock_wait, idle, autocommit),) = trial.database().read(
        lambda tx: run(
            tx,
            "SELECT @@sql_mode, @@time_zone, @@tx_isolation, @@innodb_lock_wait_timeout, @@idle_transaction_timeout,"
            " @@autocommit",
        )
    )
    assert "STRICT_ALL_TABLES" in mode.split(",")
    assert "NO_BACKSLASH_ESCAPES" not in mode
    assert (zone, isolation, lock_wait, idle, autocommit) == ("+00:00", "READ-COMMITTED", 5, 60, 1)


def test_values_that_do_not_fit_are_refused_and_not_cut(trial: Trial) -> None:
    db = trial.database()
    with pytest.raises(DataRefused, match="Data too long"):
        db.transaction(lambda tx: run(tx, "UPDATE t SET word = 'four' WHERE id = 1"))
    with pytest.raises(DataRefused, match="Out of range"):
        db.transaction(lambda tx: run(tx, "UPDATE t SET n = 99999999999 WHERE id = 1"))
    assert trial.sql("SELECT word, n FROM t WHERE id = 1") == [(None, 0)]


def test_values_that_the_driver_cannot_write_do_not_count_as_outage(trial: Trial) -> None:
    with pytest.raises(DataRefused, match="nan"):
        trial.database().transaction(lambda tx: run(tx, "UPDATE t SET n = %s", float("nan")))


def test_open_transaction_sees_what_others_commit(trial: Trial) -> None:
    def work(tx: Tx) -> list[int]:
        seen = []
        for _ in range(2):
            seen.append(run(tx, "SELECT n FROM t WHERE id = 1")[0][0])
            trial.sql("UPDATE t SET n = n + 1 WHERE id = 1")
        return seen

    assert trial.database().transaction(work) == [0, 1]


def test_rows_found_count_also_when_nothing_changes(trial: Trial) -> None:
    def work(tx: Tx) -> int:
        with tx.connection.cursor() as cursor:
            return int(cursor.execute("UPDATE t SET n = 0"))

    assert trial.database().transaction(work) == 2


def test_reading_holds_no_snapshot(trial: Trial) -> None:
    db = trial.database()
    db.read(lambda tx: run(tx, "SELECT * FROM t"))
    assert not trial.sql(
        "SELECT 1 FROM information_schema.INNODB_TRX WHERE trx_mysql_thread_id = %s", db.read(connection_id)
    )


# giving up and running again


def test_deadlock_is_run_again_as_a_whole(trial: Trial) -> None:
    both_hold_one = threading.Barrier(2, timeout=10.0)
    db = trial.database()
    tries: list[int] = []

    def work(tx: Tx, first: int, second: int) -> int:
        tries.append(first)
        add(tx, first, amount=1)
        if tries.count(first) == 1:
            both_hold_one.wait()
        add(tx, second, amount=10)
        return first

    with in_thread(db, lambda: db.transaction(lambda tx: work(tx, 1, 2))) as other:
        assert db.transaction(lambda tx: work(tx, 2, 1)) == 2
    assert other == [1]
    assert len(tries) == 3, "they did not deadlock"
    assert trial.numbers() == {1: 11, 2: 11}
    assert db.errors == {"deadlock": 1, "lock_wait": 0, "connection": 0, "timeout": 0, "other": 0}


@contextmanager
def in_thread(db: Database, work: Callable[[], Any]) -> Iterator[list[Any]]:
    """Runs `work` in another thread; the list holds its result, or its error, when the block is left."""
    outcome: list[Any] = []

    def target() -> None:
        try:
            outcome.append(work())
        except Exception as error:  # noqa: BLE001  (whatever it is, the test looks at it)
            outcome.append(error)
        finally:
            db.close()

    thread = threading.Thread(target=target)
    thread.start()
    try:
        yield outcome
    finally:
        thread.join(60.0)
        assert not thread.is_alive()


def test_lock_wait_is_run_again_as_a_whole(trial: Trial) -> None:
    db, holder = trial.database(), trial.database().connection()
    holder.begin()
    add(Tx(holder), 1, amount=100)
    tries = 0

    def work(tx: Tx) -> None:
        nonlocal tries
        tries += 1
        run(tx, "SET innodb_lock_wait_timeout = 0")
        # The server undoes only the statement that timed out: this one would be done twice.
        add(tx, 2)
        if tries == 3:
            holder.commit()
        add(tx, 1)

    db.transaction(work)
    assert tries == 3
    assert trial.numbers() == {1: 101, 2: 1}
    assert db.errors["lock_wait"] == 2


def test_lock_that_another_client_holds_is_waited_for_as_long_as_the_caller_waits(trial: Trial) -> None:
    db, holder = trial.database(), trial.database().connection()
    holder.begin()
    add(Tx(holder), 1)
    tries: list[None] = []

    def work(tx: Tx) -> None:
        tries.append(None)
        run(tx, "SET innodb_lock_wait_timeout = 0")
        add(tx, 2)
        add(tx, 1)

    # Waiting is shortened here: forty tries with their pauses would take minutes.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attempts, "MAX_PAUSE", 0.001)
        with pytest.raises(DatabaseContention, match="Lock wait timeout"):
            db.transaction(work, keep_waiting=lambda: len(tries) < 40)
    holder.rollback()
    assert len(tries) == 40
    assert trial.numbers() == {1: 0, 2: 0}


def test_duplicate_key_starts_over(trial: Trial) -> None:
    db = trial.database()
    tries: list[int] = []

    def work(tx: Tx) -> int:
        tries.append(run(tx, "SELECT COUNT(*) FROM t")[0][0])
        if len(tries) == 1:
            trial.sql("INSERT INTO t (id, n) VALUES (3, 0)")
        if tries[-1] == 2:
            run(tx, "INSERT INTO t (id, n) VALUES (3, 7)")
        return len(tries)

    assert db.transaction(work) == 2
    assert trial.numbers() == {1: 0, 2: 0, 3: 0}


def test_error_in_the_middle_leaves_nothing(trial: Trial) -> None:
    db = trial.database()

    def work(tx: Tx) -> None:
        add(tx, 1)
        raise KeyError("an error of ours")

    with pytest.raises(KeyError):
        db.transaction(work)
    assert trial.numbers() == {1: 0, 2: 0}
    db.transaction(lambda tx: add(tx, 2))
    assert trial.numbers() == {1: 0, 2: 1}


def test_refused_statement_leaves_nothing(trial: Trial) -> None:
    db = trial.database()

    def work(tx: Tx) -> None:
        add(tx, 1)
        run(tx, "UPDATE t SET nonsense = 1")

    with pytest.raises(DatabaseRefused, match="ingestd migrate"):
        db.transaction(work)
    db.transaction(lambda tx: add(tx, 2))
    assert trial.numbers() == {1: 0, 2: 1}


@pytest.mark.parametrize("statements_after", [0, 1])
def test_killed_connection_runs_all_of_it_again(trial: Trial, statements_after: int) -> None:
    db = trial.database()
    used: list[int] = []

    def work(tx: Tx) -> str:
        used.append(connection_id(tx))
        add(tx, 1)
        if len(used) == 1:
            trial.kill(used[0])
        for _ in range(statements_after):
            add(tx, 2)
        return "done"

    assert db.transaction(work) == "done"
    assert len(set(used)) == 2
    assert trial.numbers() == {1: 1, 2: statements_after}
    assert db.had_outage
    assert db.available_since is not None
    assert db.errors["connection"] == 1, "one broken connection was counted more than once"


def test_idle_connection_that_was_killed_is_replaced(trial: Trial) -> None:
    db = trial.database()
    trial.kill(db.read(connection_id))
    assert db.read(lambda tx: run(tx, "SELECT n FROM t WHERE id = 1")) == [(0,)]
    for _ in range(3):
        trial.kill(db.read(connection_id))
        db.transaction(lambda tx: add(tx, 1))
    assert trial.numbers() == {1: 3, 2: 0}


def test_a_connection_that_is_killed_between_two_statements_blames_neither(trial: Trial) -> None:
    db = trial.database()
    used: list[int] = []

    def work(tx: Tx) -> None:
        used.append(connection_id(tx))
        add(tx, 1)
        if len(used) < 6:
            trial.kill(used[-1])
        add(tx, 2)

    db.transaction(work, keep_waiting=lambda: True)
    assert len(set(used)) == 6
    assert trial.numbers() == {1: 1, 2: 1}


def test_statement_beyond_the_largest_packet_is_refused(second: Trial) -> None:
    db = second.database()
    tries: list[None] = []

    def work(tx: Tx) -> None:
        tries.append(None)
        add(tx, 1)
        run(tx, "UPDATE t SET text = %s WHERE id = 2", "x" * (3 << 20))

    with pytest.raises(DataRefused):
        db.transaction(work, keep_waiting=lambda: True)
    assert len(tries) <= 2
    db.transaction(lambda tx: add(tx, 2))
    assert second.numbers() == {1: 0, 2: 1}


# COMMIT without a reply


class LossyProxy:
    """A proxy before a server's socket. Of the next COMMIT it loses the reply, or the request too, as `lose` says;
    either way the connection breaks."""

    def __init__(self, path: Path, behind: str) -> None:
        self.path, self._behind = path, behind
        self.lose: Literal["reply", "request"] | None = None
        self.lost = 0
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        """Ends it; its clients have to be gone before."""
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(client,))
            thread.start()
            self._threads.append(thread)

    def _serve(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server:
            server.connect(self._behind)
            while True:
                ready, _, _ = select.select([client, server], [], [])
                data = ready[0].recv(1 << 16)
                if not data or (ready[0] is client and self._loses(data, server)):
                    return
                (server if ready[0] is client else client).sendall(data)

    def _loses(self, request: bytes, server: socket.socket) -> bool:
        if self.lose is None or b"\x03COMMIT" not in request:
            return False
        if self.lose == "reply":
            server.sendall(request)
            server.recv(1 << 16)
        self.lose = None
        self.lost += 1
        return True


@pytest.fixture
def proxy(trial: Trial, tmp_path: Path) -> Iterator[LossyProxy]:
    made = LossyProxy(tmp_path / "p", trial.server.socket)
    yield made
    trial.close()
    made.close()


@pytest.mark.parametrize(("lose", "tries"), [("reply", 1), ("request", 2)])
def test_lost_commit_is_resolved(
    trial: Trial, proxy: LossyProxy, lose: Literal["reply", "request"], tries: int
) -> None:
    db = trial.database(unix_socket=str(proxy.path))
    used: list[int] = []
    asked: list[str] = []

    def work(tx: Tx) -> str:
        used.append(connection_id(tx))
        add(tx, 1)
        tx.receipt = was_committed
        return f"attempt {len(used)}"

    def was_committed(tx: Tx) -> bool:
        asked.append("asked")
        return run(tx, "SELECT n FROM t WHERE id = 1") == [(1,)]

    db.connection()
    proxy.lose = lose
    assert db.transaction(work) == f"attempt {tries}"
    assert asked == ["asked"]
    assert proxy.lost == 1
    assert len(used) == tries
    assert trial.numbers() == {1: 1, 2: 0}
    assert db.errors["connection"] == 1


def test_was_committed_is_asked_only_after_a_lost_commit(trial: Trial) -> None:
    db = trial.database()
    tries: list[None] = []

    def work(tx: Tx) -> str:
        tries.append(None)
        add(tx, 1)
        if len(tries) == 1:
            trial.kill(connection_id(tx))
        add(tx, 2)
        tx.receipt = unasked
        return "worked"

    def unasked(_tx: Tx) -> bool:
        raise AssertionError("COMMIT was never sent")

    assert db.transaction(work) == "worked"
    assert trial.numbers() == {1: 1, 2: 1}


def test_commit_that_is_refused_leaves_no_open_transaction(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    db = trial.database()

    def refuse() -> None:
        raise error(1030, "Got error 28 from storage engine")

    connection = db.connection()
    error = connection.OperationalError
    monkeypatch.setattr(connection, "commit", refuse)
    db.transaction(lambda tx: add(tx, 1))
    db.transaction(lambda tx: add(tx, 2))
    assert trial.numbers() == {1: 1, 2: 1}


# outages
# (The driver leaves the socket of an attempt to connect in vain to the garbage collector.)


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_an_outage_is_waited_out_while_keep_waiting_is_true(second: Trial) -> None:
    db = second.database()
    db.transaction(lambda tx: add(tx, 1))
    second.server.stop()
    with in_thread(db, lambda: db.transaction(lambda tx: add(tx, 1), keep_waiting=lambda: True)) as outcome:
        until(lambda: db.errors["connection"] > OUTAGE_TRIES, what="for more tries than an impatient one makes")
        assert db.available_since is None
        assert not outcome
        second.server.start()
    assert outcome == [None]
    assert second.numbers() == {1: 2, 2: 0}
    assert db.available_since is not None
    assert db.had_outage


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_an_outage_is_raised_when_keep_waiting_is_false(second: Trial) -> None:
    db = second.database()
    second.server.stop()
    with pytest.raises(DatabaseUnavailable, match="out of reach"):
        db.transaction(lambda tx: add(tx, 1))
    with pytest.raises(DatabaseUnavailable, match="out of reach"):
        db.read(lambda tx: run(tx, "SELECT 1"))
    assert db.available_since is None
    second.server.start()
    db.transaction(lambda tx: add(tx, 1))
    assert second.numbers() == {1: 1, 2: 0}


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_patience_may_end(second: Trial) -> None:
    db = second.database()
    stopping = threading.Event()
    second.server.stop()
    with in_thread(
        db, lambda: db.transaction(lambda tx: add(tx, 1), keep_waiting=lambda: not stopping.is_set())
    ) as outcome:
        until(lambda: db.errors["connection"] > OUTAGE_TRIES)
        stopping.set()
    assert isinstance(outcome[0], DatabaseUnavailable)
    second.server.start()


def test_wrong_account_and_missing_schema_say_what_to_do(trial: Trial) -> None:
    with pytest.raises(DatabaseRefused, match=r"\[database\] user"):
        trial.database(user="unknown-user").read(connection_id)
    with pytest.raises(DatabaseRefused, match="ingestd migrate"):
        trial.database(name="no_such_database").read(connection_id)


# JSON


@pytest.fixture(scope="module")
def reader(server: EmbeddedMariaDB) -> Iterator[Database]:
    made = Database(server.settings())
    yield made
    made.close()


@given(text=st.text())
def test_any_text_survives_json_table(reader: Database, text: str) -> None:
    rows = Json(orjson.dumps([[text, 1], [text + "'", 2]]))
    statement = "SELECT t FROM JSON_TABLE(%s, '$[*]' COLUMNS (t LONGTEXT PATH '$[0]', n INT PATH '$[1]')) j ORDER BY n"
    assert reader.read(lambda tx: run(tx, statement, rows)) == [(text,), (text + "'",)]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(value=json_values, indent=st.booleans(), space=st.text("\t\n\r ", max_size=3))
def test_any_document_survives_as_it_is(reader: Database, value: Any, indent: bool, space: str) -> None:
    text = space + orjson.dumps(value, option=orjson.OPT_INDENT_2 if indent else 0).decode() + space
    document = Json(text.encode())
    ((back, valid),) = reader.read(lambda tx: run(tx, "SELECT %s, JSON_VALID(%s)", document, document))
    assert back == text
    assert valid == 1


# rights


@pytest.fixture
def ledger_row(world: World) -> Iterator[Database]:
    """The daemon's own account, in a database whose ledger has one row."""
    db = Database(world.server.settings())
    db.transaction(lambda tx: ledger.append(tx, None, "queue_paused", phase="pause"))
    yield db
    db.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ingest_event SET payload = '{}'",
        "DELETE FROM ingest_event",
        "TRUNCATE ingest_event",
        "DROP TRIGGER ingest_event_is_append_only_delete",
        "ALTER TABLE ingest_event DROP COLUMN payload",
        "REPLACE INTO ingest_event (batch_id, event_type, payload) VALUES (NULL, 'x', '{}')",
        "INSERT INTO ingest_event (batch_id, event_type, payload) VALUES (NULL, 'x', '{}')"
        " ON DUPLICATE KEY UPDATE payload = '{}'",
        "INSERT INTO ingest_event (id, event_type, payload) VALUES (18446744073709551614, 'x', '{}')",
        "INSERT INTO ingest_event (event_type, payload, created_at) VALUES ('x', '{}', '2001-01-01')",
        "DELETE FROM ingest_batch",
        "DELETE FROM asset",
    ],
)
def test_daemon_cannot_change_the_past(ledger_row: Database, world: World, statement: str) -> None:
    before = world.sql("SELECT * FROM ingest_event")
    assert len(before) == 1
    with pytest.raises(DatabaseRefused, match="denied"):
        ledger_row.transaction(lambda tx: run(tx, statement))
    assert world.sql("SELECT * FROM ingest_event") == before


@pytest.mark.parametrize("statement", ["UPDATE ingest_event SET payload = '{}'", "DELETE FROM ingest_event"])
def test_owner_is_refused_by_the_trigger(ledger_row: Database, world: World, statement: str) -> None:
    owner = Database(world.server.owner_settings())
    before = world.sql("SELECT * FROM ingest_event")
    try:
        with pytest.raises(DataRefused, match="append-only: rows are never"):
            owner.transaction(lambda tx: run(tx, statement))
    finally:
        owner.close()
    assert len(before) == 1
    assert world.sql("SELECT * FROM ingest_event") == before


# migrations


@pytest.fixture
def fresh(server: EmbeddedMariaDB) -> Iterator[DatabaseSettings]:
    """An empty database."""
    owner = server.owner_settings()
    owner_sql(owner, "CREATE OR REPLACE DATABASE fresh CHARACTER SET utf8mb4")
    yield owner.model_copy(update={"name": "fresh"})
    owner_sql(owner, "DROP DATABASE fresh")


def schema(settings: DatabaseSettings) -> Rows:
    """Every column, index and trigger of a database."""
    columns = "SELECT TABLE_NAME, COLUMN_NAME, COLUMN_TYPE FROM information_schema.COLUMNS"
    indexes = "SELECT TABLE_NAME, INDEX_NAME, COLUMN_NAME FROM information_schema.STATISTICS"
    triggers = "SELECT EVENT_OBJECT_TABLE, TRIGGER_NAME, EVENT_MANIPULATION FROM information_schema.TRIGGERS"
    return [
        *owner_sql(settings, f"{columns} WHERE TABLE_SCHEMA = %s ORDER BY 1, ORDINAL_POSITION", settings.name),
        *owner_sql(settings, f"{indexes} WHERE TABLE_SCHEMA = %s ORDER BY 1, 2, SEQ_IN_INDEX", settings.name),
        *owner_sql(settings, f"{triggers} WHERE TRIGGER_SCHEMA = %s ORDER BY 1, 2", settings.name),
    ]


def test_migrating_twice_changes_nothing(server: EmbeddedMariaDB, fresh: DatabaseSettings) -> None:
    settings = Settings(database=fresh)
    applied = migrate(settings)
    assert applied == sorted(applied)
    assert len(applied) >= 2
    before = schema(fresh)
    assert before == schema(server.owner_settings())
    assert migrate(settings) == []
    assert schema(fresh) == before


def test_migration_cut_short_is_run_again(server: EmbeddedMariaDB, fresh: DatabaseSettings) -> None:
    migrate(Settings(database=fresh))
    owner_sql(fresh, "DROP TABLE asset_collection_item")
    owner_sql(fresh, "DELETE FROM _yoyo_migration WHERE migration_id <> '0001_ingest'")
    assert migrate(Settings(database=fresh))
    assert schema(fresh) == schema(server.owner_settings())


MIGRATE = """
import sys
from ingestd.config import DatabaseSettings, Settings
from ingestd.store.migrate import migrate
settings = Settings(database=DatabaseSettings(unix_socket=sys.argv[1], user=sys.argv[2], name=sys.argv[3]))
print("ready", flush=True)
sys.stdin.readline()
print(*migrate(settings))
"""


def test_processes_may_migrate_at_once(server: EmbeddedMariaDB, fresh: DatabaseSettings) -> None:
    command = [sys.executable, "-c", MIGRATE, fresh.unix_socket, fresh.user, fresh.name]
    started = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    try:
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in started:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        outputs = [process.communicate(timeout=60)[0].strip() for process in started]
    finally:
        for process in started:
            process.kill()
            process.communicate()
    assert [process.returncode for process in started] == [0] * 4
    assert sorted(map(bool, outputs)) == [False, False, False, True]
    assert schema(fresh) == schema(server.owner_settings())


def test_migration_waits_for_the_one_that_runs(server: EmbeddedMariaDB, fresh: DatabaseSettings) -> None:
    other = Database(fresh)
    waiting = "SELECT 1 FROM information_schema.PROCESSLIST WHERE STATE = 'User lock'"
    try:
        other.read(lambda tx: run(tx, "SELECT GET_LOCK('ingestd.migrate.fresh', 0)"))
        with in_thread(Database(fresh), lambda: migrate(Settings(database=fresh))) as outcome:
            until(lambda: owner_sql(fresh, waiting), what="for the migration to wait")
            assert schema(fresh) == []
            other.read(lambda tx: run(tx, "SELECT RELEASE_LOCK('ingestd.migrate.fresh')"))
    finally:
        other.close()
    assert len(outcome[0]) >= 2
    assert schema(fresh) == schema(server.owner_settings())


def test_migrating_with_the_daemons_account_is_refused_at_once(server: EmbeddedMariaDB) -> None:
    with pytest.raises(DatabaseRefused, match="CREATE command denied"):
        migrate(Settings(database=server.settings()))
