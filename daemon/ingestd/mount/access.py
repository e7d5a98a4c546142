"""The mount as the daemon sees it: a helper process does every read, with a deadline.

A mount that is absent, replaced or silent raises MountUnavailable, which never counts against a bundle.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path

from ingestd.config import MountSettings
from ingestd.errors import ManifestUnsettled, MountUnavailable, Shortage
from ingestd.mount import wire
from ingestd.mount.checked_root import RECHECK_SECONDS, CheckedRoot
from ingestd.mount.digest_receiver import receive_digests
from ingestd.mount.helper_pool import HelperPool, Use
from ingestd.mount.helper_process import HelperProcess
from ingestd.mount.listing_receiver import ListingReceiver
from ingestd.mount.manifest_answers import ManifestAnswers
from ingestd.mount.manifest_exchange import ManifestExchange
from ingestd.mount.mountinfo import MountIdentity, MountPoint, mount_point
from ingestd.mount.prober import Prober
from ingestd.mount.reader_shares import ReaderShares
from ingestd.mount.readings_receiver import receive_readings
from ingestd.mount.records import ItemRequest, Listing, ManifestReading, Reading
from ingestd.mount.requests import Requests
from ingestd.mount.root_notices import RootNotices
from ingestd.shortage import shortage_of

CHECK_SECONDS = 20.0
"""of silence after which the mount counts as absent"""
SLACK_SECONDS = 2.0
"""after the deadline, for a helper that notices itself which of its threads are silent, and reports that"""
READ_WINDOW = 16 * 2**20
"""Bytes of documents that are read ahead: enough for 500 items with usual ones."""


class Mount(CheckedRoot):
    """Access to the bundles below `settings.root`. Thread-safe; each caller has a helper process to itself."""

    def __init__(self, settings: MountSettings) -> None:
        super().__init__(str(settings.root))
        self.settings = settings
        self.sync_inode = 0
        """inode of the folder with the sentinels at the last check; 0: there was none"""
        self.notices = RootNotices(str(settings.root))
        self.listing_problem: str | None = None
        """why the last listing of that folder did not end; None if it did"""
        self._mount_id, self._path = 0, settings.root
        self._requests = Requests(settings, lambda: self.is_remote)
        self._pool = HelperPool(settings.root, self._mounted)
        self._shares = ReaderShares(settings.readers)
        self.prober = Prober(settings.root, self._mounted)
        self._answers = ManifestAnswers(settings.root, self._mounted)

    def identify(self) -> MountIdentity:
        """The identity of the file system at the root, expected or not. Raises MountUnavailable."""
        began = time.monotonic()
        reply = self._ask(wire.InspectRoot(self._root), CHECK_SECONDS)
        self.notices.note_speed(time.monotonic() - began)
        if isinstance(reply, wire.RootInfo):
            # The root may be a link to where the mount is.
            self._path = Path(reply.path)
        point = self._mount_point()
        if self.settings.require_mount and point.is_bare:
            hint = "mount it, or set mount.require_mount = false for a plain folder"
            raise MountUnavailable(f"nothing is mounted at {self._root}; {hint}")
        if not isinstance(reply, wire.RootInfo):
            raise MountUnavailable(f"the mount is not readable: {wire.problem_of(reply)}")
        self.sync_inode = reply.sync_inode
        self.notices.note_covered(reply.sync_dev not in (0, reply.st_dev))
        return MountIdentity(point, reply.st_dev, reply.unique_id, reply.fs_id)

    def list_sentinels(
        self,
        listing: Listing | None = None,
        on_part: Callable[[bytes], object] = lambda _ids: None,
        awaited: Sequence[str] = (),
        known_stamp: str = "",
    ) -> Listing:
        """All bundles handed over, from one listing, and the manifests of the `awaited` ones that it names.

        `on_part(ids)` is called for each part of it, with the sync_ids one after another. Raises MountUnavailable, and
        ListingEndless; `listing` then has what was listed before. With the `known_stamp` of an earlier listing nothing
        is listed if the folder has not changed since, where its file system says that reliably.
        """
        receiver, seconds = ListingReceiver(self._root, listing or Listing()), self.settings.deadline
        stamp = known_stamp if self._mount_point().has_true_times else None
        with self._helper(Use.LISTING, "sync/") as helper:
            helper.send(wire.ListSentinels(self._root, list(awaited), stamp), seconds)
            while not receiver.is_complete:
                on_part(receiver.add(helper.receive(seconds)))
        self._requests.note_listed(receiver.listing)
        return receiver.listing

    def read_manifest(
        self,
        sync_id: str,
        known_sha256: str | None = None,
        on_alive: Callable[[], None] = lambda: None,
        *,
        deadline: float | None = None,
        only_short: bool = False,
        as_listed: bool = False,
        within: ManifestExchange | None = None,
    ) -> ManifestReading:
        """The checked manifest or its problem; nothing but its digest if that is `known_sha256`.

        `on_alive()` is called for each sign of life. Raises SentinelMissing, ManifestUnsettled if it cannot be read
        (yet) or is not complete JSON, and MountUnavailable after `deadline` seconds, by default mount.deadline, without
        a sign of life, or if it is not of the mount that was checked. `only_short`: raises ManifestIsLong for one of
        more than 1 MiB. `as_listed`: a sentinel that a listing has just shown counts. `within`: a request for several,
        of which this may be the next one.
        """
        seconds = self.settings.deadline if deadline is None else deadline
        request = self._requests.manifest(sync_id, known_sha256, only_short=only_short, as_listed=as_listed)
        if within is None or not within.is_next(request):
            within = ManifestExchange([request], lambda: self._helper(Use.MANIFEST, sync_id))
        checked = self.identity
        try:
            reading = within.read(seconds, on_alive)
        except ManifestUnsettled:
            if checked is not None:
                self.recent_identity(RECHECK_SECONDS)
            raise
        if checked is not None:
            self._confirm(reading.mount_id, checked)
        return reading

    def request_manifests(
        self, wanted: Sequence[tuple[str, str | None]], on_slow: Callable[[], None]
    ) -> ManifestExchange:
        """A request for several short manifests, (sync_id, known digest) each, for `read_manifest` in this order.

        `on_slow()` is called when one takes long: the others are to be read without it then.
        """
        requests = [
            self._requests.manifest(sync_id, sha256, only_short=True, as_listed=True) for sync_id, sha256 in wanted
        ]
        return ManifestExchange(requests, lambda: self._helper(Use.MANIFEST), on_slow)

    def digest_manifests(
        self,
        sync_ids: Sequence[str],
        found: dict[str, str | None],
        seconds: float,
        deadline: float,
        on_alive: Callable[[], None] = lambda: None,
    ) -> float:
        """Adds digests of manifests to `found`, in order (None: unreadable), for so long; returns processor time.

        `on_alive()` is called for signs of life. Raises MountUnavailable; MountSilent after `deadline` seconds without
        one, at the first that is not in `found`.
        """
        with self._helper(Use.MANIFEST) as helper:
            helper.send(self._requests.digests(sync_ids, seconds), deadline)
            return receive_digests(helper, sync_ids, found, deadline, on_alive)

    def manifest_answers(self, sync_id: str, seconds: float) -> bool:
        """Whether reading the beginning of a manifest ends within so many seconds: one that hangs costs no helper."""
        return self._answers.answers(sync_id, seconds)

    def read_items(
        self,
        items: list[ItemRequest],
        on_bytes: Callable[[int], None] = lambda _count: None,
        window: int = READ_WINDOW,
        *,
        bundle: str = "",
        in_threads: bool = False,
        deadline: float | None = None,
    ) -> Iterator[Reading]:
        """One Reading for each requested item, in order, as they arrive; `on_bytes(count)` reports bytes read.

        Ends early, but not before the first item, when the documents need more than `window` bytes of memory, or the
        reads of too many items hang. Those of a remote mount, and those that are to be, are read in threads: one
        without a sign of life for mount.deadline gets a reading that says that; else MountSilent is raised (after
        `deadline`). Raises MountUnavailable: HelperFailed, BundleHangs or ReadsHang if too many hang for one or all.
        """
        readers = self._shares.share(len(items)) if in_threads or self.is_remote else nullcontext(1)
        with readers as count, self._helper(Use.ITEMS, bundle=bundle) as helper:
            seconds = deadline or self.settings.deadline + (0.0 if count == 1 else SLACK_SECONDS)
            helper.send(self._requests.items(items, window, count), seconds)
            yield from receive_readings(helper, items, seconds, on_bytes)

    def read_announced(
        self, sync_ids: Sequence[str], items: list[ItemRequest], on_bytes: Callable[[int], None], deadline: float
    ) -> tuple[dict[str, str | None], list[Reading]]:
        """The digests of manifests, None without a sentinel, and what was read of items: one helper is asked for both.

        As `digest_manifests` and `read_items` otherwise.
        """
        readers = self._shares.share(len(items)) if self.is_remote else nullcontext(1)
        digests: dict[str, str | None] = {}
        with readers as count, self._helper(Use.ITEMS) as helper:
            helper.send(self._requests.digests(sync_ids, deadline, announced=True), deadline)
            helper.send(self._requests.items(items, READ_WINDOW, count), deadline)
            receive_digests(helper, sync_ids, digests, deadline, partial(on_bytes, 0))
            return digests, list(receive_readings(helper, items, deadline, on_bytes))

    def hanging_items(self) -> set[str]:
        """The folders of items whose reads hang in the kernel."""
        return self._pool.hanging(Use.ITEMS)

    @property
    def hanging_problem(self) -> str | None:
        """Why no items are read at all: too many hang in the kernel."""
        return self._pool.problem(Use.ITEMS)

    @property
    def hung_manifests(self) -> int:
        """Number of manifests whose read hangs in the kernel."""
        return self._pool.hung(Use.MANIFEST)

    @property
    def is_remote(self) -> bool:
        """Whether the file system that was mounted at the last check is remote; does not touch it."""
        identity = self.identity
        return (self._mount_point() if identity is None else identity.point).is_remote

    def _mount_point(self) -> MountPoint:
        try:
            return mount_point(self._path)
        except OSError as error:
            kind = MountUnavailable if shortage_of(error) is None else Shortage
            raise kind(f"what is mounted cannot be found out: {error.strerror}") from error

    def _mounted(self) -> int:
        """The number of the mount at the root, as last known: a lack of descriptors must not look like another one."""
        with suppress(OSError):
            self._mount_id = mount_point(self._path).mount_id
        return self._mount_id

    def close(self) -> None:
        """Ends all helpers, also while callers wait for a reply: they get MountUnavailable. Idempotent."""
        self.prober.close()
        self._answers.close()
        self._pool.close()

    def _ask(self, request: wire.Request, seconds: float) -> wire.Reply:
        with self._helper(Use.CHECK) as helper:
            helper.send(request, seconds)
            return helper.receive(seconds)

    @contextmanager
    def _helper(self, use: Use, name: str = "", bundle: str = "") -> Iterator[HelperProcess]:
        """A helper for one exchange. After MountUnavailable the last check no longer counts as recent."""
        try:
            with self._pool.borrow(use, name, bundle) as helper:
                yield helper
        except MountUnavailable:
            self._checked_at = -math.inf
            raise
