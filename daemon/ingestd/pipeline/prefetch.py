"""Work one step ahead: the next part is prepared in a thread while the present one is written."""

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from ingestd import logs

T = TypeVar("T")


def prefetch(parts: Iterator[T], close: Callable[[], None]) -> Generator[T, None, None]:
    """Yields what `parts` yields, with the next part already under way in a thread of its own.

    `close` runs in that thread at the end, for what belongs to it. An error of `parts` is raised where it would be.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as pool:
        following = logs.submit(pool, _next, parts)
        try:
            while part := following.result():
                following = logs.submit(pool, _next, parts)
                yield part[0]
        finally:
            logs.submit(pool, close)


def _next(parts: Iterator[T]) -> list[T]:
    """The next part, in a list; an empty list at the end."""
    return list(islice(parts, 1))
