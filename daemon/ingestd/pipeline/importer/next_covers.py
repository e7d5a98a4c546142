"""Which cover of a bundle counts where the item that won has failed: a failed item states nothing.

The winner of each asset is known from the manifest alone, before anything is read. Once all items were tried, the next
one in rank counts in place of one that failed: the cover that the asset's own entry names, then later cover items.
"""

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from functools import partial
from typing import TypeVar

from ingestd.model import Decision, Reason
from ingestd.pipeline.evaluate import Bundle
from ingestd.pipeline.importer.chunk_source import Read
from ingestd.store import asset_covers, item, library, versions
from ingestd.store.db import Tx
from ingestd.store.item import CoverStatement, OpenItem

T = TypeVar("T")
U = TypeVar("U")
Winner = tuple[str, int | None]
"""hash of a cover, and the ordinal of its item; None: an entry names it"""
VALUES_PER_READ = 1000


class Contest:
    """What the items of a batch say about the covers of those assets of which one such item failed.

    All of it is read once. After each election only the decisions of the elected items are read: otherwise many failing
    items of one asset would cost the square of their number. `on_step` is called after each read. Without `batch_id`
    there is nothing to elect.
    """

    def __init__(self, read: Read, on_step: Callable[[], None], batch_id: int | None, bundle: Bundle) -> None:
        self._read, self._on_step, self._bundle = read, on_step, bundle
        found = {} if batch_id is None else read(lambda tx: item.contested_covers(tx, batch_id))
        self._open = {asset: _by_rank(said) for asset, said in found.items() if asset in bundle.index.covers}
        """by asset: the statements that have not failed, the highest in rank last"""
        self._elected: dict[str, CoverStatement] = {}

    def elect(self) -> list[OpenItem]:
        """Makes the next in rank the winner of each asset whose winner failed; returns the items to take up for that.

        In order of the manifest; assets and cover items.
        """
        self._drop_failed()
        self._elected = {asset: taken for asset, said in self._open.items() if (taken := self._next(asset, said))}
        entries = [asset for asset, taken in self._elected.items() if taken.is_entry]
        linked = {pair for part in self._parts(entries, partial(_linked, bundle=self._bundle)) for pair in part}
        again = (taken.row for asset, taken in self._elected.items() if not _was_heard(asset, taken, linked))
        return sorted(again, key=lambda row: row.ordinal)

    def _drop_failed(self) -> None:
        """Goes on with those assets whose elected item failed, too."""
        if not self._elected:
            return
        ids = [taken.row.id for taken in self._elected.values()]
        failed = {id_ for part in self._parts(ids, item.failed) for id_ in part}
        lost = (asset for asset, taken in self._elected.items() if taken.row.id in failed)
        self._open = {asset: _without(self._open[asset], failed) for asset in lost}

    def _next(self, asset: str, said: Sequence[CoverStatement]) -> CoverStatement | None:
        """The item that stands for the new winner of an asset; None if there is none, or it has won before."""
        if not said:
            return None
        winner = said[-1]
        # If a cover item has the same cover, that item counts, which may bring its file.
        taken = next((s for s in reversed(said) if not s.is_entry and s.cover_hash == winner.cover_hash), winner)
        elected: Winner = (winner.cover_hash, None if taken.is_entry else taken.row.ordinal)
        if elected == self._bundle.index.covers[asset]:
            return None
        self._bundle.index.covers[asset] = elected
        return taken

    def _parts(self, values: Sequence[T], read: Callable[[Tx, Sequence[T]], U]) -> Iterator[U]:
        for start in range(0, len(values), VALUES_PER_READ):

            def work(tx: Tx, part: Sequence[T] = values[start : start + VALUES_PER_READ]) -> U:
                return read(tx, part)

            yield self._read(work)
            self._on_step()


def _by_rank(said: Iterable[CoverStatement]) -> list[CoverStatement]:
    valid = (statement for statement in said if statement.row.decision != Decision.FAILED)
    return sorted(valid, key=lambda statement: (statement.is_entry, statement.row.ordinal))


def _without(said: list[CoverStatement], failed: set[int]) -> list[CoverStatement]:
    """Those that did not fail. Mostly that was the last one, which costs nothing to leave out."""
    if said[-1].row.id in failed:
        said.pop()
        return said
    return [statement for statement in said if statement.row.id not in failed]


def _was_heard(asset: str, taken: CoverStatement, linked: Container[tuple[str, str]]) -> bool:
    """Whether the statement counted before: an item was not outranked, or the entry's cover is the one linked."""
    return (asset, taken.cover_hash) in linked if taken.is_entry else taken.row.reason != Reason.OUTRANKED


def _linked(tx: Tx, assets: Sequence[str], *, bundle: Bundle) -> list[tuple[str, str]]:
    """The covers that this bundle has linked: (asset, cover)."""
    ids = {id_: asset for asset, (id_, _is_live) in library.named(tx, assets).items()}
    found = asset_covers.find(tx, ids, bundle.version)
    last = ((ids[id_], known.last) for id_, known in found.items())
    return [(asset, cover.hash) for asset, cover in last if cover and versions.is_of(cover.linked, bundle.version)]
