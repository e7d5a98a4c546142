"""Duration of a scrape with 1,000,000 finished jobs, relative to a scrape with none."""

from collections.abc import Iterator

from common import Bench, median, timed
from frame import Form, Value, measures

from ingestd.metrics import DatabaseState

SCRAPES = 20

BATCHES = (
    "INSERT INTO ingest_batch (sync_id, status, discovered_at)"
    " SELECT LPAD(seq, 36, '0'), 'imported', UTC_TIMESTAMP(6) FROM seq_1_to_{count}"
)
FINISHED = (
    "INSERT INTO import_job (batch_id, state, queued_at, finished_at)"
    " SELECT 1 + seq % {batches}, 'done', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6) FROM seq_1_to_{count}"
)


@measures("scrape")
def scrapes(world: Bench, form: Form) -> Iterator[Value]:
    jobs, rounds = form.of(1_000_000, 100_000), form.rounds(5)
    without = [scrape(world) for _ in range(rounds)]
    world.sql(BATCHES.format(count=jobs // 5), FINISHED.format(batches=jobs // 5, count=jobs))
    for alone in without:
        yield Value("scrape", scrape(world) / alone)


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
