-- Looking on: what commands and pages show. Always in autocommit, always by index.

-- name: batches
SELECT b.sync_id, b.type, b.action, b.status, b.source_host, b.item_count, b.total_bytes, b.discovered_at,
       b.started_at, b.completed_at, b.last_error, b.id
FROM ingest_batch b WHERE b.id < :before ORDER BY b.id DESC LIMIT :most;

-- name: batches_by_status
SELECT b.sync_id, b.type, b.action, b.status, b.source_host, b.item_count, b.total_bytes, b.discovered_at,
       b.started_at, b.completed_at, b.last_error, b.id
FROM ingest_batch b WHERE b.status = :status AND b.id < :before ORDER BY b.id DESC LIMIT :most;

-- name: batch^
SELECT b.sync_id, b.type, b.action, b.status, b.source_host, b.item_count, b.total_bytes, b.manifest_sha256,
       b.plan_sha256, b.manifest_summary, b.discovered_at, b.started_at, b.completed_at, b.last_error, b.id
FROM ingest_batch b WHERE b.sync_id = :sync_id;

-- name: jobs_of_batch
SELECT j.id, :sync_id, j.state, j.priority, j.scope, j.requested_by, j.queued_at, j.claimed_at, j.claimed_by, j.heartbeat_at,
       j.items_done, j.items_total, j.finished_at, j.last_error, j.reset_count
FROM import_job j WHERE j.batch_id = :batch_id ORDER BY j.id DESC LIMIT :most;

-- name: active_jobs
SELECT j.id, b.sync_id, j.state, j.priority, j.scope, j.requested_by, j.queued_at, j.claimed_at, j.claimed_by,
       j.heartbeat_at, j.items_done, j.items_total, j.finished_at, j.last_error, j.reset_count
FROM import_job j JOIN ingest_batch b ON b.id = j.batch_id
WHERE j.state IN ('running', 'queued', 'waiting') ORDER BY FIELD(j.state, 'running', 'queued', 'waiting'), j.priority, j.id LIMIT :most;

-- name: finished_jobs
SELECT j.id, b.sync_id, j.state, j.priority, j.scope, j.requested_by, j.queued_at, j.claimed_at, j.claimed_by,
       j.heartbeat_at, j.items_done, j.items_total, j.finished_at, j.last_error, j.reset_count
FROM import_job j JOIN ingest_batch b ON b.id = j.batch_id
WHERE j.active_batch_id IS NULL ORDER BY j.id DESC LIMIT :most;

-- name: batch_counts
SELECT status, COUNT(*) FROM ingest_batch WHERE status <> 'imported' GROUP BY status;

-- name: job_counts
SELECT state, COUNT(*) FROM import_job WHERE state IN ('waiting', 'queued', 'running') GROUP BY state;

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
