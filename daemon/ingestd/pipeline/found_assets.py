"""What a plan in memory found of the assets of a large new bundle, so that its import need not look them up again."""

from bisect import bisect_right, insort
from collections.abc import Callable, Mapping, Sequence

from ingestd.format.entry import Entry
from ingestd.library_records import StoredAsset
from ingestd.mount.spool import Spool
from ingestd.pipeline import forecast
from ingestd.pipeline.evaluate import Bundle, LibraryState, hashes_of, load_state
from ingestd.pipeline.staging import Forecast
from ingestd.store import known_assets
from ingestd.store.db import Tx

MAX_PARTS = 2
"""parts of the plan that the items of one state may be in; of more the assets are looked up"""

NOTHING: Mapping[str, StoredAsset] = {}


class FoundAssets:
    """The rows of the assets in each part of a plan, as text: a few in memory, and more in a file.

    They may have changed since: the transaction that writes compares them with the locked ones. Thread-safe once all
    parts are forecast.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._spool = Spool()
        self._texts: dict[int, Callable[[], bytes] | None] = {}
        """by the ordinal of the first entry; None: its assets are to be looked up, because entries name covers"""
        self._firsts: list[int] = []
        self._has_any = False
        self._last: tuple[int, Mapping[str, StoredAsset]] = (-1, NOTHING)
        """first ordinal and assets of the part that was used last: most items are used in order"""

    def look_up(self, tx: Tx, entries: Sequence[Entry]) -> str:
        """The rows of the assets of one part, for `forecast`."""
        return known_assets.rows(tx, hashes_of(entries))

    def forecast(self, tx: Tx, entries: Sequence[Entry], rows: str | None = None) -> Sequence[Forecast]:
        """Forecasts one part, and keeps the rows that were found, before or now."""
        rows = self.look_up(tx, entries) if rows is None else rows
        self._keep(entries, rows)
        state = load_state(tx, self._bundle, entries, assets=known_assets.read(tx, rows, self._bundle.version))
        return forecast.from_state(tx, self._bundle, entries, state)

    def _keep(self, entries: Sequence[Entry], rows: str) -> None:
        first, names_covers = entries[0].ordinal, any(entry.cover_hash for entry in entries)
        if first not in self._texts:  # else the same was read before, in vain
            insort(self._firsts, first)  # what one thread read in vain, another one reads later
        self._texts[first] = None if names_covers else self._spool.keep(rows.encode())
        self._has_any = self._has_any or names_covers or bool(rows)

    def state(self, tx: Tx, entries: Sequence[Entry]) -> LibraryState:
        """What some entries concern, as it was when they were forecast."""
        if not self._has_any:
            return LibraryState()
        firsts = {self._firsts[bisect_right(self._firsts, entry.ordinal) - 1] for entry in entries}
        parts = [self._texts[first] for first in firsts] if len(firsts) <= MAX_PARTS else [None]
        if None in parts:
            return load_state(tx, self._bundle, entries)
        known = {hash_: asset for first in sorted(firsts) for hash_, asset in self._part(tx, first).items()}
        return LibraryState({hash_: known[hash_] for hash_ in hashes_of(entries) if hash_ in known})

    def _part(self, tx: Tx, first: int) -> Mapping[str, StoredAsset]:
        last, assets = self._last
        if last == first:
            return assets
        read = self._texts[first]
        assert read is not None, "others are looked up"
        assets = known_assets.read(tx, read().decode(), self._bundle.version)
        self._last = (first, assets)
        return assets
