-- Looking on: what commands and pages show. Always in autocommit, always by index.

-- name: batches
SELECT b.sync_id, b.type, b.action, b.status, b.source_host, b.item_count, b.total_bytes, b.discovered_at,
       b.started_at, b.completed_at, b.last_error, b.id, j.items_done, j.items_total, j.state
FROM ingest_batch b FORCE INDEX (PRIMARY) LEFT JOIN import_job j ON j.active_batch_id = b.id
WHERE b.id < :before ORDER BY b.id DESC LIMIT :limit;

-- name: batches_by_status
SELECT b.sync_id, b.type, b.action, b.status, b.source_host, b.item_count, b.total_bytes, b.discovered_at,
       b.started_at, b.completed_at, b.last_error, b.id, j.items_done, j.items_total, j.state
FROM ingest_batch b FORCE INDEX (by_status) LEFT JOIN import_job j ON j.active_batch_id = b.id
WHERE b.status = :status AND b.id < :before ORDER BY b.id DESC LIMIT :limit;

-- name: batches_by_action
SELECT b.sync_id, b.type, b.action, b.status, b.source_host, b.item_count, b.total_bytes, b.discovered_at,
       b.started_at, b.completed_at, b.last_error, b.id, j.items_done, j.items_total, j.state
FROM ingest_batch b FORCE INDEX (by_action) LEFT JOIN import_job j ON j.active_batch_id = b.id
WHERE b.action = :action AND b.id < :before ORDER BY b.id DESC LIMIT :limit;

-- name: batches_by_status_and_action
SELECT b.sync_id, b.type, b.action, b.status, b.source_host, b.item_count, b.total_bytes, b.discovered_at,
       b.started_at, b.completed_at, b.last_error, b.id, j.items_done, j.items_total, j.state
FROM ingest_batch b FORCE INDEX (by_status_and_action) LEFT JOIN import_job j ON j.active_batch_id = b.id
WHERE b.status = :status AND b.action = :action AND b.id < :before ORDER BY b.id DESC LIMIT :limit;

-- name: sync_ids_beginning$
-- How many there are, or so many and more.
SELECT COUNT(*)
FROM (SELECT id FROM ingest_batch FORCE INDEX (identity) WHERE sync_id LIKE :sync_id LIMIT :limit) f;

-- name: hosts_beginning$
SELECT COUNT(*)
FROM (SELECT id FROM ingest_batch FORCE INDEX (by_host) WHERE source_host LIKE :source_host LIMIT :limit) f;

-- name: batches_beginning
-- Asked only when few begin so.
SELECT b.sync_id, b.type, b.action, b.status, b.source_host, b.item_count, b.total_bytes, b.discovered_at,
       b.started_at, b.completed_at, b.last_error, b.id, j.items_done, j.items_total, j.state
FROM (SELECT id FROM ingest_batch FORCE INDEX (identity) WHERE sync_id LIKE :sync_id AND id < :before
      UNION SELECT id FROM ingest_batch FORCE INDEX (by_host) WHERE source_host LIKE :source_host AND id < :before) f
STRAIGHT_JOIN ingest_batch b ON b.id = f.id LEFT JOIN import_job j ON j.active_batch_id = b.id
WHERE (:status IS NULL OR b.status = :status) AND (:action IS NULL OR b.action = :action)
ORDER BY b.id DESC LIMIT :limit;

-- name: oldest_and_newest_batch^
-- Read off the two ends of the index.
SELECT MIN(id), MAX(id) FROM ingest_batch;

-- name: batches_beginning_in_window
SELECT b.sync_id, b.type, b.action, b.status, b.source_host, b.item_count, b.total_bytes, b.discovered_at,
       b.started_at, b.completed_at, b.last_error, b.id, j.items_done, j.items_total, j.state
FROM ingest_batch b FORCE INDEX (PRIMARY) LEFT JOIN import_job j ON j.active_batch_id = b.id
WHERE b.id < :before AND b.id >= :down_to AND (b.sync_id LIKE :sync_id OR b.source_host LIKE :source_host)
  AND (:status IS NULL OR b.status = :status) AND (:action IS NULL OR b.action = :action)
ORDER BY b.id DESC LIMIT :limit;

-- name: batch^
SELECT b.sync_id, b.type, b.action, b.status, b.source_host, b.item_count, b.total_bytes, b.manifest_sha256,
       b.plan_sha256, b.manifest_summary, b.discovered_at, b.started_at, b.completed_at, b.last_error, b.id
FROM ingest_batch b WHERE b.sync_id = :sync_id;

-- name: jobs_of_batch
SELECT j.id, :sync_id, j.state, j.priority, j.scope, j.requested_by, j.queued_at, j.claimed_at, j.claimed_by, j.heartbeat_at,
       j.items_done, j.items_total, j.finished_at, j.last_error, j.reset_count
FROM import_job j WHERE j.batch_id = :batch_id ORDER BY j.id DESC LIMIT :limit;

-- name: active_jobs
-- One statement, so that no job is missed or told twice while it changes its state. The first of each state are read in
-- the order of the index, and only these are sorted.
SELECT j.id, b.sync_id, j.state, j.priority, j.scope, j.requested_by, j.queued_at, j.claimed_at, j.claimed_by,
       j.heartbeat_at, j.items_done, j.items_total, j.finished_at, j.last_error, j.reset_count
FROM ((SELECT 1 AS place, priority, id FROM import_job FORCE INDEX (claim) WHERE state = 'running'
       ORDER BY priority, id LIMIT :limit)
      UNION ALL (SELECT 2, priority, id FROM import_job FORCE INDEX (claim) WHERE state = 'queued'
       ORDER BY priority, id LIMIT :limit)
      UNION ALL (SELECT 3, priority, id FROM import_job FORCE INDEX (claim) WHERE state = 'waiting'
       ORDER BY priority, id LIMIT :limit)) f
STRAIGHT_JOIN import_job j ON j.id = f.id STRAIGHT_JOIN ingest_batch b ON b.id = j.batch_id
ORDER BY f.place, f.priority, f.id LIMIT :limit;

-- name: finished_jobs
SELECT j.id, b.sync_id, j.state, j.priority, j.scope, j.requested_by, j.queued_at, j.claimed_at, j.claimed_by,
       j.heartbeat_at, j.items_done, j.items_total, j.finished_at, j.last_error, j.reset_count
FROM import_job j FORCE INDEX (by_finished) STRAIGHT_JOIN ingest_batch b ON b.id = j.batch_id
WHERE j.finished_at IS NOT NULL ORDER BY j.finished_at DESC, j.id DESC LIMIT :limit;

-- name: batch_counts
SELECT status, COUNT(*) FROM ingest_batch WHERE status <> 'imported' GROUP BY status;

-- name: job_counts
SELECT state, COUNT(*) FROM import_job WHERE state IN ('waiting', 'queued', 'running') GROUP BY state;

-- name: job_counts_up_to
-- Counting further would cost a page more than all else on it.
SELECT 'running', COUNT(*)
FROM (SELECT 1 FROM import_job FORCE INDEX (claim) WHERE state = 'running' LIMIT :limit) running
UNION ALL SELECT 'queued', COUNT(*)
FROM (SELECT 1 FROM import_job FORCE INDEX (claim) WHERE state = 'queued' LIMIT :limit) queued
UNION ALL SELECT 'waiting', COUNT(*)
FROM (SELECT 1 FROM import_job FORCE INDEX (claim) WHERE state = 'waiting' LIMIT :limit) waiting;

-- name: server_facts^
SELECT @@version, @@max_allowed_packet, @@binlog_format, @@log_bin, @@innodb_autoinc_lock_mode, UTC_TIMESTAMP(6);

-- name: explain_claim
EXPLAIN SELECT id, claim_token FROM import_job
WHERE state = 'queued' ORDER BY priority, id LIMIT 1 FOR UPDATE SKIP LOCKED;

-- name: rights
-- What this account may do to each table; NULL stands for all tables of a database, or of the server.
SELECT table_name, privilege_type FROM information_schema.TABLE_PRIVILEGES WHERE table_schema = DATABASE()
UNION ALL
SELECT NULL, privilege_type FROM information_schema.SCHEMA_PRIVILEGES WHERE table_schema = DATABASE()
UNION ALL
SELECT NULL, privilege_type FROM information_schema.USER_PRIVILEGES WHERE privilege_type <> 'USAGE';

-- name: job^
SELECT j.id, b.sync_id, j.state, j.priority, j.scope, j.requested_by, j.queued_at, j.claimed_at, j.claimed_by,
       j.heartbeat_at, j.items_done, j.items_total, j.finished_at, j.last_error, j.reset_count
FROM import_job j JOIN ingest_batch b ON b.id = j.batch_id WHERE j.id = :job_id;

-- name: jobs
SELECT j.id, b.sync_id, j.state, j.priority, j.scope, j.requested_by, j.queued_at, j.claimed_at, j.claimed_by,
       j.heartbeat_at, j.items_done, j.items_total, j.finished_at, j.last_error, j.reset_count
FROM import_job j FORCE INDEX (PRIMARY) STRAIGHT_JOIN ingest_batch b ON b.id = j.batch_id
WHERE j.id < :before ORDER BY j.id DESC LIMIT :limit;

-- name: active_jobs_in_state
-- For a state of few: their ids are read and sorted from the index alone.
SELECT j.id, b.sync_id, j.state, j.priority, j.scope, j.requested_by, j.queued_at, j.claimed_at, j.claimed_by,
       j.heartbeat_at, j.items_done, j.items_total, j.finished_at, j.last_error, j.reset_count
FROM (SELECT id FROM import_job FORCE INDEX (claim) WHERE state = :state AND id < :before
      ORDER BY id DESC LIMIT :limit) found
STRAIGHT_JOIN import_job j ON j.id = found.id STRAIGHT_JOIN ingest_batch b ON b.id = j.batch_id ORDER BY j.id DESC;

-- name: oldest_and_newest_job^
-- Read off the two ends of the index.
SELECT MIN(id), MAX(id) FROM import_job;

-- name: active_jobs_in_window
-- For a state of many: some of them are among the newest.
SELECT j.id, b.sync_id, j.state, j.priority, j.scope, j.requested_by, j.queued_at, j.claimed_at, j.claimed_by,
       j.heartbeat_at, j.items_done, j.items_total, j.finished_at, j.last_error, j.reset_count
FROM import_job j FORCE INDEX (PRIMARY) STRAIGHT_JOIN ingest_batch b ON b.id = j.batch_id
WHERE j.id < :before AND j.id >= :down_to AND j.state = :state ORDER BY j.id DESC LIMIT :limit;

-- name: jobs_ended
SELECT j.id, b.sync_id, j.state, j.priority, j.scope, j.requested_by, j.queued_at, j.claimed_at, j.claimed_by,
       j.heartbeat_at, j.items_done, j.items_total, j.finished_at, j.last_error, j.reset_count
FROM import_job j FORCE INDEX (by_ended) STRAIGHT_JOIN ingest_batch b ON b.id = j.batch_id
WHERE j.ended = :state AND j.id < :before ORDER BY j.id DESC LIMIT :limit;

-- name: events
-- Left to itself, the server reads all newer events of the batch before those of a deep page.
SELECT id, event_type, payload, created_at FROM ingest_event FORCE INDEX (by_batch)
WHERE batch_id = :batch_id AND id < :before ORDER BY id DESC LIMIT :limit;

-- name: items_window^
-- How far up a page may look: the last of so many items, and how many there are; from the index alone.
SELECT MAX(ordinal), COUNT(*)
FROM (SELECT ordinal FROM ingest_batch_item FORCE INDEX (by_ordinal)
      WHERE batch_id = :batch_id AND ordinal > :after ORDER BY ordinal LIMIT :window) w;

-- name: items
SELECT ordinal, asset_type, asset_hash, cover_hash, parent_hash, decision, reason, waiting_for, target_ids, last_error,
       updated_at
FROM ingest_batch_item FORCE INDEX (by_ordinal)
WHERE batch_id = :batch_id AND ordinal > :after AND ordinal <= :up_to AND in_manifest = 1
ORDER BY ordinal LIMIT :limit;

-- name: items_decided
SELECT ordinal, asset_type, asset_hash, cover_hash, parent_hash, decision, reason, waiting_for, target_ids, last_error,
       updated_at
FROM ingest_batch_item FORCE INDEX (by_ordinal)
WHERE batch_id = :batch_id AND ordinal > :after AND ordinal <= :up_to AND in_manifest = 1 AND decision = :decision
ORDER BY ordinal LIMIT :limit;

-- name: items_needing_attention
SELECT ordinal, asset_type, asset_hash, cover_hash, parent_hash, decision, reason, waiting_for, target_ids, last_error,
       updated_at
FROM ingest_batch_item FORCE INDEX (by_needs_attention)
WHERE batch_id = :batch_id AND needs_attention = :decision AND ordinal > :after ORDER BY ordinal LIMIT :limit;

-- name: containers
SELECT ordinal, type, hash, decision, reason, missing, target_ids, last_error, updated_at
FROM ingest_batch_container FORCE INDEX (by_ordinal)
WHERE batch_id = :batch_id AND in_manifest = 1 ORDER BY ordinal LIMIT :limit;

-- name: batches_named
SELECT b.sync_id, b.type, b.action, b.status, b.source_host, b.item_count, b.total_bytes, b.discovered_at,
       b.started_at, b.completed_at, b.last_error, b.id, j.items_done, j.items_total, j.state
FROM ingest_batch b FORCE INDEX (identity) LEFT JOIN import_job j ON j.active_batch_id = b.id
WHERE b.sync_id IN :sync_ids;

-- name: running_since
-- How many items of each running job were done already when it was claimed.
SELECT id, items_at_claim FROM import_job FORCE INDEX (claim) WHERE state = 'running' LIMIT :limit;

-- name: now$
SELECT UTC_TIMESTAMP(6);

-- name: alive$
SELECT 1;
