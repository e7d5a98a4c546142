-- What a scrape of the metrics reads: live states only, each by an index, so that finished work costs nothing. Always
-- in autocommit.

-- name: oldest_job_age$
-- Ids are assigned in the order of queueing, and stay the same through resets and releases.
SELECT TIMESTAMPDIFF(MICROSECOND, queued_at, UTC_TIMESTAMP(6)) / 1e6 FROM import_job
WHERE id = (SELECT MIN(id) FROM import_job WHERE state = 'queued');

-- name: running
SELECT b.sync_id, j.claimed_by, TIMESTAMPDIFF(MICROSECOND, j.heartbeat_at, UTC_TIMESTAMP(6)) / 1e6, j.items_done,
       j.items_total
FROM import_job j JOIN ingest_batch b ON b.id = j.batch_id
WHERE j.state = 'running' ORDER BY j.priority, j.id LIMIT :limit;

-- name: batches_given_up$
-- Served by KEY by_failure_count (failure_count, retry_at).
SELECT COUNT(*) FROM ingest_batch FORCE INDEX (by_failure_count)
WHERE failure_count > :max_retries AND status = 'failed';

-- name: items_waiting$
SELECT COUNT(*) FROM ingest_batch_item WHERE waiting_for > '';

-- name: items_waiting_oldest_age$
-- Looks at 5,000 items at most: a scrape must not read a million waiting items.
SELECT TIMESTAMPDIFF(MICROSECOND, MIN(i.updated_at), UTC_TIMESTAMP(6)) / 1e6
FROM (SELECT updated_at FROM ingest_batch_item FORCE INDEX (revival) WHERE waiting_for > '' LIMIT 5000) i;
