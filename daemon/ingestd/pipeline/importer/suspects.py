"""Parts of an import that failed alone, for a reason that may not be theirs.

A defect of ingestd that one item meets, and a host that is out of memory, raise the same errors. So a part fails only
after others passed and it was tried once more: others of its bundle, or, since its bundle first failed, of any bundle
that this process imports. If none passes, the run fails as a whole, and is tried again later.
"""

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from ingestd.errors import DataRefused, DataSuspected, IngestdError, unforeseen
from ingestd.model import Decision, Reason, Verdict
from ingestd.pipeline.passes import Part, Passes
from ingestd.shortage import shortage_of

log = structlog.get_logger()

MAX_SUSPECTS = 5
"""As many failures in a row are not about the parts that failed."""
PAUSE = 1.0
"""seconds before the last try, if nothing else is left to import"""


@dataclass(frozen=True, slots=True)
class Suspect:
    """An item or a container. `again` tries it again, `fail` records that it failed."""

    again: Callable[[], object]
    fail: Callable[[Verdict], None]


class Suspects:
    """The suspects of one kind in one run of a bundle. `pause(seconds)` waits, and raises when the daemon stops."""

    def __init__(self, pause: Callable[[float], None], passes: Passes, sha256: str, part: Part) -> None:
        self._pause, self._passes, self._sha256, self._part = pause, passes, sha256, part
        self._waiting: list[Suspect] = []
        self._any_passed = False

    def add(self, suspect: Suspect, error: Exception) -> None:
        """Lets it wait until others have passed. Raises the error if too many failed in a row."""
        self._passes.note_failure(self._sha256, self._part)
        if len(self._waiting) + 1 >= MAX_SUSPECTS:
            raise error
        log.warning("part_failed_once", error=verdict_on(error).error)
        self._waiting.append(suspect)

    def passed(self) -> None:
        """Records that a part was imported, and tries those again that wait."""
        self._note_pass()
        self._try_again()

    def end(self) -> None:
        """Tries again what waits at the end. Raises its error if nothing passed."""
        if self._waiting:
            self._pause(PAUSE)
            self._try_again()

    def _try_again(self) -> None:
        waiting, self._waiting = self._waiting, []
        for suspect in waiting:
            try:
                suspect.again()
                self._note_pass()
            except Exception as error:
                if is_of_run(error) or not (is_certain(error) or self._do_others_pass()):
                    raise
                fail(suspect, error)

    def _note_pass(self) -> None:
        self._any_passed = True
        self._passes.note_pass(self._part)

    def _do_others_pass(self) -> bool:
        return self._any_passed or self._passes.any_since_failure(self._sha256, self._part)


def fail(suspect: Suspect, error: Exception) -> None:
    """Records that a part failed, and logs where if that is a defect of ingestd."""
    verdict = verdict_on(error)
    if verdict.reason is Reason.INTERNAL_ERROR:
        log.error("part_failed", error=verdict.error, exc_info=error)
    suspect.fail(verdict)


def is_of_run(error: Exception) -> bool:
    """Whether an error is about the run: the daemon stops, the mount or the lease is lost, and so on."""
    is_known = isinstance(error, IngestdError) and not isinstance(error, DataRefused)
    return is_known or shortage_of(error) is not None


def is_certain(error: Exception) -> bool:
    """Whether an error is about the values of a part, whether or not others pass."""
    return isinstance(error, DataRefused) and not isinstance(error, DataSuspected)


def verdict_on(error: Exception) -> Verdict:
    if isinstance(error, DataRefused):
        return Verdict(Decision.FAILED, Reason.DATABASE_REFUSED, str(error))
    return Verdict(Decision.FAILED, Reason.INTERNAL_ERROR, unforeseen(error))
