-- ingest_stuck: bundles that cannot be read or recorded, reported by the scanners of all hosts.

-- name: sync_ids
SELECT sync_id FROM ingest_stuck;

-- name: insert!
-- Fails with 1205 at once when another transaction holds the row, and so does `delete`: discovery waits for no report.
SET STATEMENT innodb_lock_wait_timeout = 0, lock_wait_timeout = 0 FOR
INSERT INTO ingest_stuck (sync_id, reason, reported_by, since)
SELECT :sync_id, :reason, :reported_by, UTC_TIMESTAMP(6)
WHERE NOT EXISTS (SELECT 1 FROM ingest_stuck WHERE sync_id = :sync_id);

-- name: delete!
SET STATEMENT innodb_lock_wait_timeout = 0, lock_wait_timeout = 0 FOR
DELETE FROM ingest_stuck WHERE sync_id = :sync_id;
