-- ingest_batch_removal: what the manifest of a batch takes out of sight. Counts about another digest count for nothing.

-- name: find^
SELECT removed_assets, removed_files, removed_members, expected_assets, expected_files, expected_members, is_held
FROM ingest_batch_removal WHERE batch_id = :batch_id AND manifest_sha256 = :sha256;

-- name: add!
-- Assignments run from left to right: manifest_sha256 is the old one until the end.
INSERT INTO ingest_batch_removal (batch_id, manifest_sha256, removed_assets, removed_files, removed_members)
VALUES (:batch_id, :sha256, :assets, :files, :members)
ON DUPLICATE KEY UPDATE
  removed_assets = IF(manifest_sha256 = :sha256, removed_assets, 0) + :assets,
  removed_files = IF(manifest_sha256 = :sha256, removed_files, 0) + :files,
  removed_members = IF(manifest_sha256 = :sha256, removed_members, 0) + :members,
  expected_assets = IF(manifest_sha256 = :sha256, expected_assets, 0),
  expected_files = IF(manifest_sha256 = :sha256, expected_files, 0),
  expected_members = IF(manifest_sha256 = :sha256, expected_members, 0),
  is_held = IF(manifest_sha256 = :sha256, is_held, 0), manifest_sha256 = :sha256;

-- name: expect!
-- Assignments run from left to right: manifest_sha256 is the old one until the end.
INSERT INTO ingest_batch_removal (batch_id, manifest_sha256, expected_assets, expected_files, expected_members, is_held)
VALUES (:batch_id, :sha256, :assets, :files, :members, :is_held)
ON DUPLICATE KEY UPDATE
  removed_assets = IF(manifest_sha256 = :sha256, removed_assets, 0),
  removed_files = IF(manifest_sha256 = :sha256, removed_files, 0),
  removed_members = IF(manifest_sha256 = :sha256, removed_members, 0),
  expected_assets = :assets, expected_files = :files, expected_members = :members,
  is_held = :is_held, manifest_sha256 = :sha256;

-- name: count_live_files$
SELECT COUNT(*)
FROM (SELECT 1 FROM ingest_batch_item i FORCE INDEX (by_ordinal) STRAIGHT_JOIN asset a ON a.hash = i.asset_hash
      STRAIGHT_JOIN asset_file f ON f.asset_id = a.id
      WHERE i.batch_id = :batch_id AND i.in_manifest = 1 AND i.decision IN :decisions AND f.deleted_at IS NULL
      LIMIT :limit) live;

-- name: end_hold!
UPDATE ingest_batch_removal SET is_held = 0 WHERE batch_id = :batch_id;
