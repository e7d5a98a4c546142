"""Fills databases of any size for bench_pages, with a realistic distribution of values."""

from dataclasses import dataclass

from common import Bench


@dataclass(frozen=True, slots=True)
class Size:
    """`items`: those of the one large batch."""

    batches: int
    jobs: int
    items: int


NEEDLE = "0c0ffee0-0000-4000-8000-000000000001"
"""The oldest batch, which has the items."""
ALIKE = 60
"""Batches of the small database that match every filter, so that it can fill a page."""
ACTIVE_JOBS = 100
"""Active jobs of the newest batches; the same number in both databases."""

BATCHES = """
INSERT INTO ingest_batch (sync_id, type, action, status, source_host, item_count, total_bytes, manifest_sha256,
                          plan_sha256, manifest_summary, manifest_completed_at, last_error, discovered_at, started_at,
                          completed_at)
SELECT IF(seq = 1, '{needle}', CONCAT_WS('-', LEFT(name, 8), SUBSTR(name, 9, 4), SUBSTR(name, 13, 4),
                                         SUBSTR(name, 17, 4), SUBSTR(name, 21, 12))),
       'event', IF(alike, 'create', IFNULL(ELT(1 + CRC32(seq) % 20, 'remove', 'update', 'update', 'update'), 'create')),
       IF(alike, 'failed', IFNULL(ELT(1 + CRC32(seq + 7) % 20, 'failed', 'partial', 'invalid', 'ready'), 'imported')),
       IF(alike, 'flux-07', CONCAT('flux-', LPAD(CRC32(seq * 3) % 20, 2, '0'))), 200, 200000000, SHA2(seq, 256),
       SHA2(seq, 256), CONCAT('{{"files": 200, "note": "', REPEAT('x', 400), '"}}'), UTC_TIMESTAMP(6), NULL,
       UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), UTC_TIMESTAMP(6)
FROM (SELECT seq, {alike} AS alike, IF({alike}, CONCAT('abc', MD5(seq)), MD5(seq)) AS name FROM seq_1_to_{batches}) s
"""
ENDED = """
INSERT INTO import_job (batch_id, state, requested_by, queued_at, claimed_at, claimed_by, heartbeat_at, items_done,
                        items_total, finished_at, last_error)
SELECT 1 + (seq * 7) % {batches}, IFNULL(ELT(1 + seq % 8, 'failed', 'cancelled'), 'done'), 'olga',
       UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), 'flux-07/pid:1/0', UTC_TIMESTAMP(6), 200, 200, UTC_TIMESTAMP(6), NULL
FROM seq_1_to_{ended}
"""
ACTIVE = """
INSERT INTO import_job (batch_id, state, priority, requested_by, queued_at, items_total)
SELECT id, IFNULL(ELT(1 + id % 4, 'running', 'waiting'), 'queued'), 100 + id % 3, 'olga', UTC_TIMESTAMP(6), 200
FROM ingest_batch ORDER BY id DESC LIMIT {active}
"""
ITEMS = """
INSERT INTO ingest_batch_item (batch_id, ordinal, asset_type, asset_hash, entry_sha256, decision, reason, asset_id,
                               last_error, updated_at)
SELECT 1, seq - 1, 'photo', MD5(seq), SHA2(seq, 256), decision, reason, IF(reason IS NULL, seq, NULL),
       IF(decision = 'failed', CONCAT('photo/', MD5(seq), '/dawn.jpg: content does not match the manifest'),
          NULL), UTC_TIMESTAMP(6)
FROM (SELECT seq, IFNULL(ELT(1 + seq % 100, 'failed', 'skipped', 'skipped', 'updated'), 'created') AS decision,
             CASE WHEN seq % 100 = 0
                  THEN ELT(1 + seq DIV 100 % 4, 'bad_entry', 'file_missing', 'file_size_mismatch', 'type_conflict')
                  WHEN seq % 100 < 3 THEN 'unchanged' END AS reason FROM seq_1_to_{items}) s
"""
REST = (
    "UPDATE ingest_batch SET status = 'queued' WHERE status = 'imported' AND id > {batches} - {active}",
    "UPDATE ingest_batch SET item_count = {items}, status = 'partial' WHERE id = 1",
    "INSERT INTO ingest_batch_tally SELECT 1, decision, IFNULL(reason, ''), COUNT(*) FROM ingest_batch_item"
    " GROUP BY decision, reason",
    "INSERT INTO ingest_event (batch_id, event_type, payload)"
    " SELECT IF(seq % 2, 1, 1 + seq % {batches}), 'item_created', JSON_OBJECT('hash', MD5(seq), 'asset_id', seq)"
    " FROM seq_1_to_{events}",
    "ANALYZE TABLE ingest_batch, import_job, ingest_batch_item, ingest_event",
)


def fill(world: Bench, size: Size) -> None:
    is_alike = f"(seq BETWEEN 2 AND {ALIKE + 1})" if size.batches <= 100 else "FALSE"
    values = {"alike": is_alike, "needle": NEEDLE, "batches": size.batches, "items": size.items, "active": ACTIVE_JOBS}
    values |= {"ended": size.jobs - ACTIVE_JOBS, "events": 2 * size.items}
    statements = (BATCHES, ENDED, ACTIVE, ITEMS, *REST)
    world.sql(*(statement.format(**values) for statement in statements))
