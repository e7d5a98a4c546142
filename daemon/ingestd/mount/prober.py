"""Finds out which manifests can be read at all: helpers with a thread for each, so that one that hangs costs little.

A read that hangs in the kernel cannot be ended, and occupies the process that reads. With a process for each, a few
dozen hanging manifests would take all of them, and healthy ones would wait for the silence of each that comes before.
"""

import resource
import threading
import time
from collections.abc import Callable
from pathlib import Path

from ingestd.errors import MountUnavailable
from ingestd.mount import wire
from ingestd.mount.helper_process import HelperProcess

MAX_PROBES, DESCRIPTORS = 256, 4
"""manifests probed at a time, each with a thread and so many descriptors; contrib/systemd/ingestd.service bounds
their sum with all else"""
MAX_HELPERS = 8
"""helpers among which probes are divided where one may not open enough files"""
SEND_SECONDS, START_SECONDS = 2.0, 30.0
PING_AFTER, PING_SECONDS = 2.0, 5.0
"""seconds without an answer after which the helper itself is asked for a sign of life, and until it is given up"""


class Prober:
    """One helper, and more while that has as many probes as it may open files for.

    For one thread, but `close` and `is_busy` are for any.
    `mounted()` identifies what is mounted: what hangs in a mount that was replaced says nothing about the present one.
    """

    def __init__(self, root: Path, mounted: Callable[[], object]) -> None:
        self._helpers = [ProbeHelper(root, mounted) for _ in range(MAX_HELPERS)]

    @property
    def is_busy(self) -> bool:
        """Whether a manifest did not answer yet."""
        return any(helper.is_busy for helper in self._helpers)

    @property
    def is_reaped(self) -> bool:
        """Whether no helper is left that was ended and hangs in the kernel."""
        return all(helper.is_reaped for helper in self._helpers)

    def ask(self, sync_id: str) -> bool:
        """Asks whether a manifest can be read, unless that is asked already; False if nothing more can be asked."""
        if any(sync_id in helper for helper in self._helpers):
            return True
        for helper in self._helpers:
            helper.leave_former_mount()
        if sum(map(len, self._helpers)) >= MAX_PROBES:
            return False
        return next((helper.ask(sync_id) for helper in self._helpers if len(helper) < max_probes()), False)

    def wait(self, seconds: float) -> None:
        """Waits so long for answers, or takes all that came. Those that are lost with their helper count as such."""
        busy = [helper for helper in self._helpers if helper.is_busy]
        if not busy:
            time.sleep(seconds)
        for helper in busy:
            helper.wait(seconds / len(busy))
        for spare in self._helpers[1:]:
            spare.end_idle()

    def take(self, sync_id: str) -> float | None:
        """After how many seconds a manifest answered; None if it has not. Next time it is asked again."""
        answers = [helper.take(sync_id) for helper in self._helpers]
        return next((seconds for seconds in answers if seconds is not None), None)

    def silent_for(self, sync_id: str) -> float:
        """Seconds for which a manifest has not answered."""
        return max(helper.silent_for(sync_id) for helper in self._helpers)

    def end_idle(self) -> None:
        """Ends the helpers that are asked nothing."""
        for helper in self._helpers:
            helper.end_idle()

    def close(self) -> None:
        """Ends the helpers; reads that hang in them end as soon as their mount answers. Idempotent."""
        for helper in self._helpers:
            helper.close()


class ProbeHelper:
    """One helper process and what it was asked. Its methods are those of Prober, for one helper."""

    def __init__(self, root: Path, mounted: Callable[[], object]) -> None:
        self._root, self._mounted = str(root), mounted
        self._lock = threading.Lock()
        self._helper: HelperProcess | None = None
        self._abandoned: list[HelperProcess] = []
        self._mount: object = None
        self._asked: dict[str, float] = {}
        self._answered: dict[str, float] = {}
        self._closed = False
        self._heard_at = 0.0
        self._pinged_at: float | None = None

    def __contains__(self, sync_id: str) -> bool:
        """Whether a manifest was asked, and its answer not taken."""
        return sync_id in self._asked or sync_id in self._answered

    def __len__(self) -> int:
        """Number of manifests that did not answer yet."""
        return len(self._asked)

    @property
    def is_busy(self) -> bool:
        return bool(self._asked)

    @property
    def is_reaped(self) -> bool:
        self._abandoned = [helper for helper in self._abandoned if not helper.has_exited()]
        return not self._abandoned

    def ask(self, sync_id: str) -> bool:
        with self._lock:
            try:
                self._present_helper().send(wire.ProbeManifest(self._root, sync_id), SEND_SECONDS)
            except (OSError, EOFError, wire.ProtocolError, MountUnavailable):
                self._end()
                return False
            self._asked[sync_id] = time.monotonic()
            return True

    def wait(self, seconds: float) -> None:
        with self._lock:
            try:
                while self._helper is not None and self._asked:
                    self._note(self._helper.receive(seconds))
                    seconds = 0.0
            except TimeoutError:
                if self._closed or not self._is_alive():
                    self._end()
            except (OSError, EOFError, wire.ProtocolError, MountUnavailable):
                self._end()

    def _is_alive(self) -> bool:
        """Whether the helper itself answers: what hangs in the mount hangs in threads of it, and leaves it alive."""
        now = time.monotonic()
        if self._pinged_at is not None:
            return now - self._pinged_at < PING_SECONDS
        if self._helper is not None and now - self._heard_at > PING_AFTER:
            self._pinged_at = now
            try:
                self._helper.send(wire.InspectRoot("/"), SEND_SECONDS)
            except (OSError, EOFError, wire.ProtocolError):
                return False
        return True

    def _note(self, reply: wire.Reply) -> None:
        self._heard_at, self._pinged_at = time.monotonic(), None
        if isinstance(reply, wire.Probed) and reply.sync_id in self._asked:
            self._answered[reply.sync_id] = time.monotonic() - self._asked.pop(reply.sync_id)

    def take(self, sync_id: str) -> float | None:
        return self._answered.pop(sync_id, None)

    def silent_for(self, sync_id: str) -> float:
        asked_at = self._asked.get(sync_id)
        return 0.0 if asked_at is None else time.monotonic() - asked_at

    def close(self) -> None:
        self._closed = True
        with self._lock:
            self._end()

    def end_idle(self) -> None:
        """Ends the helper if nothing is asked."""
        with self._lock:
            if not self._asked:
                self._end()

    def leave_former_mount(self) -> None:
        """Ends the helper if its mount was replaced; what it was asked counts as answered."""
        with self._lock:
            if self._helper is not None and self._mount != self._mounted():
                self._end()

    def _present_helper(self) -> HelperProcess:
        if self._closed:
            raise MountUnavailable("the mount is not used any more, because the daemon is stopping")
        if self._helper is None:
            self._mount = self._mounted()
            self._helper = HelperProcess(lambda: self._closed)
            # The time that it needs to start must not count as silence of the mount.
            self._helper.send(wire.InspectRoot("/"), START_SECONDS)
            self._note(self._helper.receive(START_SECONDS))
        return self._helper

    def _end(self) -> None:
        helper, self._helper = self._helper, None
        self._answered |= dict.fromkeys(self._asked, 0.0)
        self._asked.clear()
        if helper is not None and not helper.kill():
            self._abandoned.append(helper)


def max_probes() -> int:
    """How many manifests one helper may probe: each read that hangs keeps a few descriptors."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, min(MAX_PROBES, soft // DESCRIPTORS - 4))
