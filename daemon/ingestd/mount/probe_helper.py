"""One helper process that probes manifests, and what it was asked."""

import math
import threading
import time
from collections.abc import Callable
from pathlib import Path

from ingestd.errors import MountUnavailable, Shortage
from ingestd.mount import wire
from ingestd.mount.helper_process import HelperProcess
from ingestd.shortage import shortage_of

SEND_SECONDS, START_SECONDS = 2.0, 30.0
PING_AFTER, PING_SECONDS = 2.0, 5.0
"""seconds without an answer after which the helper itself is asked for a sign of life, and until it is given up"""
LOST = (OSError, EOFError, wire.ProtocolError, MountUnavailable)
"""errors after which a helper is ended"""


class ProbeHelper:
    """Starts its process when it is first asked something. For one thread, but `close` is for any."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._lock = threading.Lock()
        self._helper: HelperProcess | None = None
        self._abandoned: list[tuple[HelperProcess, int]] = []
        self._closed = False
        self._heard_at = 0.0
        self._pinged_at: float | None = None
        self.probing: dict[str, None] = {}
        """sync_ids that were asked and have not answered, in order"""
        self.started_at = -math.inf

    def __len__(self) -> int:
        return len(self.probing)

    @property
    def is_running(self) -> bool:
        return self._helper is not None

    @property
    def held(self) -> int:
        """Number of threads of former processes that were ended and hang in the kernel."""
        self._abandoned = [(helper, count) for helper, count in self._abandoned if not helper.has_exited()]
        return sum(count for _helper, count in self._abandoned)

    def probe(self, sync_id: str) -> None:
        """Has a manifest probed. Raises one of LOST."""
        with self._lock:
            self._present().send(wire.ProbeManifest(self._root, sync_id), SEND_SECONDS)
            self.probing[sync_id] = None

    def receive(self, seconds: float, on_answer: Callable[[str], None]) -> None:
        """Waits so long for an answer, and takes all that came.

        Raises Shortage if the process lacks something and goes on, and otherwise one of LOST.
        """
        with self._lock:
            try:
                while self.probing:
                    self._note(self._running().receive(seconds), on_answer)
                    seconds = 0.0
            except TimeoutError:
                if self._closed or not self._is_alive():
                    raise EOFError("its helper process does not react") from None
            except Shortage:
                self._hear()
                raise

    def end_idle(self) -> None:
        """Ends the process if nothing is asked."""
        if not self.probing:
            self.end()

    def end(self) -> list[str]:
        """Ends the process; returns what has not answered."""
        lost = list(self.probing)
        with self._lock:
            self._kill()
        self.probing.clear()
        return lost

    def close(self) -> None:
        """Ends the process for good. Idempotent."""
        self._closed = True
        with self._lock:
            self._kill()

    def _kill(self) -> None:
        helper, self._helper = self._helper, None
        if helper is not None and not helper.kill():
            self._abandoned.append((helper, max(1, len(self.probing))))

    def _present(self) -> HelperProcess:
        if self._closed:
            raise MountUnavailable("the mount is not used any more, because the daemon is stopping")
        if self._helper is None:
            self.started_at = time.monotonic()
            self._helper = self._started()
            # The time that it needs to start must not count as silence of the mount.
            self._helper.send(wire.InspectRoot("/"), START_SECONDS)
            self._helper.receive(START_SECONDS)
            self._hear()
        return self._helper

    def _started(self) -> HelperProcess:
        try:
            return HelperProcess(lambda: self._closed)
        except OSError as error:
            kind = MountUnavailable if shortage_of(error) is None else Shortage
            raise kind(f"no helper process can be started: {error.strerror}") from error

    def _running(self) -> HelperProcess:
        if self._helper is None:
            raise EOFError("its helper process was ended")
        return self._helper

    def _note(self, reply: wire.Reply, on_answer: Callable[[str], None]) -> None:
        self._hear()
        if isinstance(reply, wire.Probed) and reply.sync_id in self.probing:
            del self.probing[reply.sync_id]
            on_answer(reply.sync_id)

    def _hear(self) -> None:
        self._heard_at, self._pinged_at = time.monotonic(), None

    def _is_alive(self) -> bool:
        """Whether the helper itself answers: what hangs in the mount hangs in threads of it, and leaves it alive."""
        now = time.monotonic()
        if self._pinged_at is not None:
            return now - self._pinged_at < PING_SECONDS
        if now - self._heard_at > PING_AFTER:
            self._pinged_at = now
            self._running().send(wire.InspectRoot("/"), SEND_SECONDS)
        return True
