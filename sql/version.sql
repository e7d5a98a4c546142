-- The versions of batches, and those whose order becomes known late.

-- fragment: is_imported
-- Whether nothing of the present manifest of a batch `b` is left to import, so that a sweep may queue it again. Not if its
-- last job `j` failed, or was queued by a sweep and cancelled; another cancelled job has nothing to do with the order.
(b.status IN ('imported', 'partial', 'failed') AND b.failure_count = 0
 AND NOT IFNULL(j.state = 'cancelled' AND j.scope = 'reimport' AND j.requested_by = 'ingestd', 0))

-- name: version^
SELECT version_at, sync_id FROM ingest_batch WHERE id = :batch_id;

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
-- A generation that became lower is for the sweep, too. Assignments run from left to right.
UPDATE ingest_batch SET status = 'importing',
       is_placed = IF(NOT :of_all AND (imported_version_at, imported_generation) <> (:completed_at, :generation), 0, is_placed),
       imported_generation = CASE WHEN imported_version_at IS NULL THEN :generation WHEN NOT :of_all THEN imported_generation
                                  WHEN imported_version_at = :completed_at THEN GREATEST(imported_generation, :generation)
                                  ELSE :generation END,
       imported_version_at = IF(:of_all OR imported_version_at IS NULL, :completed_at, imported_version_at)
WHERE id = :batch_id;

-- name: unplaced
SELECT sync_id, id FROM ingest_batch WHERE is_placed = 0 AND id > :after ORDER BY id LIMIT :limit;

-- name: place!
UPDATE ingest_batch SET is_placed = 1 WHERE id IN :ids;

-- name: newer_now
-- Those imported batches of a time that are newer than a batch of a lower generation, and were older than it.
SELECT sync_id, id FROM ingest_batch FORCE INDEX (by_time)
WHERE version_at = :version_at AND imported_version_at = :version_at
  AND (imported_generation, sync_id) > (:generation, :sync_id) AND (imported_generation, sync_id) < (:before, :sync_id);

-- name: import_again!
UPDATE ingest_batch SET imported_generation = -1, is_placed = 0 WHERE id IN :ids;

-- name: lower!
UPDATE ingest_batch SET imported_generation = :generation WHERE id = :batch_id;

-- name: look_again!
UPDATE ingest_batch SET is_placed = 0 WHERE id = :batch_id;

-- name: times
SELECT id, version_at FROM ingest_batch WHERE id IN :ids;

-- name: followers
-- Some batches, and those of the same time that follow them, directly or not; also those that followed them, before they
-- were delivered again with another time. Those that were imported or are being imported, with the generation of their last
-- import if that was at their present time. Farther ones follow as many as are counted. By prior, whatever else of one time
-- there is.
SET STATEMENT max_recursive_iterations = :limit FOR
WITH RECURSIVE follower AS (
  SELECT n.id, n.sync_id, n.version_at FROM ingest_batch n WHERE n.id IN :ids
  UNION
  SELECT f.id, f.sync_id, f.version_at
  FROM ingest_batch n STRAIGHT_JOIN ingest_batch f FORCE INDEX (by_prior) ON f.prior_sync_id = n.sync_id
  WHERE n.id IN :ids AND f.imported_generation > 0 AND NOT f.version_at <=> n.version_at
  UNION
  SELECT f.id, f.sync_id, f.version_at
  FROM follower p STRAIGHT_JOIN ingest_batch f FORCE INDEX (by_prior)
    ON f.prior_sync_id = p.sync_id AND f.version_at = p.version_at AND f.id <> p.id)
SELECT b.id, b.sync_id, b.version_at, IF(b.imported_version_at = b.version_at, b.imported_generation, NULL), IFNULL(j.state = 'running', 0), {{is_imported}}
FROM follower f STRAIGHT_JOIN ingest_batch b FORCE INDEX (PRIMARY) ON b.id = f.id
LEFT JOIN import_job j ON j.id = (SELECT MAX(id) FROM import_job WHERE batch_id = b.id)
WHERE b.imported_version_at = b.version_at OR j.state = 'running';

-- name: has_others$
-- Whether the import of another batch of a time began.
SELECT EXISTS (SELECT 1 FROM ingest_batch FORCE INDEX (by_time)
               WHERE version_at = :version_at AND imported_generation IS NOT NULL AND id <> :batch_id);

-- name: still_imported$
-- The generation of its last import, if that is of the present manifest.
SELECT IF({{is_imported}}, b.imported_generation, NULL) FROM ingest_batch b
LEFT JOIN import_job j ON j.id = (SELECT MAX(id) FROM import_job WHERE batch_id = b.id) WHERE b.id = :batch_id;

-- name: imported_version^
SELECT imported_version_at, imported_generation FROM ingest_batch WHERE id = :batch_id;
