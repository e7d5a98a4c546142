-- ingest_stuck: bundles that cannot be read or recorded, reported by the scanners of all hosts.

-- name: sync_ids
SELECT sync_id FROM ingest_stuck;

-- name: insert!
-- Fails with 1205 at once when another transaction holds the row, and so do the others: discovery waits for no report.
SET STATEMENT innodb_lock_wait_timeout = 0, lock_wait_timeout = 0 FOR
INSERT INTO ingest_stuck (sync_id, reason, reported_by, since, seen_at)
SELECT :sync_id, :reason, :reported_by, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6)
WHERE NOT EXISTS (SELECT 1 FROM ingest_stuck WHERE sync_id = :sync_id);

-- name: refresh!
SET STATEMENT innodb_lock_wait_timeout = 0, lock_wait_timeout = 0 FOR
UPDATE ingest_stuck SET seen_at = UTC_TIMESTAMP(6) WHERE sync_id = :sync_id;

-- name: delete_unlisted!
-- For a host that does not list the bundle. Another one may, and is then stuck with it as long as it refreshes the row.
SET STATEMENT innodb_lock_wait_timeout = 0, lock_wait_timeout = 0 FOR
DELETE FROM ingest_stuck
WHERE sync_id = :sync_id
  AND (reported_by = :host
       OR seen_at NOT BETWEEN UTC_TIMESTAMP(6) - INTERVAL :silence_us MICROSECOND AND UTC_TIMESTAMP(6));

-- name: delete!
SET STATEMENT innodb_lock_wait_timeout = 0, lock_wait_timeout = 0 FOR
DELETE FROM ingest_stuck WHERE sync_id = :sync_id;
