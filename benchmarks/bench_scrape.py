"""Duration of a scrape with 1,000,000 finished jobs, relative to a scrape with none."""

import os
import sys

from common import Bench, bench, median, report, timed

from ingestd.metrics import DatabaseState

JOBS = int(os.environ.get("JOBS", "1000000"))
ROUNDS = int(os.environ.get("ROUNDS", "5"))
SCRAPES = 20

BATCHES = (
    "INSERT INTO ingest_batch (sync_id, status, discovered_at)"
    " SELECT LPAD(seq, 36, '0'), 'imported', UTC_TIMESTAMP(6) FROM seq_1_to_{count}"
)
FINISHED = (
    "INSERT INTO import_job (batch_id, state, queued_at, finished_at)"
    " SELECT 1 + seq % {batches}, 'done', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6) FROM seq_1_to_{count}"
)


def main() -> None:
    with bench() as world:
        without = [scrape(world) for _ in range(ROUNDS)]
        world.sql(BATCHES.format(count=JOBS // 5), FINISHED.format(batches=JOBS // 5, count=JOBS))
        ratios = [scrape(world) / alone for alone in without]
    report(f"a scrape with {JOBS} finished jobs", ratios, "at most 1.5", median(ratios) <= 1.5)
    sys.exit(0 if median(ratios) <= 1.5 else 1)


def scrape(world: Bench) -> float:
    """Median seconds of the database queries of a scrape."""
    state = DatabaseState(world.settings().database, per_job=True, cache_seconds=0.0)
    try:
        ask(state)
        return median([timed(lambda: ask(state)) for _ in range(SCRAPES)])
    finally:
        state.close()


def ask(state: DatabaseState) -> None:
    assert "ingestd_queue_jobs" in {family.name for family in state.collect()}


if __name__ == "__main__":
    main()
