"""Wakes the scanner when the hand-over folder changes. Its events are only hints; the scanner's own listing decides.

Uses inotify where the file system emits events. On other file systems (FUSE, NFS) it compares listings of names: one
listing per interval, and no stat of any file.
"""

import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import structlog
from watchdog.events import FileCreatedEvent, FileSystemEvent, FileSystemEventHandler
from watchdog.observers.api import BaseObserver, EventEmitter, EventQueue, ObservedWatch

from ingestd.errors import ListingEndless, MountUnavailable
from ingestd.format.fields import SYNC_ID
from ingestd.mount.access import Mount
from ingestd.mount.mountinfo import MountIdentity
from ingestd.mount.records import Listing, split_ids
from ingestd.pipeline.inotify import FolderEmitter
from ingestd.pipeline.settling import Settling

log = structlog.get_logger()

REARM_INTERVAL = 5.0
RETURN_INTERVAL = 60.0
"""seconds after which inotify is tried again, when it could not be had"""
MAX_EARLY = 1000
"""names that are emitted before their listing has ended: it may never end, with other names each time"""

OnNames = Callable[[set[str]], None]
Awaits = Callable[[str], bool]


class Hints(FileSystemEventHandler):
    """Turns names of files into the sync_ids that they concern.

    A manifest counts only if the scanner `awaits` its name; other manifests get a sentinel later.
    """

    def __init__(self, on_names: OnNames, awaits: Awaits) -> None:
        self._on_names, self._awaits = on_names, awaits

    def on_any_event(self, event: FileSystemEvent) -> None:
        self.note([str(event.src_path)])

    def note(self, files: Iterable[str]) -> None:
        paths = map(Path, files)
        names = {path.stem for path in paths if SYNC_ID.fullmatch(path.stem) and self._is_hint(path)}
        if names:
            self._on_names(names)

    def _is_hint(self, path: Path) -> bool:
        return path.suffix == ".ready" or (path.suffix == ".json" and self._awaits(path.stem))


class SentinelEmitter(EventEmitter):
    """Emits a creation for each sentinel, and each manifest that is waited for, that was not in the listing before.

    What is new is emitted with its part of the listing, which may take long. A failed listing forgets nothing.
    """

    def __init__(
        self, event_queue: EventQueue, watch: ObservedWatch, *, mount: Mount, settling: Settling, **options: Any
    ) -> None:
        super().__init__(event_queue, watch, **options)
        self._mount, self._settling = mount, settling
        self._seen: set[str] = set()
        self._parts: set[bytes] = set()
        """those of the last complete listing: a part that is the same again has nothing new"""
        self._early: set[str] = set()
        """what the present listing emitted before its end"""
        self._stamp = ""
        self._list_at = self._rest_until = -math.inf

    def on_thread_start(self) -> None:
        """Takes the first listing in the thread that starts the watch, so that every later sentinel causes an event."""
        self._list(is_first=True)

    def queue_events(self, timeout: float) -> None:
        """Lists once. Listings begin `timeout` seconds apart, also where each takes a part of that."""
        if self.stopped_event.wait(max(0.0, self._list_at - time.monotonic())):
            return
        self._list_at = time.monotonic() + timeout
        if time.monotonic() >= self._rest_until:
            self._list()

    def _emit_early(self, ids: bytes) -> None:
        if ids not in self._parts and len(self._early) < MAX_EARLY:
            new = set(split_ids(ids)) - self._seen
            self._early |= new
            self._emit(new)

    def _emit(self, sync_ids: set[str]) -> None:
        for sync_id in sorted(sync_ids):
            self.queue_event(FileCreatedEvent(f"{self.watch.path}/{sync_id}.ready"))
        self._seen = self._seen | sync_ids  # a new set: the other one is that of a listing

    def _list(self, *, is_first: bool = False) -> None:
        awaited = self._settling.awaited()
        on_part = (lambda _ids: None) if is_first else self._emit_early
        # Of very many that are awaited, each listing looks for some.
        known_stamp = self._stamp if len(awaited) == len(self._settling) else ""
        self._early.clear()
        try:
            listing = self._mount.list_sentinels(on_part=on_part, awaited=awaited, known_stamp=known_stamp)
        except MountUnavailable:
            self._parts.clear()  # the next complete listing replaces what was seen, whatever it has
            return
        except ListingEndless:
            self._seen = self._seen - self._early  # or they would add up
            self._rest_until = time.monotonic() + self._mount.settings.rescan_interval
            return
        self._stamp = listing.stamp
        if listing.is_unchanged:
            return
        self._note(listing, is_first=is_first)
        for sync_id in self._settling.appeared(awaited, listing.manifests):
            self.queue_event(FileCreatedEvent(f"{self.watch.path}/{sync_id}.json"))

    def _note(self, listing: Listing, *, is_first: bool) -> None:
        """Replaces what was seen, unless it is the same: what has gone is new when it comes again."""
        parts = set(listing.parts)
        if parts != self._parts:
            if not is_first:
                self._emit(listing.sync_ids - self._seen)
            self._parts, self._seen = parts, listing.sync_ids


class Watcher:
    """Keeps an observer running on the hand-over folder; restarts it for another file system or another folder."""

    def __init__(
        self,
        mount: Mount,
        on_names: OnNames,
        awaits: Awaits,
        on_armed: Callable[[], object] = lambda: None,
        settling: Settling | None = None,
    ) -> None:
        self._mount = mount
        self._settling = Settling(mount.settings.settle_seconds) if settling is None else settling
        self._hints = Hints(on_names, awaits)
        self._on_armed = on_armed
        self._observer: BaseObserver | None = None
        self._target: tuple[MountIdentity, int] | None = None
        self._return_at = math.inf
        self.kind: str | None = None
        """`inotify` or `poll`, while armed"""

    def run_once(self) -> float:
        """Starts or restarts the observer if needed; returns the seconds until the next check."""
        try:
            identity = self._mount.check()
        except MountUnavailable:
            # A file system that returns may have the same identity, but its old watch is dead.
            self.stop()
            raise
        # inotify follows a folder, not its name: when another one takes its place, the watch shows nothing any more.
        target = (identity, self._mount.sync_inode if self._is_bound_to_folder else 0)
        if not self._is_watching(target):
            self.stop()
            self._arm()
            self._target = (identity, self._mount.sync_inode if self._is_bound_to_folder else 0)
            # Bundles that arrived before the watch started caused no event.
            self._on_armed()
        return REARM_INTERVAL

    @property
    def _is_bound_to_folder(self) -> bool:
        """Whether the observer watches one folder by inotify, or would if it could."""
        return chosen_kind(self._mount) == "inotify"

    def _is_watching(self, target: tuple[MountIdentity, int]) -> bool:
        """Whether the observer and its emitter run on this folder. An emitter ends when its folder is deleted."""
        observer = self._observer
        if observer is None or target != self._target or time.monotonic() >= self._return_at:
            return False
        return observer.is_alive() and all(emitter.is_alive() for emitter in observer.emitters)

    def stop(self) -> None:
        """Stops the observer; may be called twice."""
        observer, self._observer = self._observer, None
        if observer is not None:
            observer.stop()
            observer.join()
        self.kind = None

    def _arm(self) -> None:
        kind, self._return_at = chosen_kind(self._mount), math.inf
        try:
            self._start(kind)
        except OSError as error:
            if kind != "inotify":
                raise
            log.warning("watcher_falls_back", to="poll", error=str(error))
            self._start("poll")
            self._return_at = time.monotonic() + RETURN_INTERVAL

    def _start(self, kind: str) -> None:
        folder = str(self._mount.settings.root / "sync")
        observer = self._inotify() if kind == "inotify" else self._poll()
        try:
            observer.schedule(self._hints, folder, recursive=False)
            observer.start()
        except BaseException:
            observer.stop()  # ends what it has started already, and closes its descriptors
            raise
        self._observer, self.kind = observer, kind
        log.info("watcher_armed", kind=kind, folder=folder)

    def _inotify(self) -> BaseObserver:
        return BaseObserver(FolderEmitter, on_names=self._hints.note, on_dropped=self._list_again)

    def _list_again(self) -> None:
        log.warning("events_dropped", reason="there were more than the kernel keeps; the folder is listed instead")
        self._on_armed()

    def _poll(self) -> BaseObserver:
        interval = self._mount.settings.poll_interval
        return BaseObserver(SentinelEmitter, timeout=interval, mount=self._mount, settling=self._settling)


def chosen_kind(mount: Mount) -> str:
    """The observer for the file system at the root, `inotify` or `poll`, unless `mount.watch` sets one."""
    settings = mount.settings
    if settings.watch != "auto":
        return settings.watch
    return "poll" if mount.is_remote else "inotify"
