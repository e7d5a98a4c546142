"""Pages: rows in a fixed order, and the cursor after which the next page begins; None at the end."""

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

NEWEST = 2**63 - 1
"""the cursor before the newest row"""
WINDOW = 2000
"""rows that are looked at for one page where no index finds the wanted ones: a page may be short and yet have a next"""

Page = tuple[list[T], int | None]


def cut(rows: Sequence[T], cursor: Callable[[T], int], limit: int, looked_until: int | None = None) -> Page[T]:
    """The first `limit` of up to `limit` + 1 rows, and the cursor of the next page.

    `looked_until` is the cursor at which a window ended before the end of the list; None if it did not.
    """
    if len(rows) > limit:
        return list(rows[:limit]), cursor(rows[limit - 1])
    return list(rows), looked_until
