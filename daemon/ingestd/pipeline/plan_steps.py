"""Stages the items of a large batch in many short transactions, so that nothing else waits for long."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import Protocol, TypeVar

from ingestd.errors import DatabaseUnavailable
from ingestd.format.entry import Entry
from ingestd.format.manifest import Manifest
from ingestd.pipeline.prefetch import prefetch
from ingestd.pipeline.staging import ENTRIES_PER_STEP, Forecast, Forecaster, Plan, Staging, plan_of_new
from ingestd.store import standing
from ingestd.store.db import Database, Tx

MAX_AT_ONCE = 5 * ENTRIES_PER_STEP
"""items of a batch that is planned in one transaction"""

T = TypeVar("T")


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
    with closing(prefetch(_forecast_ahead(db, staging.parts(), staging.forecasts))) as found:
        for part, forecasts in found:
            staging.plan.add(in_transaction(partial(staging.write, part=part, forecasts=forecasts)))
            on_progress()
    for step in staging.dropping() if in_transaction(staging.has_gone) else ():
        in_transaction(step)
        on_progress()


def foresee(
    db: Database, parts: Iterator[list[Entry]], forecast: Forecaster, read: Read, on_progress: Callable[[], None]
) -> Plan:
    """The plan of a batch without rows, which writes none; `read` waits for the database."""
    plan = Plan()
    with closing(prefetch(_forecast_ahead(db, parts, forecast))) as found:
        for part, made in found:
            forecasts = read(_forecasting(forecast, part)) if made is None else made
            plan.add(plan_of_new(zip(part, forecasts, strict=True)))
            on_progress()
    return plan


def _forecast_ahead(
    db: Database, parts: Iterator[list[Entry]], forecast: Forecaster
) -> Generator[tuple[Sequence[Entry], Sequence[Forecast] | None], None, None]:
    """Parts of the manifest with their forecasts; None without a second connection, and then they are made later."""
    for part in parts:
        try:
            yield part, db.read(_forecasting(forecast, part), keep_waiting=lambda: False)
        except DatabaseUnavailable:
            yield part, None


def _forecasting(forecast: Forecaster, part: Sequence[Entry]) -> Callable[[Tx], Sequence[Forecast]]:
    return lambda tx: forecast(tx, part)
