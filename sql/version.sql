-- The versions of batches, and those whose order becomes known late.

-- fragment: is_imported
-- Whether the present manifest of a batch `b` was imported, and its last job `j` was not cancelled and did not fail.
(IFNULL(j.state = 'done', 0) AND EXISTS (SELECT 1 FROM import_job d WHERE d.batch_id = b.id AND d.state = 'done'
                                         AND d.id >= b.earlier_jobs AND d.manifest_sha256 = b.manifest_sha256))

-- name: version^
SELECT version_at, sync_id FROM ingest_batch WHERE id = :batch_id;

-- name: versions
SELECT version_at, sync_id FROM ingest_batch WHERE sync_id IN :sync_ids AND version_at IS NOT NULL;

-- name: generations
-- How many batches of its time each of some batches follows, one naming the next as its prior; counted up to a limit,
-- which a circle always reaches. Those that follow none are left out.
WITH RECURSIVE ancestor AS (
  SELECT b.sync_id AS follower, b.sync_id, b.prior_sync_id, b.version_at, 0 AS place
  FROM ingest_batch b WHERE b.sync_id IN :sync_ids
  UNION ALL
  SELECT a.follower, p.sync_id, p.prior_sync_id, p.version_at, a.place + 1
  FROM ancestor a JOIN ingest_batch p
    ON p.sync_id = a.prior_sync_id AND p.version_at = a.version_at AND p.sync_id <> a.sync_id
  WHERE a.place < :limit)
SELECT follower, MAX(place) FROM ancestor WHERE place > 0 GROUP BY follower;

-- name: begin_import!
-- The version is that of all items: it stays where only some of them are imported again.
UPDATE ingest_batch SET status = 'importing',
       imported_version_at = IF(:of_all OR imported_generation IS NULL, :completed_at, imported_version_at),
       imported_generation = IF(:of_all OR imported_generation IS NULL, :generation, imported_generation)
WHERE id = :batch_id;

-- name: unplaced
SELECT sync_id, id FROM ingest_batch WHERE is_placed = 0 ORDER BY id LIMIT :limit;

-- name: place!
UPDATE ingest_batch SET is_placed = 1 WHERE id IN :ids;

-- name: times
SELECT id, version_at FROM ingest_batch WHERE id IN :ids;

-- name: followers
-- The batches of the same time that follow some batches, directly or not, and were imported or are being imported. May be
-- queued again: what is imported.
WITH RECURSIVE follower AS (
  SELECT f.id, f.sync_id, f.version_at
  FROM ingest_batch n JOIN ingest_batch f
    ON f.prior_sync_id = n.sync_id AND f.version_at = n.version_at AND f.id <> n.id
  WHERE n.id IN :ids
  UNION
  SELECT f.id, f.sync_id, f.version_at
  FROM follower p JOIN ingest_batch f
    ON f.prior_sync_id = p.sync_id AND f.version_at = p.version_at AND f.id <> p.id)
SELECT b.id, b.sync_id, b.version_at, b.imported_generation, IFNULL(j.state = 'running', 0), {{is_imported}}
FROM follower f JOIN ingest_batch b ON b.id = f.id
LEFT JOIN import_job j ON j.id = (SELECT MAX(id) FROM import_job WHERE batch_id = b.id)
WHERE b.imported_generation IS NOT NULL OR j.state = 'running';

-- name: has_others$
-- Whether the import of other batches of a time began.
SELECT EXISTS (SELECT 1 FROM ingest_batch
               WHERE version_at = :version_at AND imported_generation IS NOT NULL AND id NOT IN :ids);

-- name: is_imported$
SELECT {{is_imported}} FROM ingest_batch b
LEFT JOIN import_job j ON j.id = (SELECT MAX(id) FROM import_job WHERE batch_id = b.id) WHERE b.id = :batch_id;

-- name: imported_version^
SELECT imported_version_at, imported_generation FROM ingest_batch WHERE id = :batch_id;
