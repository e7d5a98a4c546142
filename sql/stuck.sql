-- ingest_stuck: bundles that cannot be read or recorded, reported by the scanners of all hosts.

-- name: sync_ids
SELECT sync_id FROM ingest_stuck;

-- name: insert!
INSERT INTO ingest_stuck (sync_id, reason, reported_by, since)
SELECT :sync_id, :reason, :reported_by, UTC_TIMESTAMP(6)
WHERE NOT EXISTS (SELECT 1 FROM ingest_stuck WHERE sync_id = :sync_id);

-- name: delete!
DELETE FROM ingest_stuck WHERE sync_id = :sync_id;
