"""Logs what is odd about the root of the mount: once when it begins, and once that it is over."""

import structlog

log = structlog.get_logger()

SLOW_CHECK = 5.0
"""seconds of a whole check that is called slow"""


class RootNotices:
    """What was noticed at the last check.

    `is_sync_covered`: whether another file system than the root's was mounted on the folder with the sentinels.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self.is_slow = self.is_sync_covered = False

    def note_covered(self, is_covered: bool) -> None:
        """Logs once that the folder with the sentinels is not on the file system of the root: perhaps by mistake."""
        if is_covered and not self.is_sync_covered:
            log.warning("sync_on_another_file_system", folder=f"{self._root}/sync")
        self.is_sync_covered = is_covered

    def note_speed(self, seconds: float) -> None:
        """Logs once that the mount is slow, and that it no longer is. Slow is not absent: it is read as before."""
        is_slow, self.is_slow = self.is_slow, seconds > SLOW_CHECK
        if self.is_slow and not is_slow:
            log.warning("mount_slow", root=self._root, check_seconds=round(seconds, 1))
        elif is_slow and not self.is_slow:
            log.info("mount_no_longer_slow", root=self._root)
