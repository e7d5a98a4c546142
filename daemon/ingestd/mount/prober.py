"""Finds out which manifests can be read at all: helpers with a thread for each, so that one that hangs costs little.

A read that hangs in the kernel cannot be ended, and occupies the process that reads. With a process for each, a few
dozen hanging manifests would take all of them, and healthy ones would wait for the silence of each that comes before.
"""

import math
import resource
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from ingestd.errors import MountUnavailable, Shortage
from ingestd.mount.probe_helper import LOST, ProbeHelper

log = structlog.get_logger()

MAX_PROBES, DESCRIPTORS = 256, 4
"""manifests probed at a time, each with a thread and so many descriptors, and as many that hang in helpers that ended;
contrib/systemd/ingestd.service bounds their sum with all else"""
MAX_HELPERS = 8
"""helpers among which probes are divided where one may not open enough files"""
RESTART_SECONDS, LOOK_SECONDS = 1.0, 0.5
"""seconds between two starts of helpers that end by themselves, and between looks at what is mounted"""


@dataclass(slots=True)
class Probe:
    """A manifest that has not answered: how long it was silent before, and since when a helper probes it, if one does.

    What waits for a helper is not silent.
    """

    before: float = 0.0
    since: float | None = None

    @property
    def silent_for(self) -> float:
        return self.before if self.since is None else self.before + time.monotonic() - self.since

    def pause(self) -> None:
        self.before, self.since = self.silent_for, None


class Prober:
    """One helper, and more while that has as many probes as it may open files for.

    What is asked stays so until it answers: it waits where there is no place for it or no helper can be started, and
    what was lost with its helper is asked again in another. For one thread, but `close` and `is_busy` are for any.
    `mounted()` identifies what is mounted: when that was replaced, all is asked again there.
    """

    def __init__(self, root: Path, mounted: Callable[[], object]) -> None:
        self._mounted = mounted
        self._helpers = [ProbeHelper(root) for _ in range(MAX_HELPERS)]
        self._probes: dict[str, Probe] = {}
        self._unplaced: deque[str] = deque()
        self._answered: dict[str, float] = {}
        self._mount: object = None
        self._look_at = self._start_at = -math.inf
        self._closed = False
        self.problem: MountUnavailable | None = None
        """why what is asked waits for a helper, or for a thread of it"""

    @property
    def is_busy(self) -> bool:
        """Whether a manifest did not answer yet."""
        return bool(self._probes)

    @property
    def is_reaped(self) -> bool:
        """Whether no helper is left that was ended and hangs in the kernel."""
        return not any(helper.held for helper in self._helpers)

    def ask(self, sync_id: str) -> None:
        """Asks whether a manifest can be read, unless that is asked already. What it answered before does not count."""
        self._leave_former_mount()
        self._receive(0.0)
        self._answered.pop(sync_id, None)
        if sync_id not in self._probes:
            self._probes[sync_id] = Probe()
            self._unplaced.append(sync_id)
        self._place()

    def wait(self, seconds: float) -> None:
        """Waits so long for answers, or takes all that came."""
        self._leave_former_mount()
        self._place()
        if any(map(len, self._helpers)):
            self._receive(seconds)
        else:
            time.sleep(seconds)
        self._place()
        for spare in self._helpers[1:]:
            spare.end_idle()

    def take(self, sync_id: str) -> float | None:
        """After how many seconds a manifest answered; None if it has not. Once this is closed, nothing is awaited."""
        return 0.0 if self._closed else self._answered.pop(sync_id, None)

    def silent_for(self, sync_id: str) -> float:
        """Seconds for which a manifest has not answered to helpers that probed it."""
        probe = self._probes.get(sync_id)
        return 0.0 if probe is None else probe.silent_for

    def is_waiting(self, sync_id: str) -> bool:
        """Whether a manifest waits for a helper to probe it."""
        probe = self._probes.get(sync_id)
        return probe is not None and probe.since is None

    def end_idle(self) -> None:
        """Ends the helpers that are asked nothing."""
        for helper in self._helpers:
            helper.end_idle()

    def close(self) -> None:
        """Ends the helpers; reads that hang in them end as soon as their mount answers. Idempotent."""
        self._closed = True
        for helper in self._helpers:
            helper.close()

    def _leave_former_mount(self) -> None:
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_SECONDS
        former, self._mount = self._mount, self._mounted()
        if former in (None, self._mount):
            return
        for helper in self._helpers:
            self._unplaced.extend(helper.end())
        self._probes = {sync_id: Probe() for sync_id in self._probes}

    def _place(self) -> None:
        """Gives what waits to helpers that have a place for it."""
        while self._unplaced and (helper := self._helper_with_place()) is not None:
            try:
                helper.probe(self._unplaced[0])
            except LOST as error:
                self._lose(helper, error)
                return
            self.problem = None  # if this is lacking something, too, the helper says that at once
            self._probes[self._unplaced.popleft()].since = time.monotonic()

    def _helper_with_place(self) -> ProbeHelper | None:
        held = sum(helper.held for helper in self._helpers)
        if sum(map(len, self._helpers)) >= min(MAX_PROBES, 2 * MAX_PROBES - held):
            return None
        may_start = time.monotonic() >= self._start_at
        usable = (helper for helper in self._helpers if helper.is_running or may_start)
        return next((helper for helper in usable if len(helper) < max_probes()), None)

    def _receive(self, seconds: float) -> None:
        busy = [helper for helper in self._helpers if len(helper)]
        for helper in busy:
            try:
                helper.receive(seconds / len(busy), self._note_answer)
            except Shortage as shortage:
                self.problem = shortage
                self._begin_silence_again(helper)
            except LOST as error:
                self._lose(helper, error)

    def _note_answer(self, sync_id: str) -> None:
        self._answered[sync_id] = self._probes.pop(sync_id).silent_for
        self.problem = None

    def _begin_silence_again(self, helper: ProbeHelper) -> None:
        """A helper that lacks something goes on, but that it is silent says nothing about manifests."""
        for sync_id in helper.probing:
            self._probes[sync_id] = Probe(0.0, time.monotonic())

    def _lose(self, helper: ProbeHelper, error: Exception) -> None:
        """Ends a helper that failed, or could not start, and leaves what it was asked to another."""
        self._start_at = helper.started_at + RESTART_SECONDS
        lost = helper.end()
        for sync_id in lost:
            self._probes[sync_id].pause()
        self._unplaced.extend(lost)
        former, self.problem = self.problem, error if isinstance(error, MountUnavailable) else None
        if not self._closed and (lost or str(former) != str(self.problem)):
            log.warning("probe_helper_lost", reason=str(error), probes=len(lost))


def max_probes() -> int:
    """How many manifests one helper may probe: each read that hangs keeps a few descriptors."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, min(MAX_PROBES, soft // DESCRIPTORS - 4))
