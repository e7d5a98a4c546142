"""The source gate: nothing is read from a file system that is not the expected one, until an operator accepts it.

Another file system in the place of the mount looks like a mount without bundles, or without some files. What each host
expects is a row of ingest_mount; docs/decisions/0022-what-is-mounted.md has the rules and their reasons.
"""

import math
import os
import time
from contextlib import suppress
from functools import partial

import structlog

from ingestd.config import MountSettings
from ingestd.errors import ListingEndless, MountReplaced, MountUnavailable, NotEligible
from ingestd.model import Origin
from ingestd.mount.access import Mount
from ingestd.mount.mountinfo import MountIdentity
from ingestd.mount.records import Listing
from ingestd.pipeline.identity import host
from ingestd.service import tick
from ingestd.store import batch, ledger
from ingestd.store import mount as mounts
from ingestd.store.db import Database, Tx
from ingestd.store.mount import KnownMount, Place

log = structlog.get_logger()

NAMES_PER_QUERY = 1000
MAX_ROOT = 500


class SourceGate:
    """Compares what is mounted with what this host expects. Thread-safe: what it decides is in the database.

    While nothing changes it costs nothing: what was approved is remembered by this process.
    """

    def __init__(self, settings: MountSettings, db: Database, mount: Mount) -> None:
        self._settings, self._db, self._mount = settings, db, mount
        self.place = Place(host(), os.fsencode(settings.root).decode("utf-8", "backslashreplace")[:MAX_ROOT])
        self._approved: Origin | None = None
        self._looked_at, self._look_due_at = "", -math.inf

    def approve(self, identity: MountIdentity) -> None:
        """Raises MountUnavailable unless bundles may be read from what is mounted, DatabaseUnavailable if unknown."""
        if identity.origin == self._approved:
            return
        self._approved = None
        self._compare(identity.origin)
        self._approved = identity.origin

    def require_trusted(self, batch_id: int) -> None:
        """Raises MountReplaced if what is missing here may exist on the file system that a batch was recorded on.

        It does not if that is the one mounted, or if this one was expected before the batch came, or accepted since.
        """
        recorded, discovered_at = self._db.read(lambda tx: batch.origin(tx, batch_id))
        known = self._db.read(partial(mounts.find, place=self.place))
        if recorded is None or known is None or known.origin.is_same(recorded):
            return
        if known.accepted_by is None and known.since > discovered_at:
            self.refuse(recorded, known.origin)
            raise MountReplaced(f"the batch was recorded on {recorded}, and {known.origin} is mounted now")

    def refuse(self, expected: Origin, found: Origin) -> None:
        """Closes the gate until `expected` is mounted again, or an operator accepts `found`."""

        def work(tx: Tx) -> None:
            mounts.expect(tx, self.place, origin=expected)
            mounts.refuse(tx, self.place, origin=found, reason="replaced")

        self._db.transaction(work)
        self._approved = None
        self._mount.lose(f"{expected} was replaced by {found}")
        log.error("mount_replaced", expected=str(expected), found=str(found), remedy="ingestd mount accept")

    def accept(self, requested_by: str) -> tuple[Origin | None, Origin]:
        """Expects what is mounted now; returns what was expected before, and it. Raises NotEligible if that is so."""
        found = self._mount.identify().origin
        known = self._db.read(partial(mounts.find, place=self.place))
        if known is not None and known.origin.is_same(found):
            raise NotEligible(f"there is nothing to accept: {found} is what is expected at {known.root}")
        before = None if known is None else known.origin

        def work(tx: Tx) -> None:
            mounts.expect(tx, self.place, origin=found, accepted_by=requested_by)
            names = {"from": before and str(before), "to": str(found)}
            ledger.append(tx, None, "mount_accepted", phase="mount", requested_by=requested_by, **names)

        self._db.transaction(work)
        return before, found

    def _compare(self, origin: Origin) -> None:
        known = self._db.read(partial(mounts.find, place=self.place))
        if known is not None and known.origin.is_same(origin):
            self._end_refusal(known)
            return
        if known is not None and known.refused_reason == "replaced" and known.refused == origin:
            raise MountUnavailable(known.sentence)
        others = [known] if known is not None else self._db.read(mounts.every)
        if not self._is_plausible(others, origin):
            raise MountUnavailable(self._cover(others[0], origin))
        self._db.transaction(partial(mounts.expect, place=self.place, origin=origin))
        if known is not None:
            log.warning("mount_changed", expected=str(known.origin), found=str(origin), reason="it has the bundles")

    def _end_refusal(self, known: KnownMount) -> None:
        if known.refused is not None:
            self._db.transaction(partial(mounts.end_refusal, place=self.place))
            log.info("mount_expected_again", found=str(known.origin))

    def _is_plausible(self, others: list[KnownMount], origin: Origin) -> bool:
        """Whether bundles may be expected here: nothing says otherwise, or a recorded one is in sight."""
        if not (self._settings.require_mount and others) or any(other.origin.is_same(origin) for other in others):
            return True
        return not self._db.read(batch.exists) or self._has_recorded(origin)

    def _has_recorded(self, origin: Origin) -> bool:
        """Whether a recorded bundle is in sight. Looks at most once per mount.rescan_interval at one file system."""
        now = time.monotonic()
        if str(origin) == self._looked_at and now < self._look_due_at:
            return False
        self._looked_at, self._look_due_at = str(origin), now + self._settings.rescan_interval
        listing = Listing()
        with suppress(MountUnavailable, ListingEndless):
            self._mount.list_sentinels(listing, on_part=lambda _ids: tick())
        names = sorted(listing.sync_ids)
        parts = [names[start : start + NAMES_PER_QUERY] for start in range(0, len(names), NAMES_PER_QUERY)]
        return any(self._db.read(partial(batch.any_recorded, sync_ids=part)) for part in parts)

    def _cover(self, known: KnownMount, origin: Origin) -> str:
        """Records what covers the expected file system; returns that in words."""

        def work(tx: Tx) -> KnownMount | None:
            if (known.host, known.root) != self.place:
                mounts.expect(tx, self.place, known.origin)
            mounts.refuse(tx, self.place, origin, "covered")
            return mounts.find(tx, self.place)

        refused = known if known.refused == origin else self._db.transaction(work)
        assert refused is not None
        if refused is not known:
            log.error("mount_covered", expected=str(known.origin), found=str(origin), remedy="ingestd mount accept")
        return refused.sentence
