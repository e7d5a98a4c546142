"""The lanes in which manifests are read, so that those that take long or hang delay only their kind."""

from dataclasses import dataclass, replace
from enum import Enum

from ingestd.pipeline.delivery import Delivery

FIRST_TURN, SECONDS_PER_BYTE = 60.0, 2**-20
"""seconds of the first turn of a manifest that takes long, and more for its length"""


class Lane(Enum):
    """Where a manifest is read.

    SHORT is for all, at first, and AGAIN for those that were read before, which must not delay new ones; LONG for those
    that turn out to be long; APART for those whose read was silent or failed before. While reads are silent, all are
    probed first (PROBE): those that hang, and so never end, get no further. A manifest that takes long, though it is
    never silent, goes on to SLOW, or to HUGE if it is long: there each has a time to be read in that doubles with each
    turn, so that it delays only others that take long, and is read in the end.
    """

    SHORT = "short"
    AGAIN = "again"
    LONG = "long"
    APART = "apart"
    PROBE = "probe"
    SLOW = "slow"
    HUGE = "huge"


@dataclass(frozen=True, slots=True)
class Task:
    """One manifest to read."""

    sync_id: str
    known_sha256: str | None
    lane: Lane = Lane.SHORT
    probed_for: Lane | None = None
    """where a manifest that was probed is read if it answers soon"""
    size: int = 0
    """bytes, of one that turned out to be long"""
    turn: float = 0.0
    """seconds of its last turn among those that take long"""

    def moved(self, lane: Lane) -> "Task":
        return replace(self, lane=lane, probed_for=self.lane if lane is Lane.PROBE else self.probed_for)

    def in_turn(self) -> "Task":
        """As a task that takes long: with the time of its next turn."""
        turn = 2 * self.turn or FIRST_TURN + self.size * SECONDS_PER_BYTE
        return replace(self, lane=Lane.HUGE if self.lane in (Lane.LONG, Lane.HUGE) else Lane.SLOW, turn=turn)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a task: a delivery or an error, or how it has to be read again (`next_task`).

    `is_silent`: the mount answers, but reading this bundle did not.
    """

    task: Task
    delivered: Delivery | None = None
    error: Exception | None = None
    is_silent: bool = False
    next_task: Task | None = None
