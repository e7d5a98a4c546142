-- Jobs as lists and pages show them. Always in autocommit, always by index.

-- name: of_batch
SELECT {{job_columns}} FROM import_job j FORCE INDEX (by_batch) STRAIGHT_JOIN ingest_batch b ON b.id = j.batch_id
WHERE j.batch_id = :batch_id ORDER BY j.id DESC LIMIT :limit;

-- name: active
-- One statement, so that a job that changes its state is listed exactly once. The first jobs of each state are read in
-- the order of the index, and only these are sorted.
SELECT {{job_columns}}
FROM ((SELECT 1 AS place, priority, id FROM import_job FORCE INDEX (claim) WHERE state = 'running'
       ORDER BY priority, id LIMIT :limit)
      UNION ALL (SELECT 2, priority, id FROM import_job FORCE INDEX (claim) WHERE state = 'queued'
       ORDER BY priority, id LIMIT :limit)
      UNION ALL (SELECT 3, priority, id FROM import_job FORCE INDEX (claim) WHERE state = 'waiting'
       ORDER BY priority, id LIMIT :limit)) f
STRAIGHT_JOIN import_job j ON j.id = f.id STRAIGHT_JOIN ingest_batch b ON b.id = j.batch_id
ORDER BY f.place, f.priority, f.id LIMIT :limit;

-- name: finished
SELECT {{job_columns}}
FROM import_job j FORCE INDEX (by_finished) STRAIGHT_JOIN ingest_batch b ON b.id = j.batch_id
WHERE j.finished_at IS NOT NULL ORDER BY j.finished_at DESC, j.id DESC LIMIT :limit;

-- name: newest
SELECT {{job_columns}}
FROM import_job j FORCE INDEX (PRIMARY) STRAIGHT_JOIN ingest_batch b ON b.id = j.batch_id
WHERE j.id < :before ORDER BY j.id DESC LIMIT :limit;

-- name: active_in_state
-- For a state with few jobs: their ids are read and sorted from the index alone.
SELECT {{job_columns}}
FROM (SELECT id FROM import_job FORCE INDEX (claim) WHERE state = :state AND id < :before
      ORDER BY id DESC LIMIT :limit) found
STRAIGHT_JOIN import_job j ON j.id = found.id STRAIGHT_JOIN ingest_batch b ON b.id = j.batch_id ORDER BY j.id DESC;

-- name: oldest_and_newest^
-- Reads the two ends of the index.
SELECT MIN(id), MAX(id) FROM import_job;

-- name: active_in_window
-- For a state with many jobs: looks at the newest jobs of all states.
SELECT {{job_columns}}
FROM import_job j FORCE INDEX (PRIMARY) STRAIGHT_JOIN ingest_batch b ON b.id = j.batch_id
WHERE j.id < :before AND j.id >= :down_to AND j.state = :state ORDER BY j.id DESC LIMIT :limit;

-- name: ended
SELECT {{job_columns}}
FROM import_job j FORCE INDEX (by_ended) STRAIGHT_JOIN ingest_batch b ON b.id = j.batch_id
WHERE j.ended = :state AND j.id < :before ORDER BY j.id DESC LIMIT :limit;

-- name: counts
SELECT state, COUNT(*) FROM import_job WHERE state IN ('waiting', 'queued', 'running') GROUP BY state;

-- name: counts_up_to
-- Counts up to a limit: counting all would cost a page more than everything else on it.
SELECT 'running', COUNT(*)
FROM (SELECT 1 FROM import_job FORCE INDEX (claim) WHERE state = 'running' LIMIT :limit) running
UNION ALL SELECT 'queued', COUNT(*)
FROM (SELECT 1 FROM import_job FORCE INDEX (claim) WHERE state = 'queued' LIMIT :limit) queued
UNION ALL SELECT 'waiting', COUNT(*)
FROM (SELECT 1 FROM import_job FORCE INDEX (claim) WHERE state = 'waiting' LIMIT :limit) waiting;
