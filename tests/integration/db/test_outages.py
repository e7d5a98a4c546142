"""Outages of a server: waited for, or reported."""

import threading

import pytest

from ingestd.errors import DatabaseRefused, DatabaseUnavailable
from ingestd.store.attempts import OUTAGE_TRIES
from support.trial_db import Trial, add, connection_id, in_thread, run
from support.wait import until

# The driver leaves the socket of a connection that it could not make to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


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
