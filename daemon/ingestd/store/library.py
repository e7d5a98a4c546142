"""The library's rows: assets with their files, documents and covers; galleries and collections with their members."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from ingestd.format.container import CONTAINER_TYPES
from ingestd.library_records import Member, StoredContainer
from ingestd.model import Version
from ingestd.store import bulk
from ingestd.store.db import Tx
from ingestd.store.sql import Queries
from ingestd.store.values import ROWS_PER_STATEMENT, Hashes, Ids, Json, Rows, rows_json, rows_of, span
from ingestd.store.versions import pair, reader

_sql = Queries("library")
_containers = {kind: Queries("container", kind=kind) for kind in CONTAINER_TYPES}
MAX_ROWS = 2**63 - 1
Members = dict[int, dict[int, Member]]
"""memberships, by the id of the container and the id of the asset"""


def insert_assets(tx: Tx, parts: Iterable[Rows]) -> dict[str, int]:
    """New assets, in order of hash, of which it returns the ids by hash. Each row ends with its version:

    (type, hash, title, path, entry_sha256, documents_sha256, synced_at, sync_id).
    """
    ids: dict[str, int] = {}
    for part in parts:
        bulk.write(tx, part, insert=_sql.insert_assets, load=_sql.load_assets)
        ids.update(_new_ids(tx, [row[1] for row in part.rows]))
    return ids


def _new_ids(tx: Tx, hashes: Sequence[str]) -> dict[str, int]:
    """The ids of assets that were just inserted: they grow from row to row, so that the first and the last may say all.

    They do unless another session inserted at the same time. Of a single one the reply to its INSERT has the id.
    """
    if len(hashes) == 1:
        return {hashes[0]: tx.connection.insert_id()}  # type: ignore[no-untyped-call]
    first, last = _sql.new_ids(tx.connection, last=hashes[-1])
    if last - first == len(hashes) - 1:
        return dict(zip(hashes, range(first, last + 1), strict=True))
    return {hash_: id_ for hash_, (id_, _) in named(tx, hashes).items()}


def insert_tombstones(tx: Tx, incoming: Version, rows: Sequence[tuple[Any, ...]]) -> None:
    """Removed assets that no bundle delivered, in order of hash: (type, hash, title, path)."""
    for part in rows_json(rows):
        _sql.insert_tombstones(tx.connection, rows=part, **_stamp(incoming))


def update_assets(tx: Tx, incoming: Version, rows: Iterable[Json]) -> None:
    """Overwrites assets and makes them live: (id, type, is_new, title, path, entry_sha256, documents_sha256).

    `is_new`: those that were only named before.
    """
    for part in rows:
        _sql.update_assets(tx.connection, rows=part, **_stamp(incoming))


def insert_named(tx: Tx, hashes: Iterable[str]) -> None:
    """Rows for assets that are named, but neither delivered nor removed yet; in order of hash."""
    for part in rows_json(sorted(hashes)):
        _sql.insert_named(tx.connection, hashes=part)


def bury_assets(tx: Tx, incoming: Version, rows: Sequence[tuple[Any, ...]]) -> None:
    """Tombstones of assets that were only named before: (id, type, title, path)."""
    for part in rows_json(rows):
        _sql.bury_assets(tx.connection, rows=part, **_stamp(incoming))


def advance_assets(tx: Tx, incoming: Version, ids: Sequence[int]) -> None:
    """Makes a bundle the last writer of assets that it delivered unchanged, given in order of id."""
    if (found := span(ids)) is not None:
        _sql.advance_range(tx.connection, first=found[0], last=found[1], **_stamp(incoming))
    elif ids:
        _sql.advance_assets(tx.connection, ids=Ids(ids), **_stamp(incoming))


def remove_assets(tx: Tx, incoming: Version, ids: Sequence[int]) -> None:
    if ids:
        _sql.remove_assets(tx.connection, ids=Ids(ids), **_stamp(incoming))


def live_files(tx: Tx, asset_ids: Sequence[int]) -> set[tuple[int, str]]:
    """The live files of some assets, as (asset id, variant)."""
    return set(_sql.live_files(tx.connection, ids=Ids(asset_ids))) if asset_ids else set()


def remove_files(tx: Tx, files: Sequence[tuple[int, str]]) -> None:
    """Takes files out of sight: (asset id, variant), in this order."""
    for part in rows_json(files):
        _sql.remove_files(tx.connection, rows=part)


def retire_documents(tx: Tx, asset_ids: Sequence[int]) -> None:
    """Makes all documents of some assets obsolete; those delivered are then written as current again."""
    if asset_ids:
        ids = Ids(asset_ids)
        _sql.retire_sources(tx.connection, ids=ids)
        _sql.retire_ai_runs(tx.connection, ids=ids)


def write_files(tx: Tx, incoming: Version, rows: Iterable[tuple[Any, ...]]) -> None:
    """Files of known assets, in order of asset and of variant: (asset_id, variant, path, bytes, sha256)."""
    for part in rows_of(rows, incoming.completed_at, incoming.sync_id):
        _sql.write_files(tx.connection, rows=part)


def write_sources(tx: Tx, incoming: Version, rows: Iterable[tuple[int, str, Json]]) -> None:
    """Their provenance: (asset_id, sha256, JSON text). A row is asked for when those before were sent."""
    for part in rows_of(rows, incoming.completed_at, incoming.sync_id):
        _sql.write_sources(tx.connection, rows=part)


def write_ai_runs(tx: Tx, incoming: Version, rows: Iterable[tuple[int, str, str, Json]]) -> None:
    """Their documents of analyses, as `write_sources`: (asset_id, kind, sha256, JSON text)."""
    for part in rows_of(rows, incoming.completed_at, incoming.sync_id):
        _sql.write_ai_runs(tx.connection, rows=part)


def add_rows(tx: Tx, what: Literal["files", "sources", "ai_runs"], parts: Iterable[Rows]) -> None:
    """Rows of assets that were inserted in this transaction, as the three before. Each ends with its version."""
    for part in parts:
        bulk.write(tx, part, insert=getattr(_sql, f"add_{what}"), load=getattr(_sql, f"load_{what}"))


def named(tx: Tx, hashes: Sequence[str]) -> dict[str, tuple[int, bool]]:
    """Ids of the assets, among those asked for, that have a row, and whether they are live."""
    found: dict[str, tuple[int, bool]] = {}
    for start in range(0, len(hashes), ROWS_PER_STATEMENT):
        rows = _sql.named(tx.connection, hashes=Hashes(hashes[start : start + ROWS_PER_STATEMENT]))
        found.update((hash_, (id_, bool(is_live))) for hash_, id_, is_live in rows)
    return found


def lock_containers(tx: Tx, kind: str, hashes: Sequence[str], incoming: Version) -> dict[str, StoredContainer]:
    """Known galleries or collections by hash, locked in this order."""
    query = _containers[kind].lock
    rows = [row for part in rows_json(hashes) for row in query(tx.connection, hashes=part)]
    return _by_hash(tx, rows, incoming)


def _by_hash(tx: Tx, rows: Sequence[tuple[Any, ...]], incoming: Version) -> dict[str, StoredContainer]:
    version = reader(tx, incoming, (pair for row in rows for pair in _writers(row)))
    found = {}
    for row in rows:
        id_, hash_, title, deleted = row[:4]
        of_row, titled, complete = (version(at, by) for at, by in _writers(row))
        found[hash_] = StoredContainer(id_, hash_, title, bool(deleted), of_row, titled, complete)
    return found


def _writers(row: tuple[Any, ...]) -> Iterable[tuple[Any, Any]]:
    """Who wrote the row of a container, its title, and its newest complete list."""
    return zip(row[4::2], row[5::2], strict=True)


def insert_containers(tx: Tx, kind: str, wanted: Sequence[StoredContainer]) -> dict[str, int]:
    """Inserts galleries or collections, in this order; returns their ids by hash."""
    ids: dict[str, int] = {}
    for part in rows_json([(one.hash, *_container_values(one)) for one in wanted]):
        ids.update(_containers[kind].insert(tx.connection, rows=part))
    return ids


def update_containers(tx: Tx, kind: str, wanted: Sequence[StoredContainer]) -> None:
    for part in rows_json([(one.id, *_container_values(one)) for one in wanted]):
        _containers[kind].update(tx.connection, rows=part)


def _container_values(wanted: StoredContainer) -> tuple[Any, ...]:
    return wanted.title, wanted.deleted, *pair(wanted.version), *pair(wanted.titled), *pair(wanted.complete)


def members(tx: Tx, kind: str, ids: Sequence[int], incoming: Version, limit: int = MAX_ROWS) -> Members:
    """All membership rows of some containers, deleted ones too, but not more than `limit`."""
    rows = _containers[kind].members(tx.connection, ids=Ids(ids), limit=limit) if ids else ()
    return _members(tx, list(rows), incoming)


def named_members(tx: Tx, kind: str, pairs: Sequence[tuple[int, int]], incoming: Version) -> Members:
    """Those of some memberships that have a row, deleted ones too: (id of the container, id of the asset)."""
    query = _containers[kind].named_members
    return _members(tx, [row for part in rows_json(pairs) for row in query(tx.connection, rows=part)], incoming)


def _members(tx: Tx, rows: Sequence[tuple[Any, ...]], incoming: Version) -> Members:
    version = reader(tx, incoming, ((row[4], row[5]) for row in rows))
    found: Members = {}
    for id_, asset_id, position, deleted, synced_at, sync_id in rows:
        member = Member(asset_id, position, bool(deleted), version(synced_at, sync_id))
        found.setdefault(id_, {})[asset_id] = member
    return found


def hashes_of(tx: Tx, asset_ids: Sequence[int]) -> list[str]:
    parts = [asset_ids[start : start + ROWS_PER_STATEMENT] for start in range(0, len(asset_ids), ROWS_PER_STATEMENT)]
    return [hash_ for part in parts for (hash_,) in _sql.hashes(tx.connection, ids=Ids(part))]


def lock_named(tx: Tx, hashes: Iterable[str]) -> dict[str, tuple[int, bool]]:
    """As `named`. Until the transaction ends, none of these assets goes or returns."""
    rows = [row for part in rows_json(sorted(hashes)) for row in _sql.lock_shared(tx.connection, hashes=part)]
    return {hash_: (id_, bool(is_live)) for hash_, id_, is_live in rows}


def count_members_out_of_sight(tx: Tx, batch_id: int) -> int:
    """Members that readers do not see of all containers that a batch ever listed."""
    return sum(int(query.count_out_of_sight(tx.connection, batch_id=batch_id)) for query in _containers.values())


def known_containers(tx: Tx, kind: str, hashes: Sequence[str], incoming: Version) -> dict[str, StoredContainer]:
    """Known containers by hash, not locked."""
    query = _containers[kind].known
    parts = (hashes[start : start + ROWS_PER_STATEMENT] for start in range(0, len(hashes), ROWS_PER_STATEMENT))
    return _by_hash(tx, [row for part in parts for row in query(tx.connection, hashes=Hashes(part))], incoming)


def planned_members(tx: Tx, kind: str, id_: int, batch_id: int, incoming: Version) -> list[tuple[str, Version | None]]:
    """The members of a container that readers see once a planned batch has written its assets.

    Each is given by the hash of the asset and the version of the membership.
    """
    rows = list(_containers[kind].planned_members(tx.connection, id=id_, batch_id=batch_id))
    version = reader(tx, incoming, ((row[1], row[2]) for row in rows))
    return [(hash_, version(at, by)) for hash_, at, by in rows]


def count_planned_members(tx: Tx, kind: str, id_: int, batch_id: int, removed_again: Sequence[int]) -> int:
    """The number of members that readers see once a planned batch has written its assets.

    `removed_again`: items that failed, and that the batch removes when it is imported again.
    """
    values = {"id": id_, "batch_id": batch_id, "removed_again": Ids((0, *removed_again))}
    return int(_containers[kind].count_planned_members(tx.connection, **values))


def add_members(tx: Tx, kind: str, incoming: Version, rows: Iterable[tuple[int, int, int]]) -> None:
    """New memberships: (id of the container, id of the asset, position). They lock their assets, in this order."""
    queries = _containers[kind]
    for part in rows_of(rows, incoming.completed_at, incoming.sync_id):
        bulk.write(tx, part, insert=queries.add_members, load=queries.load_members)


def write_members(tx: Tx, kind: str, incoming: Version, rows: Iterable[tuple[int, int, int]]) -> None:
    """Memberships that have a row, as `add_members`."""
    for part in rows_of(rows, incoming.completed_at, incoming.sync_id):
        _containers[kind].write_members(tx.connection, rows=part)


def remove_members(tx: Tx, kind: str, incoming: Version, pairs: Sequence[tuple[int, int]]) -> None:
    """Takes memberships out of sight: (id of the container, id of the asset)."""
    query = _containers[kind].remove_members
    for part in rows_json(pairs):
        query(tx.connection, rows=part, **_stamp(incoming))


def _stamp(incoming: Version) -> dict[str, Any]:
    return {"synced_at": incoming.completed_at, "sync_id": incoming.sync_id}
