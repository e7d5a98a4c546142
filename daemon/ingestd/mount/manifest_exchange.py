"""The daemon's side of a request for one manifest, or for several short ones, whose replies come one after another."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress

from ingestd.errors import ManifestUnsettled, MountUnavailable
from ingestd.mount.helper_process import HelperProcess
from ingestd.mount.manifest_receiver import ManifestReceiver
from ingestd.mount.records import ManifestReading
from ingestd.mount.wire import ReadManifest, ReadManifests, Reply

SILENT_SECONDS, SLOW_SECONDS = 1.0, 3.0
"""of silence over one manifest, and that reading it takes, until the others of its request are left to other readers"""


def _asked(request: ReadManifest) -> tuple[str, str | None, bool]:
    """What is asked for; whether its sentinel is listed changes with time."""
    return request.sync_id, request.known_sha256, request.only_short


class _LeftUnread(Exception):
    """A helper has replies that nothing is going to take."""


class ManifestExchange:
    """Borrows a helper when the first manifest is received, and gives it back after the last one. For one thread.

    `on_slow()` is called when a manifest takes long: then it is the last one that can be received.
    """

    def __init__(
        self,
        requests: Sequence[ReadManifest],
        borrow: Callable[[], AbstractContextManager[HelperProcess]],
        on_slow: Callable[[], None] = lambda: None,
    ) -> None:
        self._left, self._borrow, self._on_slow = deque(requests), borrow, on_slow
        self._request = requests[0] if len(requests) == 1 else ReadManifests(list(requests))
        self._stack = ExitStack()
        self._helper: HelperProcess | None = None
        self._is_cut = False

    def is_next(self, request: ReadManifest) -> bool:
        """Whether this is what can be received now."""
        return bool(self._left) and _asked(self._left[0]) == _asked(request)

    def read(self, seconds: float, on_alive: Callable[[], None]) -> ManifestReading:
        """The next manifest; `on_alive()` is called for each sign of life.

        Raises what Mount.read_manifest raises. After MountUnavailable, nothing else can be received.
        """
        sync_id = self._left[0].sync_id
        try:
            return self._received(seconds, on_alive).reading()
        except MountUnavailable as error:
            if not isinstance(error.__cause__, EOFError):
                raise
            # The helper itself reports what it cannot read. Why it ended is unknown, and says nothing about the mount.
            raise ManifestUnsettled([f"sync/{sync_id}.json cannot be read: {error.__cause__}"]) from error

    def _received(self, seconds: float, on_alive: Callable[[], None]) -> ManifestReceiver:
        left, self._left = self._left, deque()
        with suppress(_LeftUnread), self._stack.pop_all() as stack:
            helper = self._borrowed(stack, seconds)
            receiver = self._receive(helper, left, seconds, on_alive)
            left.popleft()
            if left:
                self._left, self._stack = left, stack.pop_all()
            elif self._is_cut:
                raise _LeftUnread
        return receiver

    def _borrowed(self, stack: ExitStack, seconds: float) -> HelperProcess:
        if self._helper is None:
            self._helper = stack.enter_context(self._borrow())
            self._helper.send(self._request, seconds)
        return self._helper

    def _receive(
        self, helper: HelperProcess, left: deque[ReadManifest], seconds: float, on_alive: Callable[[], None]
    ) -> ManifestReceiver:
        helper.hangs_at = {left[0].sync_id}
        receiver, slow_at = ManifestReceiver(), time.monotonic() + SLOW_SECONDS

        def alive(_count: int = 0) -> None:
            on_alive()
            if time.monotonic() >= slow_at:
                self._cut(left)

        while not receiver.is_complete:
            receiver.add(self._reply(helper, left, seconds, alive))
            alive()
        return receiver

    def _reply(
        self, helper: HelperProcess, left: deque[ReadManifest], seconds: float, alive: Callable[[int], None]
    ) -> Reply:
        if len(left) > 1 and seconds > SILENT_SECONDS:
            with suppress(TimeoutError):
                return helper.receive(SILENT_SECONDS, alive)
            self._cut(left)
            seconds -= SILENT_SECONDS
        return helper.receive(seconds, alive)

    def _cut(self, left: deque[ReadManifest]) -> None:
        """Leaves all others to other readers."""
        if len(left) > 1:
            self._is_cut = True
            while len(left) > 1:
                left.pop()
            self._on_slow()

    def close(self) -> None:
        """Ends the helper if it has replies that were not taken."""
        if self._left and self._helper is not None:
            self._left.clear()
            with suppress(_LeftUnread), self._stack:
                raise _LeftUnread
