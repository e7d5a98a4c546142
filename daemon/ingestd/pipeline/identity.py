"""The name of a worker, and the fingerprint of its process, by which its machine recognises that it is dead."""

import os
import socket
from pathlib import Path
from typing import NamedTuple


class Instance(NamedTuple):
    """The unique fingerprint of a process. Its text form joins the fields by slashes."""

    machine_id: str
    boot_id: str
    pid_namespace: str
    pid: int
    started: str
    """clock ticks after boot"""

    def __str__(self) -> str:
        return "/".join(map(str, self))

    def is_dead(self, text: str) -> bool:
        """Whether the process named by `text` is certainly dead; False also for one of another machine."""
        fields = text.split("/")
        if len(fields) != len(self) or fields[0] != self.machine_id:
            return False
        _, boot_id, namespace, pid, started = fields
        if boot_id != self.boot_id:
            return True
        # A pid of another namespace cannot be looked up from here; its job is reset when its heartbeat is stale.
        return namespace == self.pid_namespace and pid.isdigit() and start_time(int(pid)) != started


def this_instance() -> Instance:
    pid = os.getpid()
    return Instance(_machine_id(), _read("/proc/sys/kernel/random/boot_id"), _namespace(), pid, start_time(pid) or "0")


def start_time(pid: int) -> str | None:
    """Start time of a process in clock ticks after boot; None if the process is dead or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


def host() -> str:
    return socket.gethostname()


def worker_id(slot: int | str) -> str:
    return f"{host()}/pid:{os.getpid()}/{slot}"


def _machine_id() -> str:
    return _read("/etc/machine-id") or f"host-{host()}"


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return "unknown"


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except OSError:
        return ""
