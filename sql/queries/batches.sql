-- Batches as lists and pages show them. Always in autocommit, always by index.

-- fragment: listed_columns
-- Record: ListedBatch.
{{batch_columns}}, j.items_done, j.items_total, j.state AS job_state

-- fragment: active_job
LEFT JOIN import_job j ON j.active_batch_id = b.id

-- fragment: filters
(:status IS NULL OR b.status = :status) AND (:action IS NULL OR b.action = :action)

-- name: find^
-- Record: SummarizedBatch.
SELECT {{batch_columns}}, b.manifest_summary FROM ingest_batch b WHERE b.sync_id = :sync_id;

-- name: named
SELECT {{listed_columns}}
FROM ingest_batch b FORCE INDEX (identity) {{active_job}}
WHERE b.sync_id IN :sync_ids;

-- name: newest
SELECT {{listed_columns}}
FROM ingest_batch b FORCE INDEX (PRIMARY) {{active_job}}
WHERE b.id < :before ORDER BY b.id DESC LIMIT :limit;

-- name: by_status
SELECT {{listed_columns}}
FROM ingest_batch b FORCE INDEX (by_status) {{active_job}}
WHERE b.status = :status AND b.id < :before ORDER BY b.id DESC LIMIT :limit;

-- name: by_action
SELECT {{listed_columns}}
FROM ingest_batch b FORCE INDEX (by_action) {{active_job}}
WHERE b.action = :action AND b.id < :before ORDER BY b.id DESC LIMIT :limit;

-- name: by_status_and_action
SELECT {{listed_columns}}
FROM ingest_batch b FORCE INDEX (by_status_and_action) {{active_job}}
WHERE b.status = :status AND b.action = :action AND b.id < :before ORDER BY b.id DESC LIMIT :limit;

-- name: count_sync_ids$
-- Counts up to a limit.
SELECT COUNT(*)
FROM (SELECT id FROM ingest_batch FORCE INDEX (identity) WHERE sync_id LIKE :sync_id LIMIT :limit) f;

-- name: count_hosts$
-- Counts up to a limit.
SELECT COUNT(*)
FROM (SELECT id FROM ingest_batch FORCE INDEX (by_host) WHERE source_host LIKE :source_host LIMIT :limit) f;

-- name: beginning
-- Used only when few batches have the prefix.
SELECT {{listed_columns}}
FROM (SELECT id FROM ingest_batch FORCE INDEX (identity) WHERE sync_id LIKE :sync_id AND id < :before
      UNION SELECT id FROM ingest_batch FORCE INDEX (by_host) WHERE source_host LIKE :source_host AND id < :before) f
STRAIGHT_JOIN ingest_batch b ON b.id = f.id {{active_job}}
WHERE {{filters}}
ORDER BY b.id DESC LIMIT :limit;

-- name: oldest_and_newest^
-- Reads the two ends of the index.
SELECT MIN(id), MAX(id) FROM ingest_batch;

-- name: beginning_in_window
SELECT {{listed_columns}}
FROM ingest_batch b FORCE INDEX (PRIMARY) {{active_job}}
WHERE b.id < :before AND b.id >= :down_to AND (b.sync_id LIKE :sync_id OR b.source_host LIKE :source_host)
  AND {{filters}}
ORDER BY b.id DESC LIMIT :limit;

-- name: counts
-- Imported batches are left out: they are millions.
SELECT status, COUNT(*) FROM ingest_batch WHERE status <> 'imported' GROUP BY status;

-- name: beginning_with
-- Served by the key of the sync_id.
SELECT sync_id FROM ingest_batch WHERE sync_id LIKE :sync_id ORDER BY sync_id LIMIT 2;
