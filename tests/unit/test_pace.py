"""Rate, remaining time and silence of a job, by the database's clock."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from ingestd.web.pages.tasks import pace

NOW = datetime(2026, 4, 1, 12)


def job(*, done: int, total: int, seconds: float | None, silence: float | None = 2) -> dict[str, Any]:
    def ago(seconds: float | None) -> datetime | None:
        return None if seconds is None else NOW - timedelta(seconds=seconds)

    return {"items_done": done, "items_total": total, "claimed_at": ago(seconds), "heartbeat_at": ago(silence)}


@pytest.mark.parametrize(
    ("row", "at_claim", "wanted"),
    [
        (job(done=500, total=2000, seconds=10), 0, (50, 30, 2)),
        # Only items since the claim count for the rate.
        (job(done=1500, total=2000, seconds=10), 1000, (50, 10, 2)),
        (job(done=1000, total=2000, seconds=10), 1000, (None, None, 2)),
        (job(done=900, total=2000, seconds=10), 1000, (None, None, 2)),
        (job(done=500, total=2000, seconds=0), 0, (None, None, 2)),
        (job(done=500, total=2000, seconds=-3), 0, (None, None, 2)),
        (job(done=2000, total=2000, seconds=10), 0, (200, 0, 2)),
        (job(done=1, total=3, seconds=10), 0, (0.1, 20, 2)),
        (job(done=0, total=0, seconds=10), 0, (None, None, 2)),
        (job(done=500, total=2000, seconds=10, silence=None), 0, (50, 30, None)),
        (job(done=0, total=2000, seconds=None, silence=None), None, (None, None, None)),
        (job(done=5, total=2000, seconds=10), None, (None, None, None)),
        (job(done=5, total=2000, seconds=None), 0, (None, None, None)),
    ],
)
def test_pace(row: dict[str, Any], at_claim: int | None, wanted: tuple[float | None, ...]) -> None:
    found = pace(row, at_claim, NOW)
    assert tuple(found[key] for key in ("rate", "left", "silence")) == pytest.approx(wanted)
