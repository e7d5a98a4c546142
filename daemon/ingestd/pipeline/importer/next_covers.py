"""Which cover of a bundle counts where the item that won has failed: a failed item states nothing.

The winner of each asset is known from the manifest alone, before anything is read. Once all items were tried, the next
one in rank counts in place of one that failed: the cover that the asset's own entry names, then later cover items.
"""

from collections.abc import Iterable

from ingestd.model import Decision, Reason
from ingestd.pipeline.evaluate import Bundle
from ingestd.store import asset_covers, item, library
from ingestd.store.db import Tx
from ingestd.store.item import CoverStatement, OpenItem

Winner = tuple[str, int | None]
"""hash of a cover, and the ordinal of its item; None: an entry names it"""


def elect(tx: Tx, batch_id: int, bundle: Bundle) -> list[OpenItem]:
    """Makes the next in rank the winner of each asset whose winner failed; returns the items to take up again for that.

    In order of the manifest; assets and cover items.
    """
    again = {}
    for asset, statements in item.contested_covers(tx, batch_id).items():
        valid = [statement for statement in statements if statement.row.decision != Decision.FAILED]
        if asset not in bundle.index.covers or not valid:
            continue
        winner = max(valid, key=_rank)
        elected = _as_winner(winner, valid)
        if elected == bundle.index.covers[asset]:
            continue
        bundle.index.covers[asset] = elected
        taken = winner if elected[1] is None else _item_of(valid, elected[1])
        if not _was_heard(tx, bundle, asset, taken):
            again[taken.row.ordinal] = taken.row
    return [again[ordinal] for ordinal in sorted(again)]


def _rank(statement: CoverStatement) -> tuple[bool, int]:
    return (statement.is_entry, statement.row.ordinal)


def _as_winner(winner: CoverStatement, valid: Iterable[CoverStatement]) -> Winner:
    """The winner as the index has it: if a cover item has the same cover, that item, which may bring its file."""
    items = (s.row.ordinal for s in valid if not s.is_entry and s.cover_hash == winner.cover_hash)
    return (winner.cover_hash, next(items, None))


def _item_of(valid: Iterable[CoverStatement], ordinal: int) -> CoverStatement:
    return next(statement for statement in valid if statement.row.ordinal == ordinal)


def _was_heard(tx: Tx, bundle: Bundle, asset: str, taken: CoverStatement) -> bool:
    """Whether the statement counted before: an item was not outranked, or the entry's cover is the one linked."""
    if not taken.is_entry:
        return taken.row.reason != Reason.OUTRANKED
    ids = [id_ for id_, _is_live in library.named(tx, [asset]).values()]
    last = [covers.last for covers in asset_covers.find(tx, ids, bundle.version).values()]
    return any(known is not None and (known.hash, known.linked) == (taken.cover_hash, bundle.version) for known in last)
