"""Bundles from the future, by the clock of the database: they are invalid, or they would precede every later one."""

from datetime import datetime, timedelta
from typing import Any

from ingestd.model import BatchStatus, InvalidBasis


def problem_of(completed_at: datetime, now: datetime, max_future: float) -> str | None:
    """Why a bundle is invalid now, else None. `max_future` in seconds."""
    if completed_at <= now + timedelta(seconds=max_future):
        return None
    return (
        f"completed_at: {completed_at:%Y-%m-%dT%H:%M:%SZ} is more than {max_future:g} s ahead of the database's clock"
    )


def check(columns: dict[str, Any], now: datetime, max_future: float) -> dict[str, Any]:
    """The columns of a batch, with this verdict."""
    completed_at = columns["manifest_completed_at"]
    problem = None if completed_at is None else problem_of(completed_at, now, max_future)
    if problem is None:
        return columns
    verdict = {"status": BatchStatus.INVALID.value, "invalid_basis": InvalidBasis.TIME.value, "last_error": problem}
    return {**columns, **verdict}
