"""The name of a worker, and the fingerprint of its process, by which its machine recognises that it is dead."""

import hashlib
import os
import re
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

MACHINE_ID_FILES = ("/etc/machine-id", "/var/lib/dbus/machine-id")
BOOT_ID_FILE = "/proc/sys/kernel/random/boot_id"
MACHINE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}")
UNKNOWN = "unknown"


class Fate(StrEnum):
    """What this process can say about another one."""

    ALIVE = "alive"
    """it runs, or nothing can be said about it from here"""
    UNCERTAIN = "uncertain"
    """it seems to be of this machine, but of another boot or pid namespace: of a clone of this machine, or dead"""
    DEAD = "dead"


class Instance(NamedTuple):
    """The unique fingerprint of a process. Its text form joins the fields by slashes.

    Not even all of them together are proof: machine-ids are cloned with images, containers have pids of their own.
    Only what shares kernel (boot_id) and pid namespace with this process can be looked up from here.
    """

    machine_id: str
    boot_id: str
    pid_namespace: str
    pid: int
    started: str
    """clock ticks after boot"""

    def __str__(self) -> str:
        return "/".join(map(str, self))

    def fate_of(self, text: str | None) -> Fate:
        """The fate of the process with the fingerprint `text`."""
        fields = (text or "").split("/")
        if len(fields) != len(self) or fields[0] != self.machine_id:
            return Fate.ALIVE
        _, boot_id, namespace, pid, started = fields
        if (boot_id, namespace) != (self.boot_id, self.pid_namespace) or UNKNOWN in (boot_id, namespace):
            return Fate.UNCERTAIN
        return Fate.DEAD if _is_gone(pid, started) else Fate.ALIVE


def this_instance() -> Instance:
    pid = os.getpid()
    return Instance(_machine_id(), _read(BOOT_ID_FILE) or UNKNOWN, _namespace(), pid, start_time(pid) or "0")


def start_time(pid: int) -> str | None:
    """Start time of a process in clock ticks after boot; None if it is dead, a zombie, or hidden."""
    fields = _stat(pid)
    return None if fields is None or fields[0] in "ZX" else fields[19]


def host() -> str:
    """The name of this host as text. Bytes that are not UTF-8, and what would not fit into a name, are escaped."""
    name = os.fsencode(os.uname().nodename).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() and c != "/" else f"\\x{ord(c):02x}" for c in name)


def worker_id(slot: int | str) -> str:
    return f"{host()}/pid:{os.getpid()}/{slot}"


def _is_gone(pid: str, started: str) -> bool:
    """Whether a process of this pid namespace has certainly ended. One that is only hidden in /proc has not."""
    if not re.fullmatch(r"[1-9][0-9]{0,9}", pid):
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        pass  # a process of another user, or no such number
    fields = _stat(int(pid))
    return fields is not None and (fields[0] in "ZX" or fields[19] != started)


def _stat(pid: int) -> list[str] | None:
    """The fields of a process from its state on; None if it does not exist or is hidden."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return stat.rpartition(")")[2].split()


def _machine_id() -> str:
    """The id of this machine; without a valid one, a stable id made from the name of the host."""
    for path in MACHINE_ID_FILES:
        found = _read(path)
        if MACHINE_ID.fullmatch(found):
            return found
    return f"host-{hashlib.sha256(host().encode()).hexdigest()[:32]}"


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return UNKNOWN


def _read(path: str) -> str:
    """The content of a small file; empty if it cannot be read."""
    try:
        return Path(path).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
