"""What is known of the covers of assets: asset_cover has the one linked last, asset_other_cover all others."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from ingestd.library_records import Cover, CoverFile, Covers
from ingestd.model import Version
from ingestd.store.db import Tx
from ingestd.store.sql import Queries
from ingestd.store.values import Ids, rows_json
from ingestd.store.versions import Reader, pair, reader

_sql = Queries("cover")
BEFORE_ALL = Version(datetime.min, "")
"""of a row that no bundle wrote"""


def find(tx: Tx, asset_ids: Iterable[int], incoming: Version) -> dict[int, Covers]:
    """What is known of the covers of some assets, by asset id; nothing is known of those that are left out."""
    ids = Ids(asset_ids)
    if not ids:
        return {}
    last, others = list(_sql.last(tx.connection, ids=ids)), list(_sql.others(tx.connection, ids=ids))
    writers = [(row[i], row[i + 1]) for row in last for i in (6, 8, 11)]
    version = reader(tx, incoming, [*writers, *((row[i], row[i + 1]) for row in others for i in (5, 7))])
    found: dict[int, dict[str, Cover]] = {}
    for id_, hash_, path, size, sha256, unlinked_at, unlinked_by, delivered_at, delivered_by in others:
        file, unlinked = CoverFile(path, size, sha256), version(unlinked_at, unlinked_by)
        found.setdefault(id_, {})[hash_] = Cover(hash_, None, unlinked, version(delivered_at, delivered_by), file)
    linked = {row[0]: _last_cover(row, version) for row in last}
    return {id_: Covers(linked.get(id_), found.get(id_, {})) for id_ in {*linked, *found}}


def _last_cover(row: tuple[Any, ...], version: Reader) -> Cover:
    (
        _,
        hash_,
        path,
        size,
        sha256,
        is_unlinked,
        at,
        by,
        linked_at,
        linked_by,
        is_delivered,
        delivered_at,
        delivered_by,
    ) = row
    written = version(at, by)
    linked = version(linked_at, linked_by) or written
    unlinked = (written or BEFORE_ALL) if is_unlinked else None
    delivered = (version(delivered_at, delivered_by) or linked) if is_delivered else None
    return Cover(hash_, linked, unlinked, delivered, CoverFile(path, size, sha256))


def write(tx: Tx, changed: Mapping[int, tuple[Covers, Covers]]) -> None:
    """What is known of the covers of some assets, before and after, by asset id."""
    last, others = [], []
    for id_, (before, after) in sorted(changed.items()):
        if after.last is not None and after.last != before.last:
            last.append(_last_row(id_, after.last))
        others += [
            _other_row(id_, cover) for hash_, cover in sorted(after.others.items()) if cover != before.others.get(hash_)
        ]
    for part in rows_json(last):
        _sql.write_last(tx.connection, rows=part)
    for part in rows_json(others):
        _sql.write_others(tx.connection, rows=part)


def _last_row(asset_id: int, cover: Cover) -> tuple[Any, ...]:
    """Versions that are the same as others are left out: they would make each row longer."""
    written, file = cover.unlinked or cover.linked, cover.file
    linked = None if cover.linked == written else cover.linked
    delivered = None if cover.delivered == cover.linked else cover.delivered
    is_unlinked, is_delivered = cover.unlinked is not None, cover.delivered is not None
    return (
        asset_id, cover.hash, file.path, file.bytes, file.sha256, int(is_unlinked), *pair(written), *pair(linked),
        int(is_delivered), *pair(delivered),
    )  # fmt: skip


def _other_row(asset_id: int, cover: Cover) -> tuple[Any, ...]:
    file = cover.file
    return (asset_id, cover.hash, file.path, file.bytes, file.sha256, *pair(cover.unlinked), *pair(cover.delivered))
