"""Reads a list from the newest record to the oldest, page by page, as pages and commands do."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

from ingestd.store.db import Database
from ingestd.store.queries.paging import NEWEST, Page

T = TypeVar("T")


def each_of(db: Database, page: Callable[..., Page[T]], limit: int) -> Iterator[T]:
    """The records of all pages, one after another; `page` takes a transaction, `before` and `limit`."""
    before: int | None = NEWEST
    while before is not None:
        cursor = before
        found, before = db.read(partial(page, before=cursor, limit=limit))
        assert len(found) <= limit
        assert before is None or before < cursor
        yield from found
