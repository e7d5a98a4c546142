"""What every connection sets, and what a statement may not do."""

import pytest

from ingestd.errors import (
    DataRefused,
)
from ingestd.store.db import Tx
from support.trial_db import Trial, connection_id, run


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
