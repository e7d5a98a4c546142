"""What was read of bundles before a worker takes them: of small ones their manifests and items, and one long manifest.

Nothing of it counts by itself. A run uses what was read of a small bundle if it is of the manifest that is recorded, of
the same mount, and recent; on a mount that is near, also only if the manifest still has the same digest. Otherwise it
reads the bundle itself. So do several small bundles that are imported together. A long manifest is always read again,
but not parsed again if it still has the same digest.
"""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ingestd.backoff import backoff
from ingestd.model import Action
from ingestd.mount.attempt import ReadingsByOrdinal
from ingestd.mount.mountinfo import MountIdentity

if TYPE_CHECKING:
    from ingestd.pipeline.delivery import Delivery

MAX_MANIFEST, MAX_BUNDLES, MAX_BYTES = 2**16, 4096, 32 * 2**20
"""bytes of a manifest that is kept; how many bundles, and how many bytes of their manifests and documents"""
MAX_AGE, MAX_WAIT, LOOK = 60.0, 2.0, 0.25
"""seconds for which a reading counts as recent, and a long manifest is kept; for which a run waits for one that is
being made, and between looks"""
MAX_ITEMS = 16
"""of a bundle that is imported together with others"""
FIRST_REST, MAX_REST = 60.0, 3600.0
"""seconds for which no bundles are imported together: each time twice as long, until some have been"""


@dataclass(slots=True)
class _Kept:
    """A manifest, what was mounted when it was read, and when (monotonic); `readings` of all of its items, or none."""

    delivered: "Delivery"
    identity: MountIdentity
    read_at: float
    is_far: bool
    readings: ReadingsByOrdinal | None = None
    is_being_read: bool = False
    size: int = 0
    """bytes in memory, about"""

    def measure(self) -> int:
        """Bytes more in memory than before, about: a parsed manifest takes several times its length."""
        before = self.size
        self.size = 8 * self.delivered.size + sum(reading.size for reading in (self.readings or {}).values())
        return self.size - before

    @property
    def may_join(self) -> bool:
        """Whether it may be imported together with others: where the mount is far, only if its items are read."""
        is_read = self.readings is not None if self.is_far else not self.is_being_read
        return is_read and _is_plain(self.delivered)

    def counts_for(self, sha256: str | None, identity: MountIdentity | None) -> bool:
        is_recent = time.monotonic() - self.read_at <= MAX_AGE
        return is_recent and self.delivered.sha256 == sha256 and self.identity == identity

    def found(self) -> "Found":
        return Found(self.delivered, self.readings, is_certain=self.is_far or self.readings is not None)


@dataclass(frozen=True, slots=True)
class Found:
    """A bundle that was read ahead; `readings` None: its manifest alone. `is_certain`: it counts as it is."""

    delivered: "Delivery"
    readings: ReadingsByOrdinal | None
    is_certain: bool


class Ahead:
    """Keeps what was read ahead, within limits: the oldest is dropped first. Thread-safe."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}
        self._following: dict[str, dict[str, None]] = {}
        """those that name a bundle as their prior"""
        self._size = 0
        self._rests, self._rests_until = backoff(FIRST_REST, MAX_REST), 0.0
        self._long: tuple[Delivery, float] | None = None
        """and when (monotonic) it was read"""
        self._changed = threading.Condition()

    def note(self, delivered: "Delivery", identity: MountIdentity | None, *, is_far: bool) -> None:
        """Keeps a manifest that was just read, and is consumable."""
        with self._changed:
            if delivered.is_unchanged:
                return
            self._drop(delivered.sync_id)
            self._pop_long(delivered.sync_id)
            if delivered.manifest is None or identity is None:
                return
            if delivered.size > MAX_MANIFEST:
                # The bundle that came first is imported first.
                self._long = self._long or (delivered, time.monotonic())
            else:
                kept = self._kept[delivered.sync_id] = _Kept(delivered, identity, time.monotonic(), is_far)
                self._size += kept.measure()
                if (prior := delivered.manifest.prior_sync_id) is not None:
                    self._following.setdefault(prior, {})[delivered.sync_id] = None
                self._trim()

    def take_long(self, sync_id: str) -> "Delivery | None":
        """The manifest of a bundle, if it is long and was just parsed; it is not kept any longer."""
        with self._changed:
            return self._pop_long(sync_id)

    def forget_old(self) -> None:
        """Drops what no run took in time."""
        with self._changed:
            for sync_id, kept in list(self._kept.items()):
                if time.monotonic() - kept.read_at <= MAX_AGE:
                    break
                self._drop(sync_id)
            if self._long is not None and time.monotonic() - self._long[1] > MAX_AGE:
                self._long = None

    def begin(self, sync_id: str, sha256: str | None, identity: MountIdentity) -> "Delivery | None":
        """The manifest of a bundle whose items the caller reads now; None if that is not known, or they are read."""
        with self._changed:
            kept = self._kept.get(sync_id)
            if kept is None or kept.readings is not None or not kept.counts_for(sha256, identity):
                return None
            kept.is_being_read = True
            return kept.delivered

    def end(self, delivered: "Delivery", readings: ReadingsByOrdinal | None) -> None:
        """Keeps what was read of the items of a bundle; None: not all of them could be read.

        Where the mount is near, the caller has found that its manifest is the same as before.
        """
        with self._changed:
            kept = self._kept.get(delivered.sync_id)
            if kept is not None and kept.delivered is delivered:
                kept.readings, kept.is_being_read = readings, False
                self._size += kept.measure()
                self._trim()
            self._changed.notify_all()

    def take(
        self, sync_id: str, sha256: str | None, identity: MountIdentity, on_wait: Callable[[], None]
    ) -> Found | None:
        """What counts of a bundle, which is not kept any longer. Waits a while for what is being read.

        `on_wait()` is called now and then meanwhile, and may raise.
        """
        until = time.monotonic() + MAX_WAIT
        with self._changed:
            while (kept := self._kept.get(sync_id)) is not None and kept.is_being_read and time.monotonic() < until:
                self._changed.wait(LOOK)
                on_wait()
            self._drop(sync_id)
        return kept.found() if kept is not None and kept.counts_for(sha256, identity) else None

    def count(self) -> int:
        """How many small bundles are kept to be imported together: about as many are queued, or soon will be."""
        return len(self._kept) if time.monotonic() >= self._rests_until else 0

    def rest(self) -> None:
        """Has no bundles imported together for a while, because reading them together takes long."""
        with self._changed:
            self._rests_until = time.monotonic() + next(self._rests)

    def may_join(self, sync_id: str, sha256: str | None) -> bool:
        """Whether a bundle that is kept may be imported together with others."""
        with self._changed:
            kept = self._kept.get(sync_id)
            return kept is not None and kept.counts_for(sha256, kept.identity) and kept.may_join

    def followers(self, sync_ids: Iterable[str], limit: int) -> list[str]:
        """Bundles that follow some, directly or not, and that may be imported together with them; the nearest first."""
        with self._changed:
            level = list(sync_ids)
            found = dict.fromkeys(level)
            count = len(found)
            while level and len(found) < count + limit:
                level = [one for prior in level for one in self._following.get(prior, ()) if one not in found]
                level = [one for one in level if self._kept[one].may_join]
                found |= dict.fromkeys(level)
            return list(found)[count : count + limit]

    def look_up(self, sync_id: str, sha256: str | None, identity: MountIdentity) -> Found | None:
        """As `take`, on any mount and without a wait; it is still kept."""
        with self._changed:
            kept = self._kept.get(sync_id)
            return kept.found() if kept is not None and kept.counts_for(sha256, identity) else None

    def forget(self, sync_ids: Iterable[str]) -> None:
        """Drops bundles that were imported together."""
        with self._changed:
            self._rests = backoff(FIRST_REST, MAX_REST)
            for sync_id in sync_ids:
                self._drop(sync_id)

    def forget_readings(self, sync_ids: Iterable[str]) -> None:
        """Drops what was read of the items of some bundles, where the mount is near."""
        with self._changed:
            for kept in filter(None, map(self._kept.get, sync_ids)):
                if not kept.is_far:
                    kept.readings = None
                    self._size += kept.measure()

    def without(self, sync_ids: Iterable[str]) -> list[str]:
        """Those of some bundles whose items are to be read: their manifests are kept, and nothing else."""
        with self._changed:
            kept = [(sync_id, self._kept.get(sync_id)) for sync_id in sync_ids]
            return [sync_id for sync_id, one in kept if one is not None and not (one.is_being_read or one.readings)]

    def _drop(self, sync_id: str) -> None:
        kept = self._kept.pop(sync_id, None)
        if kept is None:
            return
        self._size -= kept.size
        prior = kept.delivered.manifest.prior_sync_id if kept.delivered.manifest is not None else None
        if prior is not None:
            self._following[prior].pop(sync_id)
            if not self._following[prior]:
                del self._following[prior]

    def _pop_long(self, sync_id: str) -> "Delivery | None":
        if self._long is None or self._long[0].sync_id != sync_id:
            return None
        (delivered, _), self._long = self._long, None
        return delivered

    def _trim(self) -> None:
        while len(self._kept) > MAX_BUNDLES or self._size > MAX_BYTES:
            self._drop(next(iter(self._kept)))


def _is_plain(delivered: "Delivery") -> bool:
    """Whether a bundle has only a few assets, and names no cover and no container."""
    manifest = delivered.manifest
    if manifest is None or manifest.action is Action.REMOVE:
        return False
    is_short = 0 < manifest.item_count == delivered.index.item_count <= MAX_ITEMS
    return is_short and not (manifest.container_count or delivered.index.covers)
