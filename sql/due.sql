-- ingest_due: what sweeps look at. A row is a reason to look, not a verdict, and is deleted once nothing is left to do.

-- fragment: given_hashes
JSON_TABLE(:hashes, '$[*]' COLUMNS (hash CHAR(32) CHARACTER SET ascii COLLATE ascii_nopad_bin PATH '$')) j

-- name: look^
-- Whether there may be something to do for the sweeps: to place, to promote or to revive, and to retry.
SELECT EXISTS (SELECT 1 FROM ingest_batch FORCE INDEX (by_placed) WHERE is_placed = 0)
         OR EXISTS (SELECT 1 FROM ingest_order FORCE INDEX (by_placed) WHERE is_placed = 0),
       EXISTS (SELECT 1 FROM ingest_due),
       EXISTS (SELECT 1 FROM import_job FORCE INDEX (claim) WHERE state = 'waiting'),
       EXISTS (SELECT 1 FROM ingest_batch FORCE INDEX (by_retry) WHERE retry_at IS NOT NULL);

-- name: unqueued_actions
-- Which of some actions never_queued may find batches of: mostly none.
SELECT DISTINCT unqueued_action FROM ingest_batch FORCE INDEX (by_unqueued_action) WHERE unqueued_action IN :actions;

-- name: never_queued
-- Consumable batches of an action whose present manifest never had a job of all items since it was recorded (others keep
-- no digest); a cancelled batch stays cancelled. Those that had one are few in the index: `lacks_job` leaves them out.
SELECT b.sync_id, b.manifest_completed_at FROM ingest_batch b FORCE INDEX (by_unqueued_action)
WHERE b.unqueued_action = :action
  AND NOT EXISTS (SELECT 1 FROM import_job j
                  WHERE j.batch_id = b.id
                    AND (j.state = 'cancelled' OR j.id > b.earlier_jobs AND j.manifest_sha256 <=> b.manifest_sha256))
ORDER BY b.manifest_completed_at, b.sync_id LIMIT :limit;

-- name: note!
INSERT INTO ingest_due (kind, batch_id, due_at) VALUES (:kind, :batch_id, UTC_TIMESTAMP(6));

-- name: is_any_awaited$
-- Mostly nothing is, and then the hashes need not be sent.
SELECT EXISTS (SELECT 1 FROM ingest_batch_item FORCE INDEX (revival) WHERE waiting_for IS NOT NULL)
       OR EXISTS (SELECT 1 FROM ingest_batch_missing);

-- name: note_live!
-- The batches that wait for assets which are live now.
INSERT INTO ingest_due (kind, batch_id, due_at)
SELECT 'revival', w.batch_id, UTC_TIMESTAMP(6)
FROM (SELECT i.batch_id FROM {{given_hashes}}
      STRAIGHT_JOIN ingest_batch_item i FORCE INDEX (revival) ON i.waiting_for = j.hash
      UNION
      SELECT m.batch_id FROM {{given_hashes}}
      STRAIGHT_JOIN ingest_batch_missing m FORCE INDEX (revival) ON m.hash = j.hash) w;

-- name: due
-- A time that is farther ahead than anything is put off was written before the clock of the server was set back.
SELECT id, batch_id FROM ingest_due FORCE INDEX (by_time)
WHERE kind = :kind AND (due_at <= UTC_TIMESTAMP(6) OR due_at > UTC_TIMESTAMP(6) + INTERVAL :interval_us MICROSECOND)
ORDER BY due_at LIMIT :limit;

-- name: put_off!
UPDATE ingest_due SET due_at = UTC_TIMESTAMP(6) + INTERVAL :interval_us MICROSECOND WHERE id IN :ids;

-- name: forget!
DELETE FROM ingest_due WHERE id IN :ids;

-- name: awaited
-- Of the next hashes, in order, that items wait for, and that containers wait for: those that are live, and the last one
-- where there may be more.
SELECT 'item', w.hash, a.id IS NOT NULL, w.place = :limit
FROM (SELECT n.hash, ROW_NUMBER() OVER (ORDER BY n.hash) AS place
      FROM (SELECT DISTINCT waiting_for AS hash FROM ingest_batch_item FORCE INDEX (revival)
            WHERE waiting_for > :after_item ORDER BY waiting_for LIMIT :limit) n) w
LEFT JOIN asset a ON a.hash = w.hash AND a.deleted_at IS NULL
WHERE a.id IS NOT NULL OR w.place = :limit
UNION ALL
SELECT 'member', w.hash, a.id IS NOT NULL, w.place = :limit
FROM (SELECT n.hash, ROW_NUMBER() OVER (ORDER BY n.hash) AS place
      FROM (SELECT DISTINCT hash FROM ingest_batch_missing FORCE INDEX (revival)
            WHERE hash > :after_member ORDER BY hash LIMIT :limit) n) w
LEFT JOIN asset a ON a.hash = w.hash AND a.deleted_at IS NULL
WHERE a.id IS NOT NULL OR w.place = :limit;
