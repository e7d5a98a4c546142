"""Transactions whose COMMIT gets no reply, or is refused."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestd.store.db import Tx
from support.mariadb_proxy import Action, Fault, MariaDBProxy, drop_reply, drop_request, mariadb_proxy
from support.trial_db import Trial, add, connection_id, run


@pytest.fixture
def proxy(trial: Trial, tmp_path: Path) -> Iterator[MariaDBProxy]:
    with mariadb_proxy(trial.server.socket, tmp_path / "p") as made:
        yield made
        trial.close()


@pytest.mark.parametrize(("lose", "tries"), [(drop_reply, 1), (drop_request, 2)], ids=["reply-1", "request-2"])
def test_lost_commit_is_resolved(trial: Trial, proxy: MariaDBProxy, lose: Action, tries: int) -> None:
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
    fault = Fault("^COMMIT", lose)
    proxy.add(fault)
    assert db.transaction(work) == f"attempt {tries}"
    assert asked == ["asked"]
    assert fault.done == 1
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
