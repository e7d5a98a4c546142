"""Mount helpers that outlive their test: most tests need one, and starting it costs more than the rest of the test.

The contexts of a `World` take them, and some daemons in the process of the tests. Tests of helpers and of their memory
start their own, with a `Mount`.
"""

from typing import Final

from ingestd.mount import helper_process, wire
from ingestd.mount.helper_pool import HelperPool
from ingestd.mount.helper_process import HelperProcess, close_all
from ingestd.pipeline.context import Context

CODE: Final = helper_process.HELPER
MAX_KEPT: Final = 8
ANSWER_SECONDS, EXIT_SECONDS = 1.0, 30.0

kept: list[HelperProcess] = []


class KeepingPool(HelperPool):
    """A pool that takes helpers from earlier pools, and keeps its own for later ones.

    Helpers keep nothing between requests, so one that answers is as good as a new one. Those with faults are not kept.
    """

    def _start(self) -> HelperProcess:
        if self._closed or helper_process.HELPER != CODE or not kept:
            return super()._start()
        helper = kept.pop()
        helper._is_cancelled = lambda: self._closed
        return helper

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        usable = [helper for helper in idle[: MAX_KEPT - len(kept)] if self._is_usable(helper)]
        kept.extend(usable)
        close_all([helper for helper in idle if helper not in usable])
        super().close()

    @staticmethod
    def _is_usable(helper: HelperProcess) -> bool:
        """Whether it answers, and runs the usual code."""
        if CODE not in list(helper._process.args):  # type: ignore[arg-type]
            return False
        try:
            helper.send(wire.InspectRoot("/"), ANSWER_SECONDS)
            return isinstance(helper.receive(ANSWER_SECONDS), wire.RootInfo)
        except (OSError, EOFError, wire.ProtocolError):
            return False


def keep_helpers(context: Context) -> None:
    """Lets a context take and leave kept helpers."""
    context.mount._pool = KeepingPool(context.settings.mount.root, context.mount._mounted)


def end_kept() -> None:
    """Ends all kept helpers, which may take them a moment under coverage."""
    for helper in kept:
        helper.close_pipes()
    for helper in kept:
        helper.wait(EXIT_SECONDS)
    close_all(kept)
    kept.clear()
