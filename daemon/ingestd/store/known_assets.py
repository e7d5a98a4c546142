"""Assets that have a row, as far as decisions depend on them."""

from collections.abc import Iterable, Mapping
from datetime import datetime

import msgspec

from ingestd.library_records import StoredAsset
from ingestd.model import Version
from ingestd.store.db import Tx
from ingestd.store.sql import Queries
from ingestd.store.values import ROWS_PER_STATEMENT, rows_json, span
from ingestd.store.versions import reader

_sql = Queries("known_assets")


class _Row(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One asset in a text, by `asset_rows` of the SQL. Lists would cost as much again, in the garbage collector."""

    id: int
    asset_type: str | None
    hash: str
    entry_sha256: str | None
    documents_sha256: str | None
    deleted: bool
    synced_at: str | None
    sync_id: str | None


_decode = msgspec.json.Decoder(list[_Row]).decode


def find(tx: Tx, hashes: Iterable[str], incoming: Version, *, lock: bool = False) -> dict[str, StoredAsset]:
    """Known assets by hash; with `lock`, locked in order of hash until the transaction ends."""
    return read(tx, rows(tx, hashes, lock=lock), incoming)


def lock_known(tx: Tx, known: Mapping[str, StoredAsset], incoming: Version) -> dict[str, StoredAsset]:
    """As `find` with `lock`, for such as were known before: in order of hash.

    Those of one earlier bundle often have ids in the same order, which are quicker to find than hashes.
    """
    ids = span([known[hash_].id for hash_ in sorted(known)])
    if ids is None or len(known) > ROWS_PER_STATEMENT:
        return find(tx, known, incoming, lock=True)
    first, last = ids
    return read(tx, _sql.lock_range(tx.connection, first=first, last=last) or "", incoming)


def rows(tx: Tx, hashes: Iterable[str], *, lock: bool = False) -> str:
    """The rows of known assets as text, for `read`."""
    query = _sql.lock if lock else _sql.find
    texts = [query(tx.connection, hashes=part) for part in rows_json(sorted(set(hashes)))]
    return ",".join(filter(None, texts))


def read(tx: Tx, text: str, incoming: Version) -> dict[str, StoredAsset]:
    """The assets in such a text, by hash; most have the same few writers."""
    found = _decode(f"[{text}]")
    pairs = {(row.synced_at, row.sync_id) for row in found}
    writers = {pair: (pair[0] and datetime.fromisoformat(pair[0]), pair[1]) for pair in pairs}
    version = reader(tx, incoming, writers.values())
    versions = {pair: version(*writer) for pair, writer in writers.items()}
    return {row.hash: _stored(row, versions[row.synced_at, row.sync_id]) for row in found}


def _stored(row: _Row, version: Version | None) -> StoredAsset:
    return StoredAsset(row.id, row.asset_type, row.hash, row.entry_sha256, row.documents_sha256, row.deleted, version)
