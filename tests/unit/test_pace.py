"""Rate, time left and last heartbeat of a job, by the database's clock."""

from datetime import datetime, timedelta

import pytest

from ingestd.model import JobState, Scope
from ingestd.records import Job
from ingestd.web.pages.tasks import pace

NOW = datetime(2026, 4, 1, 12)


def job(
    *,
    done: int,
    total: int,
    seconds: float | None,
    silence: float | None = 2,
    at_claim: int = 0,
    state: JobState = JobState.RUNNING,
) -> Job:
    def ago(seconds: float | None) -> datetime | None:
        return None if seconds is None else NOW - timedelta(seconds=seconds)

    return Job(
        id=1,
        batch_id=1,
        sync_id="0b3c6a52-8c1f-4c5e-9d57-0f6f1c1f6f10",
        state=state,
        priority=100,
        scope=Scope.ALL,
        requested_by=None,
        queued_at=NOW,
        claimed_at=ago(seconds),
        claimed_by=None,
        claim_token=1,
        heartbeat_at=ago(silence),
        items_done=done,
        items_total=total,
        items_at_claim=at_claim,
        isolate_items=False,
        current_item_id=None,
        finished_at=None,
        result=None,
        last_error=None,
        reset_count=0,
        release_count=0,
    )


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        (job(done=500, total=2000, seconds=10), (50, 30, 2)),
        # Only items done since the claim count.
        (job(done=1500, total=2000, seconds=10, at_claim=1000), (50, 10, 2)),
        (job(done=1000, total=2000, seconds=10, at_claim=1000), (None, None, 2)),
        (job(done=900, total=2000, seconds=10, at_claim=1000), (None, None, 2)),
        (job(done=500, total=2000, seconds=0), (None, None, 2)),
        (job(done=500, total=2000, seconds=-3), (None, None, 2)),
        (job(done=2000, total=2000, seconds=10), (200, 0, 2)),
        (job(done=1, total=3, seconds=10), (0.1, 20, 2)),
        (job(done=0, total=0, seconds=10), (None, None, 2)),
        (job(done=500, total=2000, seconds=10, silence=None), (50, 30, None)),
        (job(done=0, total=2000, seconds=None, silence=None, state=JobState.QUEUED), (None, None, None)),
        (job(done=5, total=2000, seconds=10, state=JobState.QUEUED), (None, None, None)),
        (job(done=5, total=2000, seconds=None), (None, None, None)),
    ],
)
def test_pace(row: Job, wanted: tuple[float | None, ...]) -> None:
    found = pace(row, NOW)
    assert (found.rate, found.left, found.silence) == pytest.approx(wanted)
