"""Which file system is at the root, as of the last check, and whether that is recent enough."""

import math
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from ingestd.errors import MountReplaced, MountUnavailable
from ingestd.model import Origin
from ingestd.mount.mountinfo import MountIdentity, MountPoint

RECHECK_SECONDS = 1.0
"""between checks of an absent mount for `check_cached`, and how old a check may be for what could not be read"""

CONFIRM_SECONDS = 0.25
"""how old a check may be until a read takes its place"""


class CheckedRoot:
    """The base of Mount, which finds out what is at the root (`identify`), and what the kernel says (`mount_point`).

    `problem` is why the last check failed. `approve` takes part in each check: it raises MountUnavailable if what is
    mounted is not what is expected.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self.up = False
        self.identity: MountIdentity | None = None
        self.problem = "it has not been looked at yet"
        self.error: MountUnavailable | None = None  # what the last check raised, if it failed
        self.lost_since: datetime | None = None
        """when checks began to fail, in naive UTC; None while they succeed"""
        self.approve: Callable[[MountIdentity], None] = lambda _identity: None
        self._checked_at = self._lost_at = -math.inf
        self._checking = threading.Lock()

    def identify(self) -> MountIdentity:
        """The identity of the file system at the root, expected or not. Raises MountUnavailable."""
        raise NotImplementedError

    def _mount_point(self) -> MountPoint:
        raise NotImplementedError

    def check(self) -> MountIdentity:
        """The identity of the file system at the root; sets `up`. Raises MountUnavailable, or what `approve` raises."""
        try:
            identity = self.identify()
            self.approve(identity)
        except MountUnavailable as error:
            self.lose(str(error), error)
            raise
        self.up, self.identity, self.lost_since = True, identity, None
        self._checked_at = time.monotonic()
        return identity

    def lose(self, problem: str, error: MountUnavailable | None = None) -> None:
        """Counts as absent until a check succeeds."""
        self.up, self.problem, self.error = False, problem, error
        self.lost_since = self.lost_since or datetime.now(UTC).replace(tzinfo=None)
        self._lost_at = time.monotonic()

    @property
    def origin(self) -> Origin | None:
        """What is mounted, as of the last check."""
        return None if self.identity is None else self.identity.origin

    def recent_identity(self, max_age: float) -> MountIdentity:
        """As `check`, or what that returned within the last `max_age` seconds, if no request failed since."""
        return self._recent(max_age) or self.check()

    def _recent(self, max_age: float) -> MountIdentity | None:
        return self.identity if self.up and time.monotonic() - self._checked_at <= max_age else None

    def check_cached(self, max_age: float) -> MountIdentity:
        """As `recent_identity`. An absent mount is asked again after RECHECK_SECONDS at the earliest.

        All workers ask at the start, and whenever a job is queued. One of them checks then, with one helper, and the
        others wait for what it finds.
        """
        if recent := self._recent(max_age):
            return recent
        with self._checking:
            if not self.up and time.monotonic() - self._lost_at < min(max_age, RECHECK_SECONDS):
                raise MountUnavailable(self.problem)
            return self.recent_identity(max_age)

    def require_same(self, identity: MountIdentity) -> None:
        """Raises MountUnavailable unless the file system at the root is still the one with this identity.

        MountReplaced is raised if it is another one, and not the same mounted again.
        """
        self._compare(identity, self.check())

    def _compare(self, expected: MountIdentity, found: MountIdentity) -> None:
        if found == expected:
            return
        if found.origin.is_same(expected.origin):
            raise MountUnavailable(f"the file system at {self._root} was mounted again")
        raise MountReplaced(f"{expected.origin} at {self._root} was replaced by {found.origin}")

    def _confirm(self, mount_id: int, checked: MountIdentity) -> None:
        """Raises MountUnavailable unless what was just read is of the mount that was `checked` before.

        `mount_id` is that of the open file, 0 where the kernel has no such number. If that mount is still at the root,
        the read was a check by itself: it needed the file system as much as one does.
        """
        if not (mount_id and self.up and mount_id == checked.unique_id):
            self._compare(checked, self.check() if mount_id else self.recent_identity(RECHECK_SECONDS))
        elif time.monotonic() - self._checked_at > CONFIRM_SECONDS:
            if self._mount_point() == checked.point:
                self._checked_at = time.monotonic()
            else:
                self.require_same(checked)
