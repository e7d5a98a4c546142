"""A read-only FUSE file system that shows a folder, and hangs, fails or is slow at chosen paths.

It speaks the kernel's protocol (linux/fuse.h) itself. A read that hangs is never answered, also not when its process is
killed, as with a FUSE daemon that is stuck: that process hangs in the kernel until the fault is cleared.
"""

import errno
import os
import shutil
import socket
import stat
import struct
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Literal

from support.missing import give_up

LOOKUP, FORGET, GETATTR, OPEN, READ, STATFS, RELEASE, FLUSH, INIT, OPENDIR, READDIR, RELEASEDIR = (
    1, 2, 3, 14, 15, 17, 18, 25, 26, 27, 28, 29,
)  # fmt: skip
INTERRUPT, BATCH_FORGET = 36, 42
UNANSWERED = {FORGET, INTERRUPT, BATCH_FORGET}
VERSION = (7, 31)
ASYNC_READ, PARALLEL_DIROPS = 1 << 0, 1 << 18
"""without them the kernel lets one request to a file or folder wait for another"""
DIRECT_IO, ROOT, MAX_REQUEST, MAX_READ = 1, 1, 1 << 18, 1 << 17

FOLDER, FILE = stat.S_IFDIR >> 12, stat.S_IFREG >> 12

_IN, _OUT = struct.Struct("=IIQQIIII"), struct.Struct("=IiQ")
_INIT, _OPENED, _READ = struct.Struct("=IIIIHHIIHHI28x"), struct.Struct("=QII"), struct.Struct("=QQI")
_ATTRIBUTES = struct.Struct("=6Q10I")
_ENTRY, _VALID, _STATFS = struct.Struct("=QQQQII"), struct.Struct("=QII"), struct.Struct("=5Q4I24x")
_DIRENT = struct.Struct("=QQII")

Step = Literal["lookup", "open", "read"]
STEPS: dict[int, Step] = {LOOKUP: "lookup", OPEN: "open", OPENDIR: "open", READ: "read", READDIR: "read"}


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens at one step: an error number, or silence for so many seconds, and then no more than `most` bytes.

    `is_midway`: a listing has it from its second part on.
    """

    step: Step
    error: int = 0
    seconds: float = 0.0
    most: int = MAX_REQUEST
    is_midway: bool = False


@dataclass
class FaultyFuse:
    """The mounted file system: `source` is the folder that it shows. Paths are relative to it; "" is the folder."""

    source: Path
    point: Path
    faults: dict[str, Fault] = field(default_factory=dict)
    pace: float = 0.0
    """seconds that everything takes that has no fault"""
    met: list[str] = field(default_factory=list)
    """paths of the faults that were met, in order"""
    endless: dict[str, Callable[[int], str]] = field(default_factory=dict)
    """folders whose listing never ends, and the name at each place after those that are there"""
    valid: int = 0
    """seconds for which the kernel may keep names and attributes"""
    operations: Counter[int] = field(default_factory=Counter)
    """requests that were received, by their number in linux/fuse.h"""
    _paths: dict[int, str] = field(default_factory=lambda: {ROOT: ""})
    _nodes: dict[str, int] = field(default_factory=lambda: {"": ROOT})
    _device: int = -1
    _cleared: threading.Event = field(default_factory=threading.Event)

    def hang(self, path: str, step: Step = "read") -> None:
        self.faults[path] = Fault(step, seconds=threading.TIMEOUT_MAX)

    def fail(self, path: str, error: int = errno.EIO, step: Step = "read") -> None:
        self.faults[path] = Fault(step, error=error)

    def slow(self, path: str, seconds: float, step: Step = "read") -> None:
        self.faults[path] = Fault(step, seconds=seconds)

    def drip(self, path: str, seconds: float) -> None:
        """Each read of it takes so long, and gives one byte."""
        self.faults[path] = Fault("read", seconds=seconds, most=1)

    def break_listing(self, path: str, error: int = 0) -> None:
        """The listing of a folder hangs, or fails, after its first part."""
        self.faults[path] = Fault("read", error, 0.0 if error else threading.TIMEOUT_MAX, is_midway=True)

    def clear(self) -> None:
        """Ends all faults; what hangs is answered."""
        self.faults.clear()
        self.endless.clear()
        self._cleared.set()
        self._cleared = threading.Event()

    def mount(self) -> None:
        """fusermount3 mounts it, which needs no rights, and hands over the device."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            command = ["fusermount3", "-o", f"ro,fsname=faulty,max_read={MAX_READ}", "--", str(self.point)]
            environment = {**os.environ, "_FUSE_COMMFD": str(theirs.fileno())}
            subprocess.run(command, env=environment, pass_fds=[theirs.fileno()], check=True, timeout=10)
            _, (self._device, *_), _, _ = socket.recv_fds(ours, 1, 1)
        threading.Thread(target=self._serve, daemon=True).start()

    def unmount(self) -> None:
        self.clear()
        subprocess.run(["fusermount3", "-u", "-z", str(self.point)], check=False, timeout=10, capture_output=True)

    def _serve(self) -> None:
        with suppress(OSError):  # ENODEV: it was unmounted
            while True:
                request = os.read(self._device, MAX_REQUEST)
                _, opcode, unique, node, *_ = _IN.unpack_from(request)
                self.operations[opcode] += 1
                if opcode not in UNANSWERED:
                    self._answer(opcode, unique, node, request[_IN.size :])
        os.close(self._device)

    def _answer(self, opcode: int, unique: int, node: int, body: bytes) -> None:
        # Taken before a fault is found: one that `clear` ends in this moment would otherwise be waited for in vain.
        cleared = self._cleared
        path = self._paths[node] if node else ""
        named = self._below(path, body) if opcode == LOOKUP else path
        fault = self.faults.get(named)
        if fault is None or fault.step != STEPS.get(opcode) or (fault.is_midway and _READ.unpack_from(body)[1] == 0):
            if not self.pace:
                self._reply(unique, lambda: self._result(opcode, path, body))
                return
            fault = Fault("read", seconds=self.pace)
        else:
            self.met.append(named)
        error = OSError(fault.error, os.strerror(fault.error))

        def result() -> bytes:
            if fault.error:
                raise error
            return self._result(opcode, path, body)[: fault.most]

        def answer_late() -> None:
            cleared.wait(fault.seconds)
            self._reply(unique, result)

        threading.Thread(target=answer_late, daemon=True).start()

    def _reply(self, unique: int, result: Callable[[], bytes]) -> None:
        try:
            body, error = result(), 0
        except OSError as problem:
            body, error = b"", problem.errno or errno.EIO
        with suppress(OSError):  # ENOENT: the process that asked is gone
            os.write(self._device, _OUT.pack(_OUT.size + len(body), -error, unique) + body)

    def _result(self, opcode: int, path: str, body: bytes) -> bytes:
        match opcode:
            case 26:
                return _INIT.pack(*VERSION, MAX_READ, ASYNC_READ | PARALLEL_DIROPS, 16, 12, 1 << 17, 1, 32, 0, 0)
            case 1:
                named = self._below(path, body)
                return _ENTRY.pack(self._node(named), 0, self.valid, self.valid, 0, 0) + self._attributes(named)
            case 3:
                return _VALID.pack(self.valid, 0, 0) + self._attributes(path)
            case 14 | 27:
                return _OPENED.pack(0, DIRECT_IO, 0)
            case 15:
                return self._content(path, *_READ.unpack_from(body))
            case 28:
                return self._listing(path, *_READ.unpack_from(body))
            case 17:
                return _STATFS.pack(0, 0, 0, 0, 0, 4096, 255, 4096, 0)
            case 18 | 29:
                return b""
        # Also for FLUSH: the kernel then closes files without one, as on others that are only read.
        raise OSError(errno.ENOSYS, "not supported")

    @staticmethod
    def _below(path: str, body: bytes) -> str:
        return os.path.join(path, os.fsdecode(body.rstrip(b"\0")))

    def _node(self, path: str) -> int:
        node = self._nodes.setdefault(path, len(self._nodes) + 1)
        self._paths[node] = path
        return node

    def _attributes(self, path: str) -> bytes:
        found = os.lstat(self.source / path)
        times = [int(moment) for moment in (found.st_atime, found.st_mtime, found.st_ctime)]
        return _ATTRIBUTES.pack(
            self._node(path), found.st_size, found.st_blocks, *times, 0, 0, 0,
            found.st_mode, found.st_nlink, found.st_uid, found.st_gid, 0, 4096, 0,
        )  # fmt: skip

    def _content(self, path: str, _handle: int, offset: int, size: int) -> bytes:
        with open(self.source / path, "rb") as file:
            return os.pread(file.fileno(), size, offset)

    def _listing(self, path: str, _handle: int, offset: int, size: int) -> bytes:
        found = b""
        for number, (name, kind) in enumerate(self._names(path, offset), offset + 1):
            dirent = _DIRENT.pack(ROOT, number, len(name), kind) + name
            dirent += b"\0" * (-len(dirent) % 8)
            if len(found) + len(dirent) > size:
                break
            found += dirent
        return found

    def _names(self, path: str, offset: int) -> Iterator[tuple[bytes, int]]:
        """Names and their types, as in a record of a folder."""
        with os.scandir(os.fsencode(self.source / path)) as found:
            present = sorted((entry.name, FOLDER if entry.is_dir(follow_symlinks=False) else FILE) for entry in found)
        yield from present[offset:]
        if (made := self.endless.get(path)) is not None:
            yield from ((os.fsencode(made(number)), FILE) for number in count(max(0, offset - len(present))))


@contextmanager
def faulty_fuse(source: Path, point: Path) -> Iterator[FaultyFuse]:
    """Mounts the file system; skips the test where that is impossible."""
    if shutil.which("fusermount3") is None or not os.access("/dev/fuse", os.R_OK | os.W_OK):
        give_up("a FUSE file system needs fusermount3 and /dev/fuse")
    point.mkdir(parents=True)
    made = FaultyFuse(source, point)
    made.mount()
    try:
        yield made
    finally:
        made.unmount()
