"""When parts of bundles last passed in this process: it distinguishes an item at fault from a host in trouble."""

import time
from enum import StrEnum

MAX_REMEMBERED = 1000


class Part(StrEnum):
    """Kinds of parts, which are written by different code."""

    ITEM = "item"
    COVER = "cover"
    CONTAINER = "container"


class Passes:
    """Which kinds of parts passed since a bundle first failed for a reason that may not be its own.

    Bundles are known by the digests of their manifests; times are monotonic. The threads of all workers share it.
    """

    def __init__(self) -> None:
        self._last: dict[Part, float] = {}
        self._first_failures: dict[tuple[str, Part], float] = {}

    def note_pass(self, part: Part) -> None:
        self._last[part] = time.monotonic()

    def note_failure(self, sha256: str, part: Part) -> None:
        """Remembers the first failure of a bundle; the oldest is forgotten when there are too many."""
        self._first_failures.setdefault((sha256, part), time.monotonic())
        if len(self._first_failures) > MAX_REMEMBERED:
            self._first_failures.pop(next(iter(self._first_failures)), None)

    def forget(self, sha256: str) -> None:
        """Forgets the failures of a bundle whose run came to its end."""
        for part in Part:
            self._first_failures.pop((sha256, part), None)

    def any_since_failure(self, sha256: str, part: Part) -> bool:
        """Whether a part of this kind passed, in any bundle, after this one first failed."""
        failed = self._first_failures.get((sha256, part))
        return failed is not None and self._last.get(part, failed) > failed
