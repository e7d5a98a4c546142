"""Imports the bundles of several jobs together, and those whose jobs wait for them, as far as that goes.

Whatever stands in the way leaves a bundle, or all of them, to runs of their own, which know what to do about it.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import structlog

from ingestd.errors import DatabaseContention, MountSilent, Stopping
from ingestd.model import BatchStatus, Decision, Lease
from ingestd.mount.attempt import ReadingsByOrdinal
from ingestd.mount.mountinfo import MountIdentity
from ingestd.pipeline import claims, preflight
from ingestd.pipeline.ahead import Found
from ingestd.pipeline.context import Context
from ingestd.pipeline.delivery import Delivery
from ingestd.pipeline.group_reading import READING_SECONDS, read_again
from ingestd.pipeline.importer import following, group_import
from ingestd.pipeline.importer.following import Claimant, Followers
from ingestd.pipeline.importer.group_import import Decided, Member
from ingestd.pipeline.passes import Part
from ingestd.store.attempts import never
from ingestd.store.db import Tx

log = structlog.get_logger()

CHECK_SECONDS = 1.0
"""how old a check of the mount may be: no problem of a file is recorded here"""
MAX_BYTES = 2**18
"""of the documents of all bundles: they go into one statement"""
WRITING_SECONDS = 1.0
"""after the beginning of the first try: what waited for other transactions for so long is not tried again"""


@dataclass(frozen=True, slots=True)
class Together:
    """One try to import the bundles of some jobs together, and of others that wait for them, up to `limit` in all.

    `tick` shows that the worker's thread is alive.
    """

    context: Context
    leases: Sequence[Lease]
    claimant: Claimant
    limit: int
    stopping: threading.Event
    tick: Callable[[], None]
    read_until: float = field(default_factory=lambda: time.monotonic() + READING_SECONDS)

    def run(self) -> list[Lease]:
        """The jobs that were ended, also those that waited until then: all that their bundles list was imported."""
        try:
            done = self._import()
        except Exception as error:  # noqa: BLE001  it comes again in a run of its own, and is reported there
            if isinstance(error, MountSilent):
                self.context.ahead.rest()
            log.debug("not_imported_together", reason=str(error))
            return []
        claimed = {lease.job_id for lease in self.leases}
        claims.count(self.context, [one.lease for one in done if one.lease.job_id not in claimed])
        for one in done:
            self._count(one)
        if done:
            self.context.ahead.forget(one.lease.sync_id for one in done)
        return [one.lease for one in done]

    def _import(self) -> list[Decided]:
        identity = self.context.mount.check_cached(CHECK_SECONDS)
        room, hashes_of = self.limit - len(self.leases), partial(self._hashes, identity=identity)
        followers = following.find(self.context, self.leases, self.claimant, room, hashes_of)
        if len(self.leases) + len(followers.leases) < 2:
            return []
        try:
            members = self._members([*self.leases, *followers.leases], identity)
            if len(members) < 2:
                return []
            work = partial(self._write, members=members, followers=followers, tries=[])
            with self.context.instruments.chunk_duration.time():
                return self.context.db.transaction(work, keep_waiting=never, keep_asking=self._keep_asking)
        finally:
            # The jobs of those that were left out may wait for long.
            self.context.ahead.forget_readings(lease.sync_id for lease in followers.leases)

    def _write(self, tx: Tx, members: Sequence[Member], followers: Followers, tries: list[float]) -> list[Decided]:
        """`tries`: when each began (monotonic)."""
        tries.append(time.monotonic())
        if tries[-1] - tries[0] >= WRITING_SECONDS:
            raise DatabaseContention("another transaction holds what one of several bundles needs")
        return group_import.run(tx, self.context, members, followers)

    def _keep_asking(self) -> bool:
        """Whether to wait until the database says what was committed, as runs wait for it."""
        self._note_progress()
        return not self.stopping.is_set()

    def _hashes(self, lease: Lease, identity: MountIdentity) -> set[str]:
        """The assets of the bundle of a job, as far as it was read."""
        found = self.context.ahead.look_up(lease.sync_id, lease.recorded_sha256, identity)
        return Member(lease, found.delivered, {}).hashes if found is not None else set()

    def _members(self, leases: Sequence[Lease], identity: MountIdentity) -> list[Member]:
        """The bundles that were read, in the order of their jobs, as far as they fit into one transaction."""
        look_up = self.context.ahead.look_up
        kept = [(lease, look_up(lease.sync_id, lease.recorded_sha256, identity)) for lease in leases]
        known = [(lease, found) for lease, found in kept if found is not None]
        readings = self._readings([found for _, found in known])
        members, items_left, bytes_left = [], self.context.settings.worker.chunk_items, MAX_BYTES
        for lease, found in known:
            of_bundle, count = readings.get(lease.sync_id), found.delivered.index.item_count
            size = sum(one.size for one in (of_bundle or {}).values())
            if of_bundle is not None and count <= items_left and size <= bytes_left:
                members.append(Member(lease, found.delivered, of_bundle))
                items_left, bytes_left = items_left - count, bytes_left - size
        return members

    def _readings(self, found: Sequence[Found]) -> dict[str, ReadingsByOrdinal]:
        read = {one.delivered.sync_id: one.readings for one in found if one.readings is not None}
        unread = [one.delivered for one in found if one.readings is None]
        return read | self._read(unread) if unread else read

    def _read(self, group: Sequence[Delivery]) -> dict[str, ReadingsByOrdinal]:
        found = read_again(self.context.mount, group, self._on_bytes, READING_SECONDS)
        for one in group:
            self.context.ahead.end(one, found.get(one.sync_id))
        return found

    def _on_bytes(self, count: int) -> None:
        self._on_step()
        self.context.instruments.documents_read.inc(count)

    def _on_step(self) -> None:
        """Records progress of all the jobs, so that heartbeats go on. Raises Stopping, and MountSilent after a while.

        Bundles that take long to read are read at the same time by several workers.
        """
        self._note_progress()
        if self.stopping.is_set():
            raise Stopping("the daemon is stopping")
        if time.monotonic() > self.read_until:
            raise MountSilent("reading the items of several bundles takes long")

    def _note_progress(self) -> None:
        self.tick()
        for lease in self.leases:
            lease.progress_at = time.monotonic()

    def _count(self, one: Decided) -> None:
        """Counts what was committed."""
        lease, seen = one.lease, one.progress.seen
        lease.items_done = lease.items_total = seen
        preflight.count(self.context, one.plan)
        self.context.instruments.items.labels(Decision.CREATED.value).inc(seen)
        self.context.passes.note_pass(Part.ITEM)
        self.context.passes.forget(one.member.delivered.sha256 or "")
        keys = {"job_id": lease.job_id, "worker": lease.worker_id, "claim_token": lease.token, "sync_id": lease.sync_id}
        log.info("job_finished", outcome="done", status=BatchStatus.IMPORTED.value, **one.progress.tally, **keys)
