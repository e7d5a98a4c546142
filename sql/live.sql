-- What a scrape asks: live states only, each by an index, so that the past costs nothing. Always in autocommit.

-- name: jobs
SELECT state, COUNT(*) FROM import_job WHERE state IN ('waiting', 'queued', 'running') GROUP BY state;

-- name: oldest_job_age$
-- Ids are given in the order of queueing, and stay through resets and releases.
SELECT TIMESTAMPDIFF(MICROSECOND, queued_at, UTC_TIMESTAMP(6)) / 1e6 FROM import_job
WHERE id = (SELECT MIN(id) FROM import_job WHERE state = 'queued');

-- name: running
SELECT b.sync_id, j.claimed_by, TIMESTAMPDIFF(MICROSECOND, j.heartbeat_at, UTC_TIMESTAMP(6)) / 1e6, j.items_done,
       j.items_total
FROM import_job j JOIN ingest_batch b ON b.id = j.batch_id
WHERE j.state = 'running' ORDER BY j.priority, j.id LIMIT :limit;

-- name: batches
SELECT status, COUNT(*) FROM ingest_batch
WHERE status IN ('new', 'ready', 'invalid', 'queued', 'importing', 'partial', 'failed') GROUP BY status;

-- name: items_waiting$
SELECT COUNT(*) FROM ingest_batch_item WHERE waiting_for > '';

-- name: items_waiting_oldest_age$
-- Of the first many only: a flood of waiting items must not make a scrape read them all.
SELECT TIMESTAMPDIFF(MICROSECOND, MIN(i.updated_at), UTC_TIMESTAMP(6)) / 1e6
FROM (SELECT updated_at FROM ingest_batch_item FORCE INDEX (revival) WHERE waiting_for > '' LIMIT 5000) i;

-- name: paused$
SELECT paused FROM ingest_control WHERE id = 1;
