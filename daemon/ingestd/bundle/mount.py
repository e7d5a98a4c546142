"""The mount as the daemon sees it: every touch happens in a helper process, with a deadline.

Absent, replaced or silent, it raises MountUnavailable; that never says anything about a bundle.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ingestd.bundle import wire
from ingestd.config import MountSettings
from ingestd.errors import ManifestError, ManifestUnsettled, MountUnavailable

REMOTE = ("fuse", "nfs", "cifs", "smb", "9p", "ceph", "glusterfs", "afs", "lustre", "virtiofs", "beegfs")
REMOTE_WORKERS = 16
MAX_ABANDONED = 16
CHECK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class MountPoint:
    """One line of mountinfo."""

    mount_id: int
    device: str
    point: str
    fs_type: str

    @property
    def is_remote(self) -> bool:
        """Whether changes made elsewhere give no events here, and each read waits for a network."""
        return self.fs_type.startswith(REMOTE)


@dataclass(frozen=True, slots=True)
class MountIdentity:
    """Which file system stands at the root; another one, or the same mounted anew, is not equal."""

    point: MountPoint
    st_dev: int


def mount_point(root: Path, mountinfo: str | None = None) -> MountPoint:
    """The mount that `root` lies on, read from mountinfo without touching it."""
    text = mountinfo if mountinfo is not None else Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    wanted = os.path.abspath(root)
    best = MountPoint(0, "0:0", "/", "unknown")
    for line in text.splitlines():
        mount_id, _, device, _, point, *rest = line.split(" ")
        point = point.encode().decode("unicode_escape")
        covers = point == "/" or wanted == point or wanted.startswith(point + "/")
        if covers and len(point) >= len(best.point):
            best = MountPoint(int(mount_id), device, point, rest[rest.index("-") + 1])
    return best


class Mount:
    """Access to the bundles below `settings.root`. Thread-safe; each caller gets a helper process to itself."""

    def __init__(self, settings: MountSettings) -> None:
        self.settings = settings
        self.up = False
        self.identity: MountIdentity | None = None
        self._checked_at = 0.0
        self._root = str(settings.root)
        self._lock = threading.Lock()
        self._idle: list[_Helper] = []
        self._abandoned: list[_Helper] = []
        self._closed = False

    def check(self) -> MountIdentity:
        """Which file system is there now. Raises MountUnavailable, and says so in `up`."""
        try:
            point = mount_point(self.settings.root)
            if self.settings.require_mount and point.point == "/":
                raise MountUnavailable(
                    f"nothing is mounted at {self._root}; mount it, or set mount.require_mount = false for a plain folder"
                )
            reply = self._ask(wire.Identify(self._root), CHECK_SECONDS)
            if not isinstance(reply, wire.Identity):
                raise MountUnavailable(f"the mount is not readable: {problem_of(reply)}")
        except MountUnavailable:
            self.up = False
            raise
        self.up, self.identity = True, MountIdentity(point, reply.st_dev)
        self._checked_at = time.monotonic()
        return self.identity

    def check_lately(self, seconds: float) -> None:
        """As `check`, unless it went well within the last `seconds`."""
        if not self.up or time.monotonic() - self._checked_at > seconds:
            self.check()

    def demand(self, identity: MountIdentity) -> None:
        """Raises MountUnavailable unless the very same file system is still there."""
        if self.check() != identity:
            raise MountUnavailable(f"the file system at {self._root} was replaced")

    def sentinels(self) -> wire.Listing:
        """All bundles handed over, by one listing."""
        reply = self._ask(wire.ListSentinels(self._root), self.settings.deadline)
        if not isinstance(reply, wire.Listing):
            raise MountUnavailable(f"the mount cannot be listed: {problem_of(reply)}")
        return reply

    def read_manifest(self, sync_id: str) -> bytes:
        """The manifest's bytes. Raises ManifestUnsettled when it cannot be read (yet), ManifestError when too large."""
        request = wire.ReadManifest(self._root, sync_id, self.settings.max_manifest_bytes)
        reply = self._ask(request, self.settings.deadline)
        if isinstance(reply, wire.Blob):
            return reply.data
        problem = f"the manifest cannot be read: {problem_of(reply)}"
        if isinstance(reply, wire.Failure) and reply.too_large:
            raise ManifestError([problem + " (mount.max_manifest_bytes)"])
        raise ManifestUnsettled([problem])

    def read_items(self, wants: list[wire.Want]) -> Iterator[wire.Reading]:
        """One Reading for each of `wants`, in order, as they arrive; each within mount.deadline of the one before."""
        workers = REMOTE_WORKERS if mount_point(self.settings.root).is_remote else 1
        limit = self.settings.max_document_bytes
        with self._helper() as helper:
            helper.send(wire.ReadItems(self._root, wants, self.settings.verify, limit, workers))
            for _ in wants:
                reply = helper.receive(self.settings.deadline)
                if not isinstance(reply, wire.Reading):
                    raise MountUnavailable(f"items cannot be read: {problem_of(reply)}")
                yield reply

    def close(self) -> None:
        """Ends all helpers; may be called twice."""
        with self._lock:
            self._closed = True
            helpers, self._idle = self._idle, []
        for helper in helpers:
            helper.end()

    def _ask(self, request: wire.Request, seconds: float) -> wire.Reply:
        with self._helper() as helper:
            helper.send(request)
            reply: wire.Reply = helper.receive(seconds)
            return reply

    @contextmanager
    def _helper(self) -> Iterator["_Helper"]:
        """A helper for one exchange; it goes back to the pool only if the exchange ended well."""
        with self._lock:
            helper = self._idle.pop() if self._idle else None
        helper = helper or self._start()
        try:
            yield helper
        except BaseException as error:
            self._abandon(helper)
            if isinstance(error, TimeoutError | BrokenPipeError | EOFError):
                raise MountUnavailable(f"the mount at {self._root} does not answer: {error or 'deadline'}") from error
            raise
        with self._lock:
            if not self._closed:
                self._idle.append(helper)
                return
        helper.end()

    def _start(self) -> "_Helper":
        with self._lock:
            self._abandoned = [helper for helper in self._abandoned if not helper.is_gone()]
            if len(self._abandoned) >= MAX_ABANDONED:
                raise MountUnavailable(f"{MAX_ABANDONED} reads hang in the mount at {self._root}; no more are started")
        return _Helper()

    def _abandon(self, helper: "_Helper") -> None:
        helper.kill()
        with self._lock:
            self._abandoned.append(helper)


class _Helper:
    """One child process and the two pipes to it."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "ingestd.bundle.helper"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin, self._process.stdout

    def send(self, request: wire.Request) -> None:
        wire.send(self._in.fileno(), request)

    def receive(self, seconds: float) -> wire.Reply:
        body = wire.receive(self._out.fileno(), time.monotonic() + seconds)
        if body is None:
            raise EOFError("its helper process ended")
        reply: wire.Reply = wire.decode_reply(body)
        return reply

    def is_gone(self) -> bool:
        return self._process.poll() is not None

    def kill(self) -> None:
        """Asks the kernel to end it; a process that hangs in the kernel may take its time, and nobody waits for it."""
        self._in.close()
        self._out.close()
        self._process.kill()
        self._process.poll()

    def end(self) -> None:
        self._in.close()
        self._out.close()
        self._process.wait()


def problem_of(reply: wire.Reply) -> str:
    return (
        reply.problem or "" if isinstance(reply, wire.Failure | wire.Reading) else f"unexpected {type(reply).__name__}"
    )
