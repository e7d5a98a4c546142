"""ingest_sighting rows: the manifest that a host saw last of a batch. Only batches whose manifest changed have any."""

from typing import NamedTuple

from ingestd.store.db import Tx
from ingestd.store.mount import Place
from ingestd.store.sql import Queries

_sql = Queries("sighting")


class Sighting(NamedTuple):
    """What a host saw last of a batch (None: unknown), and what was recorded of it before its present manifest.

    `change_count` counts the changes that the host recorded; `is_early`: another one must wait. `is_recent`: the
    present manifest is recorded for less than a day.
    """

    sha256: str | None
    change_count: int | None
    is_early: bool | None
    former_sha256: str | None
    is_recent: bool | None


def find(tx: Tx, batch_id: int, place: Place, free_changes: int, first_pause: float) -> Sighting:
    """What the host at `place` saw of a batch.

    The first `free_changes` are never too early. Then comes a pause of `first_pause` seconds, doubled with each change,
    up to a day.
    """
    options = {"free": free_changes, "first_us": int(first_pause * 1e6)}
    return Sighting(*_sql.find(tx.connection, batch_id=batch_id, **place._asdict(), **options))


def note_change(tx: Tx, batch_id: int, place: Place, sha256: str) -> None:
    """Records that a host found another manifest than the recorded one, and that it counts."""
    _sql.note_change(tx.connection, batch_id=batch_id, **place._asdict(), sha256=sha256)


def agree(tx: Tx, batch_id: int, place: Place, sha256: str) -> None:
    """Records that a host sees the recorded manifest, too."""
    _sql.agree(tx.connection, batch_id=batch_id, **place._asdict(), sha256=sha256)


def dispute(tx: Tx, batch_id: int, place: Place, sha256: str) -> bool:
    """Records that a host sees another manifest than the recorded one, and it does not count; False if known."""
    return bool(_sql.dispute(tx.connection, batch_id=batch_id, **place._asdict(), sha256=sha256))
