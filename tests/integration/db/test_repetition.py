"""Transactions that deadlock, wait or lose their connection run again as a whole."""

import threading

import pytest

from ingestd.errors import (
    DatabaseContention,
    DatabaseRefused,
    DataRefused,
)
from ingestd.store import attempts
from ingestd.store.db import Tx
from support.trial_db import Trial, add, connection_id, in_thread, run


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
