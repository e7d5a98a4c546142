"""The cost of a scrape in the database."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ingestd.metrics import DatabaseState
from ingestd.store.queries import batches, jobs
from ingestd.store.queries import live as live_rows
from ingestd.store.sql import Queries
from support.wait import until
from support.world import World


def test_scrapes_at_the_same_moment_ask_the_database_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    state = DatabaseState(world.server.settings(), per_job=True)
    real, asked, go = live_rows.live, [], threading.Event()

    def slow(tx: object) -> object:
        asked.append(tx)
        assert go.wait(10)
        return real(tx)  # type: ignore[arg-type]

    monkeypatch.setattr("ingestd.metrics.live", slow)
    with ThreadPoolExecutor(8) as pool:
        scrapes = [pool.submit(lambda: list(state.collect())) for _ in range(8)]
        until(lambda: asked)
        go.set()
        answers = [{family.name for family in scrape.result(10)} for scrape in scrapes]
    state.close()
    assert len(asked) == 1
    assert all("ingestd_queue_jobs" in names for names in answers)


SCRAPED = [
    (jobs._sql, "counts", "claim"),
    (batches._sql, "counts", "by_status"),
    (live_rows._sql, "running", "claim"),
    (live_rows._sql, "batches_given_up", "by_failure_count"),
    (live_rows._sql, "items_waiting", "revival"),
    (live_rows._sql, "items_waiting_oldest_age", "revival"),
]


@pytest.mark.parametrize(("queries", "query", "key"), SCRAPED)
def test_a_scrape_reads_live_rows_by_index(world: World, queries: Queries, query: str, key: str) -> None:
    world.sql(
        "INSERT INTO ingest_batch (sync_id, status, discovered_at)"
        " SELECT LPAD(seq, 36, '0'), 'imported', UTC_TIMESTAMP(6) FROM seq_1_to_2000"
    )
    world.sql("INSERT INTO import_job (batch_id, state, queued_at) SELECT id, 'done', discovered_at FROM ingest_batch")
    world.sql(
        "INSERT INTO ingest_batch_item (batch_id, ordinal, asset_type, asset_hash, entry_sha256, decision, updated_at)"
        " SELECT id, 0, 'photo', LPAD(id, 32, '0'), REPEAT('0', 64), 'created', UTC_TIMESTAMP(6) FROM ingest_batch"
    )
    world.sql("ANALYZE TABLE ingest_batch, import_job, ingest_batch_item")
    text = getattr(queries, query).sql.replace("%(limit)s", "200").replace("%(max_retries)s", "5")
    plan = world.sql(f"EXPLAIN {text}")
    tables = [row for row in plan if row[2] not in (None, "<derived2>")]
    assert key in {row[5] for row in tables}
    assert all(row[3] in ("range", "ref", "eq_ref", "const", "index_subquery") for row in tables), plan
    assert sum(int(row[8]) for row in tables) < 300, plan
