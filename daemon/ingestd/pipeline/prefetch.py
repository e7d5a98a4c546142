"""Prepares the next part in a thread while the caller works on the current one."""

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from itertools import islice
from typing import TypeVar

from ingestd.shortage import shortage_of

T = TypeVar("T")


def prefetch(parts: Iterator[T]) -> Generator[T, None, None]:
    """Yields what `parts` yields; the next part is prepared meanwhile, in a thread of its own.

    An error of `parts` is raised in its place. Raises Shortage, before the first part, if there is no thread to spare.
    """
    # A thread of a pool does not inherit the context, and with it the keys of log lines.
    with ThreadPoolExecutor(1, thread_name_prefix="prefetch") as pool:
        try:
            following = pool.submit(copy_context().run, _next, parts)
        except RuntimeError as error:
            raise shortage_of(error) or error from error
        while part := following.result():
            following = pool.submit(copy_context().run, _next, parts)
            yield part[0]


def _next(parts: Iterator[T]) -> list[T]:
    """The next part, in a list; an empty list at the end."""
    return list(islice(parts, 1))
