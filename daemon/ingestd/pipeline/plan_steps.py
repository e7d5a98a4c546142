"""Stages the items of a large batch in many short transactions, so that nothing else waits for long."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import Protocol, TypeVar

from ingestd.errors import DatabaseUnavailable
from ingestd.format.entry import Entry
from ingestd.format.manifest import Manifest
from ingestd.pipeline.found_assets import FoundAssets
from ingestd.pipeline.prefetch import prefetch
from ingestd.pipeline.staging import ENTRIES_PER_STEP, Forecast, Plan, Staging, plan_of_new
from ingestd.store import standing
from ingestd.store.db import Database, Tx

MAX_AT_ONCE = 5 * ENTRIES_PER_STEP
"""items of a batch that is planned in one transaction"""

T = TypeVar("T")
Part = tuple[Sequence[Entry], Sequence[Forecast] | None]
"""some entries, and their forecasts if those were made ahead"""


class InTransaction(Protocol):
    """Runs work in a transaction that is committed, or rolled back because this batch must not be planned now."""

    def __call__(self, work: Callable[[Tx], T], /) -> T: ...


class Read(Protocol):
    """Runs work that only reads, and returns its result."""

    def __call__(self, work: Callable[[Tx], T], /) -> T: ...


def is_large(manifest: Manifest) -> bool:
    """Whether a batch is planned in steps."""
    return manifest.index.item_count > MAX_AT_ONCE


def left(tx: Tx, batch_id: int) -> list[int] | None:
    """The places of the items that a plan may change, of a batch whose rows are in step; None if they are many."""
    found = standing.undecided(tx, batch_id, MAX_AT_ONCE + 1)
    return found if len(found) <= MAX_AT_ONCE else None


def stage(db: Database, staging: Staging, in_transaction: InTransaction, on_progress: Callable[[], None]) -> None:
    """Writes the rows of all items, a part in each transaction, and drops those that are not listed any more.

    The forecast of the next part is made while the current one is written, on a connection of its own: a forecast needs
    no locks, and does not read what these transactions write.
    """
    with closing(prefetch(_forecast_ahead(db, staging))) as found:
        for part, forecasts in found:
            staging.plan.add(in_transaction(partial(staging.write, part=part, forecasts=forecasts)))
            on_progress()
    for step in staging.dropping() if in_transaction(staging.has_gone) else ():
        in_transaction(step)
        on_progress()


def foresee(
    db: Database, parts: Iterator[list[Entry]], found: FoundAssets, read: Read, on_progress: Callable[[], None]
) -> Plan:
    """The plan of a batch without rows, which writes none; `read` waits for the database.

    Assets of the next part are looked up while one is forecast, each in a thread and on a connection of its own.
    """
    plan = Plan()
    with closing(prefetch(_foresee_ahead(db, parts, found))) as made:
        for part, forecasts in made:
            plan.add(plan_of_new(zip(part, forecasts or read(partial(found.forecast, entries=part)), strict=True)))
            on_progress()
    return plan


def _foresee_ahead(db: Database, parts: Iterator[list[Entry]], found: FoundAssets) -> Generator[Part, None, None]:
    with closing(prefetch(_look_up_ahead(db, parts, found))) as looked_up:
        for part, rows in looked_up:
            work = partial(found.forecast, entries=part, rows=rows)
            yield part, None if rows is None else _read_ahead(db, work)


def _look_up_ahead(
    db: Database, parts: Iterator[list[Entry]], found: FoundAssets
) -> Generator[tuple[list[Entry], str | None], None, None]:
    for part in parts:
        yield part, _read_ahead(db, partial(found.look_up, entries=part))


def _forecast_ahead(db: Database, staging: Staging) -> Generator[Part, None, None]:
    for part in staging.parts():
        yield part, _read_ahead(db, partial(staging.forecasts, part=part))


def _read_ahead(db: Database, work: Callable[[Tx], T]) -> T | None:
    """What `work` reads; None without a second connection, and then it is read later."""
    try:
        return db.read(work, keep_waiting=lambda: False)
    except DatabaseUnavailable:
        return None
