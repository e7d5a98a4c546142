"""Many rows at once by LOAD DATA LOCAL: exact, all or none, and no way to the files of this host."""

import math
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestd.embedded import EmbeddedMariaDB
from ingestd.errors import DatabaseContention, DataRefused
from ingestd.store import bulk
from ingestd.store.connection import Connection
from ingestd.store.db import Database, Tx
from ingestd.store.values import Rows
from support.mariadb_proxy import Fault, fake_error, mariadb_proxy
from support.rogue_db import framed
from support.trial_db import Trial, run

INSERT = "INSERT INTO t (id, word, text, n) VALUES %s"
LOAD = "LOAD DATA LOCAL INFILE 'rows' INTO TABLE t CHARACTER SET utf8mb4 (id, word, text, n)"
OTHER = LOAD.replace("'rows'", "'/etc/passwd'")


def rows(count: int = 100, **changes: Any) -> Rows:
    """Rows of the table `t`; `changes` are columns of the last one."""
    last = {"id": 1000, "word": "abc", "text": "last", **changes}
    return Rows([*((number, "abc", None) for number in range(10, 9 + count)), tuple(last.values())], (7,))


def insert(connection: Connection, rows: Rows) -> None:
    run(Tx(connection), INSERT, rows)


def load(connection: Connection) -> int:
    with connection.cursor() as cursor:
        return int(cursor.execute(LOAD))


def refused(connection: Connection, rows: Rows) -> None:
    raise AssertionError("rows were inserted that LOAD DATA can write")


def write(tx: Tx, some: Rows) -> None:
    bulk.write(tx, some, insert=insert, load=load)


@pytest.fixture
def db(trial: Trial) -> Database:
    trial.made.append(Database(trial.settings, loads=True))
    return trial.made[-1]


def test_many_rows_are_loaded_and_few_are_inserted(trial: Trial, db: Database) -> None:
    db.transaction(lambda tx: bulk.write(tx, rows(), insert=refused, load=load))
    assert trial.sql("SELECT COUNT(*), MIN(n), MAX(n) FROM t WHERE id > 2") == [(100, 7, 7)]
    with pytest.raises(AssertionError, match="were inserted"):
        db.transaction(lambda tx: bulk.write(tx, Rows([(5, "a", None)], (7,)), insert=refused, load=load))


def test_the_server_may_forbid_it_at_any_time(trial: Trial, db: Database) -> None:
    db.read(lambda tx: run(tx, "SELECT 1"))
    trial.sql("SET GLOBAL local_infile = 0")
    try:
        db.transaction(lambda tx: write(tx, rows()))
        assert not db.connection().can_load, "it was refused once"
        trial.made.append(Database(trial.settings, loads=True))
        assert not trial.made[-1].connection().can_load, "it is not tried at all"
    finally:
        trial.sql("SET GLOBAL local_infile = 1")
    assert len(trial.numbers()) == 102


def test_a_proxy_may_forbid_what_the_server_allows(trial: Trial, tmp_path: Path) -> None:
    """With the number of a server that is not ready, as ProxySQL does. The transaction begins again."""
    refusal = Fault("^LOAD DATA", fake_error(1047, "08S01", "Unsupported command"), times=math.inf)
    with mariadb_proxy(trial.server.socket, tmp_path / "p") as proxy:
        proxy.add(refusal)
        trial.made.append(Database(trial.settings.model_copy(update={"unix_socket": str(proxy.path)}), loads=True))
        runs = []

        def work(tx: Tx) -> None:
            runs.append(tx.may_load)
            run(tx, "UPDATE t SET n = n + 5 WHERE id = 1")
            write(tx, rows())

        trial.made[-1].transaction(work, keep_waiting=lambda: False)
        assert (runs, trial.numbers()[1], len(trial.numbers())) == ([True, False], 5, 102)
        trial.made[-1].transaction(lambda tx: write(tx, Rows([(n, "abc", None) for n in range(2000, 2100)], (7,))))
        assert refusal.done == 1, "it is not tried again on this connection"


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"word": "abcd"}, DataRefused, "too long.*1406"),
        ({"id": "x"}, DataRefused, "1366"),
        ({"id": 10}, DatabaseContention, "Duplicate.*1062"),
    ],
)
def test_what_the_server_only_warns_of_is_an_error_and_nothing_is_written(
    trial: Trial, db: Database, change: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        db.transaction(lambda tx: write(tx, rows(**change)), keep_waiting=lambda: False)
    assert trial.numbers() == {1: 0, 2: 0}


def test_it_takes_one_statement(trial: Trial, db: Database) -> None:
    def work(tx: Tx) -> int:
        before = questions(tx)
        write(tx, rows())
        return questions(tx) - before

    assert db.transaction(work) == 1 + 1, "and the question for the number"


def questions(tx: Tx) -> int:
    ((_, count),) = run(tx, "SHOW SESSION STATUS LIKE 'Questions'")
    return int(count)


def test_warning_without_an_error_leaves_the_rows_to_insert(trial: Trial, db: Database) -> None:
    """Spaces beyond the length of a column are cut, with a note. The transaction begins again."""
    used, runs = [], []

    def noted(connection: Connection, rows: Rows) -> None:
        used.append(len(rows))
        insert(connection, rows)

    def work(tx: Tx) -> None:
        runs.append(tx.may_load)
        run(tx, "UPDATE t SET n = n + 5 WHERE id = 1")
        bulk.write(tx, rows(word="ab    "), insert=noted, load=load)

    db.transaction(work)
    assert (used, runs) == ([100], [True, False])
    assert trial.sql("SELECT word FROM t WHERE id = 1000") == [("ab ",)]
    assert trial.numbers()[1] == 5


@pytest.mark.parametrize("offers", [True, False])
@pytest.mark.parametrize("statement", [OTHER, LOAD])
def test_server_that_asks_for_something_else_gets_nothing(
    trial: Trial, db: Database, statement: str, offers: bool
) -> None:
    connection = db.connection()
    if offers:
        with connection.offering(b"5\tabc\t\\N\t7\n"):
            if statement == LOAD:
                load(connection)  # the file may be asked for once
            demand_refusal(connection, statement)
    else:
        demand_refusal(connection, statement)
    assert trial.numbers().keys() - {5} == {1, 2}


def demand_refusal(connection: Connection, statement: str) -> None:
    with connection.cursor() as cursor, pytest.raises(pymysql.OperationalError, match="asks for a file of this host"):
        cursor.execute(statement)
    assert not connection.open


@pytest.mark.parametrize("asked", [b"/etc/passwd", b"rows"])
def test_request_in_reply_to_any_other_statement_gets_nothing(asked: bytes) -> None:
    ours, theirs = socket.socketpair()
    connection = Connection(defer_connect=True, user="u", local_infile=True)
    connection._sock, connection._rfile, connection._next_seq_id = ours, ours.makefile("rb"), 0  # type: ignore[attr-defined]
    connection.server_status, connection._current_timeout = 2, connection._write_timeout  # type: ignore[attr-defined]
    theirs.sendall(framed(b"\xfb" + asked, 1))
    demand_refusal(connection, "COMMIT")
    theirs.settimeout(5.0)
    assert theirs.recv(4096).endswith(b"COMMIT")
    assert theirs.recv(4096) == b"", "nothing, and the end"
    theirs.close()


def test_connections_of_readers_do_not_offer_it(trial: Trial) -> None:
    connection = trial.database().connection()
    with connection.cursor() as cursor, pytest.raises(pymysql.MySQLError) as refusal:
        cursor.execute(LOAD)
    assert refusal.value.args[0] in bulk.NOT_ALLOWED


@pytest.fixture(scope="module")
def loader(second_server: EmbeddedMariaDB) -> Iterator[Database]:
    made = Database(Trial(second_server).settings, loads=True)
    yield made
    made.close()


@given(text=st.text(), other=st.text())
def test_any_text_survives(loader: Database, text: str, other: str) -> None:
    some = Rows([(n, None, text if n % 2 else other) for n in range(100)], (1,))

    def work(tx: Tx) -> Any:
        run(tx, "DELETE FROM t")
        bulk.write(tx, some, insert=refused, load=load)
        return run(tx, "SELECT text FROM t ORDER BY id LIMIT 2")

    assert loader.transaction(work) == [(other,), (text,)]


def test_no_file_is_ever_opened(trial: Trial, db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver would open a file of the name that the server asks for."""
    (tmp_path / "rows").write_text("5\tabc\t\\N\t7\n")
    monkeypatch.chdir(tmp_path)
    demand_refusal(db.connection(), LOAD)
    assert trial.numbers() == {1: 0, 2: 0}
