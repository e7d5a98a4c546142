"""The past cannot be changed: rights and triggers of the ledger."""

from collections.abc import Iterator

import pytest

from ingestd.errors import (
    DatabaseRefused,
    DataRefused,
)
from ingestd.store import ledger
from ingestd.store.db import Database
from support.trial_db import run
from support.world import World


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
