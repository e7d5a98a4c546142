"""When the times of a folder show that nothing has changed since."""

import os
import time
from pathlib import Path

import pytest

from ingestd.mount.sync_folder import CLOCK_OF_FILES, is_over

SECOND, MS = 10**9, 10**6
NOW = 1_800_000_000 * SECOND


@pytest.mark.parametrize(
    ("changed", "now", "over"),
    [
        (NOW + 1, NOW + 1, False),
        (NOW + 1, NOW + 100 * MS, False),
        (NOW + 1, NOW + 300 * MS, True),
        (NOW, NOW + 300 * MS, False),
        (NOW, NOW + 1999 * MS, False),
        (NOW, NOW + 2001 * MS, True),
        (NOW + 300 * MS, NOW, False),
    ],
    ids=["now", "just now", "before", "this second", "last second", "seconds ago", "in the future"],
)
def test_a_change_is_over_when_the_next_one_would_have_another_time(changed: int, now: int, over: bool) -> None:
    assert is_over(changed, now) is over


def test_files_take_their_times_from_this_clock(tmp_path: Path) -> None:
    """A change never has a time before that of this clock, so the next change is later than all that are over."""
    for number in range(1000):
        before = time.clock_gettime_ns(CLOCK_OF_FILES)
        (tmp_path / str(number)).touch()
        assert before <= os.stat(tmp_path).st_ctime_ns
