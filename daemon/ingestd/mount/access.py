"""The mount as the daemon sees it: every touch happens in a helper process, with a deadline.

Absent, replaced or silent, it raises MountUnavailable; that never says anything about a bundle.
"""

import math
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ingestd.config import MountSettings
from ingestd.errors import ManifestError, ManifestUnsettled, MountUnavailable, SentinelMissing
from ingestd.mount import wire

REMOTE = ("fuse", "nfs", "cifs", "smb", "9p", "ceph", "glusterfs", "afs", "lustre", "virtiofs", "beegfs")
REMOTE_WORKERS = 16
MAX_ABANDONED = 16
CHECK_SECONDS = 5.0
END_SECONDS = 0.5
ESCAPED = re.compile(rb"\\([0-7]{3})")


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
    """Which file system stands at the root; another one is not equal, nor is the same one mounted anew.

    (The latter on Linux 6.8 and later: older kernels give a new mount the numbers of the one that went.)
    """

    point: MountPoint
    st_dev: int
    unique_id: int


def mount_point(root: Path, mountinfo: bytes | None = None) -> MountPoint:
    """The mount that `root` lies on, read from mountinfo without touching it."""
    lines = mountinfo if mountinfo is not None else Path("/proc/self/mountinfo").read_bytes()
    wanted = os.path.abspath(root)
    best = MountPoint(0, "0:0", "/", "unknown")
    for line in filter(None, lines.split(b"\n")):
        mount_id, _, device, _, escaped, *rest = line.split(b" ")
        point = os.fsdecode(ESCAPED.sub(lambda found: bytes([int(found[1], 8)]), escaped))
        covers = point in ("/", wanted) or wanted.startswith(point + "/")
        if covers and len(point) >= len(best.point):
            best = MountPoint(int(mount_id), device.decode(), point, rest[rest.index(b"-") + 1].decode())
    return best


class Mount:
    """Access to the bundles below `settings.root`. Thread-safe; each caller gets a helper process to itself."""

    def __init__(self, settings: MountSettings) -> None:
        self.settings = settings
        self.up = False
        self.identity: MountIdentity | None = None
        self._checked_at = -math.inf
        self._root = str(settings.root)
        self._path = settings.root
        self._lock = threading.Lock()
        self._idle: list[_Helper] = []
        self._abandoned: list[_Helper] = []
        self._closed = False

    def check(self) -> MountIdentity:
        """Which file system is there now. Raises MountUnavailable, and says so in `up`."""
        try:
            reply = self._ask(wire.Identify(self._root), CHECK_SECONDS)
            if isinstance(reply, wire.Identity):
                # The root may be a link to where the mount is.
                self._path = Path(reply.path)
            point = mount_point(self._path)
            if self.settings.require_mount and point.point == "/":
                hint = "mount it, or set mount.require_mount = false for a plain folder"
                raise MountUnavailable(f"nothing is mounted at {self._root}; {hint}")
            if not isinstance(reply, wire.Identity):
                raise MountUnavailable(f"the mount is not readable: {problem_of(reply)}")
        except MountUnavailable:
            self.up = False
            raise
        self.up, self.identity = True, MountIdentity(point, reply.st_dev, reply.unique_id)
        self._checked_at = time.monotonic()
        return self.identity

    def check_lately(self, seconds: float) -> None:
        """As `check`, unless it went well within the last `seconds` and nothing was unavailable since."""
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
            raise self._unavailable(f"the mount cannot be listed: {problem_of(reply)}")
        return reply

    def read_manifest(self, sync_id: str) -> bytes:
        """The manifest's bytes. Raises SentinelMissing, ManifestUnsettled if it cannot be read (yet), ManifestError."""
        request = wire.ReadManifest(self._root, sync_id, self.settings.max_manifest_bytes)
        reply = self._ask(request, self.settings.deadline)
        if isinstance(reply, wire.Blob):
            return reply.data
        problem = f"the manifest cannot be read: {problem_of(reply)}"
        if isinstance(reply, wire.Failure) and reply.too_large:
            raise ManifestError([problem + " (mount.max_manifest_bytes)"])
        if isinstance(reply, wire.Failure) and reply.no_sentinel:
            raise SentinelMissing([reply.problem])
        raise ManifestUnsettled([problem])

    def read_items(
        self, wants: list[wire.Want], on_bytes: Callable[[int], None] = lambda _count: None
    ) -> Iterator[wire.Reading]:
        """One Reading for each of `wants`, in order, as they arrive; `on_bytes` is told of what is read meanwhile.

        Raises MountUnavailable when nothing at all was heard for mount.deadline.
        """
        workers = REMOTE_WORKERS if self.is_remote else 1
        limit, deadline = self.settings.max_document_bytes, self.settings.deadline
        missing = len(wants)
        with self._helper() as helper:
            helper.send(wire.ReadItems(self._root, wants, self.settings.verify, limit, workers), deadline)
            while missing:
                reply = helper.receive(deadline)
                if not isinstance(reply, wire.Readings):
                    raise self._unavailable(f"items cannot be read: {problem_of(reply)}")
                missing -= len(reply.readings)
                on_bytes(reply.more_bytes + sum(reading.bytes_read for reading in reply.readings))
                yield from reply.readings

    @property
    def is_remote(self) -> bool:
        """Whether what is mounted now gives no events; does not touch it."""
        return mount_point(self._path).is_remote

    def close(self) -> None:
        """Ends all helpers, also under those who still wait for an answer: they get MountUnavailable. May be called
        twice."""
        with self._lock:
            self._closed = True
            helpers, self._idle = self._idle, []
            self._forget_gone()
        for helper in helpers:
            helper.end()

    def _unavailable(self, problem: str) -> MountUnavailable:
        """The error to raise; whoever asked lately whether the mount is there has to ask again."""
        self._checked_at = -math.inf
        return MountUnavailable(problem)

    def _ask(self, request: wire.Request, seconds: float) -> wire.Reply:
        with self._helper() as helper:
            helper.send(request, seconds)
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
                problem = f"the mount at {self._root} does not answer: {error}"
                raise self._unavailable(problem) from error
            raise
        with self._lock:
            if not self._closed:
                self._idle.append(helper)
                return
        helper.end()

    def _start(self) -> "_Helper":
        with self._lock:
            self._forget_gone()
            if len(self._abandoned) >= MAX_ABANDONED:
                raise self._unavailable(f"{MAX_ABANDONED} reads hang in the mount at {self._root}; no more are started")
        try:
            return _Helper(lambda: self._closed)
        except OSError as error:
            raise self._unavailable(f"no helper process can be started: {error.strerror}") from error

    def _forget_gone(self) -> None:
        self._abandoned = [helper for helper in self._abandoned if not helper.is_gone()]

    def _abandon(self, helper: "_Helper") -> None:
        if not helper.kill():
            with self._lock:
                self._abandoned.append(helper)


class _Helper:
    """One child process and the two pipes to it. `given_up()` ends waiting for it before its time."""

    def __init__(self, given_up: Callable[[], bool]) -> None:
        command = [sys.executable, "-m", "ingestd.mount.helper"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin, self._process.stdout
        os.set_blocking(self._in.fileno(), False)
        self._given_up = given_up

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, request: wire.Request, seconds: float) -> None:
        wire.send(self._in.fileno(), request, time.monotonic() + seconds, self._given_up)

    def receive(self, seconds: float) -> wire.Reply:
        body = wire.receive(self._out.fileno(), time.monotonic() + seconds, self._given_up)
        if body is None:
            raise EOFError("its helper process ended")
        reply: wire.Reply = wire.decode_reply(body)
        return reply

    def is_gone(self) -> bool:
        return self._process.poll() is not None

    def kill(self) -> bool:
        """Ends it at once; False if it hangs in the kernel, where not even a signal reaches it."""
        self._in.close()
        self._out.close()
        self._process.kill()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            return False
        return True

    def end(self) -> None:
        """Lets it end by itself, or else kills it."""
        self._in.close()
        self._out.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def problem_of(reply: wire.Reply) -> str:
    return reply.problem or "" if isinstance(reply, wire.Failure) else f"unexpected {type(reply).__name__}"
