-- The versions of batches, and those whose order becomes known late.

-- fragment: may_be_queued
-- Whether nothing of the present manifest of a batch `b` is left to import, so that a sweep may have it imported again. Not
-- if its last job `j` failed, or was queued by a sweep and cancelled; another cancelled job has nothing to do with the order.
(b.status NOT IN ('held', 'invalid', 'queued', 'importing') AND b.failure_count = 0
 AND NOT IFNULL(j.state = 'cancelled' AND j.scope = 'reimport' AND j.requested_by = 'ingestd', 0)
 AND NOT EXISTS (SELECT 1 FROM ingest_batch_tally t WHERE t.batch_id = b.id AND t.items > 0 AND t.decision NOT IN
                 ('created', 'updated', 'linked', 'removed', 'skipped', 'deferred', 'failed'))
 AND NOT EXISTS (SELECT 1 FROM ingest_batch_container c WHERE c.batch_id = b.id AND c.in_manifest = 1
                 AND c.decision = 'pending'))

-- fragment: with_last_job
LEFT JOIN import_job j ON j.id = (SELECT MAX(id) FROM import_job WHERE batch_id = b.id)

-- fragment: imported_columns
-- Record: ingestd.store.versions.Imported.
b.id, b.sync_id, b.version_at, b.imported_generation, b.imported_revision, IFNULL(o.revision, 0), IFNULL(j.state = 'running', 0),
       {{may_be_queued}}

-- name: version^
SELECT version_at, sync_id, prior_sync_id IS NOT NULL FROM ingest_batch WHERE id = :batch_id;

-- name: lock_batches
SELECT id FROM ingest_batch FORCE INDEX (PRIMARY) WHERE id IN :ids ORDER BY id FOR UPDATE;

-- name: lock_free_batches
-- Those of some batches whose rows no other transaction holds.
SELECT id FROM ingest_batch FORCE INDEX (PRIMARY) WHERE id IN :ids FOR UPDATE SKIP LOCKED;

-- name: lock_standings
-- Batches as their imports begin; only their own rows are locked. What is asked for besides is read when that is held: see the
-- test. `waits`: jobs wait for the one of this batch.
SELECT {{batch_columns}}, b.version_at, b.imported_version_at, b.imported_generation, b.imported_revision, UTC_TIMESTAMP(6),
       IFNULL((SELECT o.revision FROM ingest_order o WHERE o.version_at = b.version_at), 0),
       EXISTS (SELECT 1 FROM ingest_batch_item i WHERE i.batch_id = b.id)
         OR EXISTS (SELECT 1 FROM ingest_batch_container c WHERE c.batch_id = b.id)
         OR EXISTS (SELECT 1 FROM ingest_batch_removal r WHERE r.batch_id = b.id),
       EXISTS (SELECT 1 FROM ingest_batch s FORCE INDEX (by_prior) JOIN import_job w ON w.active_batch_id = s.id
               WHERE s.prior_sync_id = b.sync_id AND s.id <> b.id AND w.state = 'waiting'),
       IFNULL(b.staged_sha256 = b.manifest_sha256, 0)
FROM ingest_batch b FORCE INDEX (PRIMARY) WHERE b.id IN :ids FOR UPDATE;

-- name: undecided
SELECT ordinal FROM ingest_batch_item FORCE INDEX (by_ordinal)
WHERE batch_id = :batch_id AND in_manifest = 1 AND (decision NOT IN :succeeded OR asset_type = 'cover')
ORDER BY ordinal LIMIT :limit;

-- name: note_staged!
UPDATE ingest_batch SET staged_sha256 = manifest_sha256 WHERE id = :batch_id;

-- name: versions
SELECT version_at, sync_id FROM ingest_batch WHERE sync_id IN :sync_ids AND version_at IS NOT NULL;

-- name: ancestors
-- Some batches with all that they follow, one naming the next as its prior, as far as generations are counted: each once,
-- even in a circle.
SET STATEMENT max_recursive_iterations = :limit FOR
WITH RECURSIVE ancestor AS (
  SELECT b.sync_id, b.prior_sync_id, b.version_at FROM ingest_batch b WHERE b.sync_id IN :sync_ids
  UNION
  SELECT p.sync_id, p.prior_sync_id, p.version_at
  FROM ancestor a STRAIGHT_JOIN ingest_batch p
    ON p.sync_id = a.prior_sync_id AND p.version_at = a.version_at AND p.sync_id <> a.sync_id)
SELECT sync_id, version_at, prior_sync_id FROM ancestor;

-- name: begin_import!
-- The version is that of all items: it stays where only some of them are imported again. Then a sweep has to look again.
UPDATE ingest_batch SET status = 'importing',
       is_placed = IF(NOT :of_all AND (imported_version_at, imported_generation, imported_revision)
                                      <> (:completed_at, :generation, :revision), 0, is_placed),
       imported_version_at = IF(:of_all OR imported_generation IS NULL, :completed_at, imported_version_at),
       imported_revision = IF(:of_all OR imported_generation IS NULL, :revision, imported_revision),
       imported_generation = IF(:of_all OR imported_generation IS NULL, :generation, imported_generation)
WHERE id = :batch_id;

-- name: unplaced
SELECT sync_id, id FROM ingest_batch WHERE is_placed = 0 AND id > :after ORDER BY id LIMIT :limit;

-- name: place!
UPDATE ingest_batch SET is_placed = 1 WHERE id IN :ids;

-- name: look_again!
UPDATE ingest_batch SET is_placed = 0 WHERE id = :batch_id;

-- name: times
SELECT id, version_at FROM ingest_batch WHERE id IN :ids;

-- name: followers
-- Some batches, and those of the same time that follow them, directly or not; those that were imported or are being
-- imported. Farther ones follow as many as are counted. By prior, whatever else of one time there is.
SET STATEMENT max_recursive_iterations = :limit FOR
WITH RECURSIVE follower AS (
  SELECT n.id, n.sync_id, n.version_at FROM ingest_batch n WHERE n.id IN :ids
  UNION
  SELECT f.id, f.sync_id, f.version_at
  FROM follower p STRAIGHT_JOIN ingest_batch f FORCE INDEX (by_prior)
    ON f.prior_sync_id = p.sync_id AND f.version_at = p.version_at AND f.id <> p.id)
SELECT {{imported_columns}}
FROM follower f STRAIGHT_JOIN ingest_batch b FORCE INDEX (PRIMARY) ON b.id = f.id {{with_last_job}}
LEFT JOIN ingest_order o ON o.version_at = b.version_at
WHERE b.imported_generation IS NOT NULL OR j.state = 'running';

-- name: outdated
-- Batches of a time whose last import began with another revision of its order, and that may be queued.
SELECT {{imported_columns}}
FROM ingest_order o STRAIGHT_JOIN ingest_batch b FORCE INDEX (by_time) ON b.version_at = o.version_at {{with_last_job}}
WHERE o.version_at = :version_at AND b.imported_revision <> o.revision AND {{may_be_queued}}
LIMIT :limit;

-- name: has_former_runs$
-- Whether a batch of a time is being imported whose import began with another revision of its order.
SELECT EXISTS (SELECT 1 FROM import_job j FORCE INDEX (claim) STRAIGHT_JOIN ingest_batch b ON b.id = j.batch_id
               JOIN ingest_order o ON o.version_at = b.version_at
               WHERE j.state = 'running' AND b.version_at = :version_at AND NOT b.imported_revision <=> o.revision);

-- name: revised_times
-- Those that no transaction holds: a run that revises a time may plan for minutes afterwards.
SELECT version_at, revision, awaits_runs FROM ingest_order WHERE is_placed = 0 ORDER BY version_at LIMIT :limit
FOR UPDATE SKIP LOCKED;

-- name: end_runs!
-- Runs that began before the last revision may have overwritten what newer ones wrote that were imported since.
UPDATE ingest_order SET awaits_runs = 0, revision = revision + 1 WHERE version_at = :version_at AND awaits_runs = 1;

-- name: place_time!
UPDATE ingest_order SET is_placed = 1 WHERE version_at = :version_at AND revision = :revision;

-- name: revise!
-- Where a batch had another time or prior before: counts that as a change of the order of that time if it followed another
-- then, or if others followed it that it has left. Another that revises the same time commits soon, or plans for minutes.
SET STATEMENT innodb_lock_wait_timeout = 1 FOR INSERT INTO ingest_order (version_at)
SELECT :version_at FROM ingest_batch b
WHERE b.id = :batch_id AND NOT (b.version_at <=> :version_at AND b.prior_sync_id <=> :prior_sync_id)
  AND (EXISTS (SELECT 1 FROM ingest_batch p
               WHERE p.sync_id = :prior_sync_id AND p.version_at = :version_at AND p.id <> b.id)
       OR (NOT b.version_at <=> :version_at
           AND EXISTS (SELECT 1 FROM ingest_batch f FORCE INDEX (by_prior)
                       WHERE f.prior_sync_id = b.sync_id AND f.version_at = :version_at AND f.id <> b.id)))
ON DUPLICATE KEY UPDATE revision = revision + 1, is_placed = 0, awaits_runs = 1;

-- name: place_of^
SELECT version_at, prior_sync_id FROM ingest_batch WHERE id = :batch_id;

-- name: has_others$
-- Whether the import of another batch of a time began.
SELECT EXISTS (SELECT 1 FROM ingest_batch FORCE INDEX (by_time)
               WHERE version_at = :version_at AND imported_generation IS NOT NULL AND id <> :batch_id);

-- name: imported_order^
-- The order with which its last import began, if a sweep may queue it again.
SELECT b.imported_generation, b.imported_revision FROM ingest_batch b {{with_last_job}}
WHERE b.id = :batch_id AND {{may_be_queued}};

-- name: imported_version^
SELECT imported_version_at, imported_generation FROM ingest_batch WHERE id = :batch_id;
