"""Says whether a manifest answers, to any thread: what hangs costs a thread of one helper, and not a helper."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ingestd.errors import MountUnavailable, ReadsHang
from ingestd.mount.probe_helper import START_SECONDS
from ingestd.mount.prober import Prober
from ingestd.mount.wire import LATE_SECONDS
from ingestd.shortage import memory_shortage, shortage_of

POLL_SECONDS, IDLE_SECONDS = 0.05, 60.0
"""seconds between looks at new questions, and without one until what is idle ends"""


@dataclass
class Question:
    """What one or more callers want to know of a manifest. `is_asked`: its time has begun."""

    callers: int = 0
    is_asked: bool = False
    answered: threading.Event = field(default_factory=threading.Event)


class ManifestAnswers:
    """Asks a prober of its own, in a thread that runs while there are questions. Thread-safe.

    A manifest that hangs is asked once, however often callers ask again; one that answered meanwhile is asked again.
    """

    def __init__(self, root: Path, mounted: Callable[[], object]) -> None:
        self._prober = Prober(root, mounted)
        self._changed = threading.Condition()
        self._questions: dict[str, Question] = {}
        self._is_running = self._closed = False

    @property
    def is_reaped(self) -> bool:
        """Whether no helper is left that was ended and hangs in the kernel."""
        return self._prober.is_reaped

    def answers(self, sync_id: str, seconds: float) -> bool:
        """Whether reading the beginning of a manifest ends within so many seconds, well or not.

        The time that a helper needs to start is not counted. Raises MountUnavailable if it cannot be asked, such as
        Shortage if there is no thread or helper for it, or once this is closed, also while a caller waits.
        """
        question = self._join(sync_id)
        try:
            is_answered = self._waited(sync_id, question, seconds)
            self._require_open()
            if not is_answered:
                self._require_place(sync_id, question)
            return is_answered
        finally:
            self._leave(sync_id, question)

    def close(self) -> None:
        """Ends the helpers and all waits. Idempotent."""
        with self._changed:
            self._closed = True
            for question in self._questions.values():
                question.answered.set()
            self._changed.notify_all()
        self._prober.close()

    def _waited(self, sync_id: str, question: Question, seconds: float) -> bool:
        """Whether a question is answered in time, of which only that counts in which a helper probes it.

        A pause of this process does not count, either. It has START_SECONDS to find a helper.
        """
        time_to_ask = START_SECONDS
        while min(seconds, time_to_ask) > 0:
            began = time.monotonic()
            if question.answered.wait(min(POLL_SECONDS, seconds)):
                return True
            passed = min(time.monotonic() - began, LATE_SECONDS)
            if self._is_probed(sync_id, question):
                seconds -= passed
            elif self._prober.problem is None:
                time_to_ask -= passed
            else:  # what is lacking is known: to wait longer than for an answer is of no use
                time_to_ask = min(time_to_ask, seconds) - passed
        return False

    def _is_probed(self, sync_id: str, question: Question) -> bool:
        return question.is_asked and not self._prober.is_waiting(sync_id)

    def _require_place(self, sync_id: str, question: Question) -> None:
        """Raises MountUnavailable where silence says nothing about the manifest."""
        if (problem := self._prober.problem) is not None:
            raise type(problem)(str(problem))
        if not self._is_probed(sync_id, question):
            raise ReadsHang("so many manifests hang in the mount that no more are read; mount it again")

    def _join(self, sync_id: str) -> Question:
        with self._changed:
            self._require_open()
            self._require_thread()
            question = self._questions.setdefault(sync_id, Question())
            question.callers += 1
            self._changed.notify_all()
            return question

    def _leave(self, sync_id: str, question: Question) -> None:
        with self._changed:
            question.callers -= 1
            if not question.callers:
                self._forget(sync_id, question)

    def _forget(self, sync_id: str, question: Question) -> None:
        """The next caller asks again."""
        if self._questions.get(sync_id) is question:
            del self._questions[sync_id]

    def _require_open(self) -> None:
        if self._closed:
            raise MountUnavailable("the mount is not used any more, because the daemon is stopping")

    def _require_thread(self) -> None:
        if self._is_running:
            return
        try:
            threading.Thread(target=self._work, name="manifest-answers", daemon=True).start()
        except (RuntimeError, MemoryError) as error:
            raise shortage_of(error) or memory_shortage(error) or error from error
        self._is_running = True

    def _work(self) -> None:
        try:
            while self._has_questions() or not self._end_idle():
                self._begin_probes()
                self._prober.wait(POLL_SECONDS)
                self._take_answers()
        except BaseException:
            with self._changed:
                self._is_running = False
            raise

    def _has_questions(self) -> bool:
        """Waits for one for IDLE_SECONDS."""
        with self._changed:
            self._changed.wait_for(lambda: self._questions or self._closed, IDLE_SECONDS)
            return bool(self._questions) and not self._closed

    def _end_idle(self) -> bool:
        """Ends helpers that are asked nothing; whether the thread is to end, too."""
        self._prober.wait(0.0)
        self._prober.end_idle()
        with self._changed:
            self._is_running = not self._closed and (bool(self._questions) or self._prober.is_busy)
            return not self._is_running

    def _begin_probes(self) -> None:
        with self._changed:
            new = {sync_id: question for sync_id, question in self._questions.items() if not question.is_asked}
        for sync_id, question in new.items():
            self._prober.ask(sync_id)
            question.is_asked = True

    def _take_answers(self) -> None:
        with self._changed:
            for sync_id, question in list(self._questions.items()):
                if question.is_asked and self._prober.take(sync_id) is not None:
                    question.answered.set()
                    self._forget(sync_id, question)
