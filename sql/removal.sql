-- ingest_batch_removal: what a batch takes out of sight: so far under any manifest, and as planned for the present one.

-- fragment: counts
SELECT removed_assets, removed_files, removed_members,
       IF(manifest_sha256 <=> :sha256, expected_assets, removed_assets),
       IF(manifest_sha256 <=> :sha256, expected_files, removed_files),
       IF(manifest_sha256 <=> :sha256, expected_members, removed_members),
       refused_assets, refused_files, refused_members, approved, is_held
FROM ingest_batch_removal WHERE batch_id = :batch_id

-- name: find^
{{counts}};

-- name: lock^
{{counts}} FOR UPDATE;

-- name: add!
INSERT INTO ingest_batch_removal (batch_id, manifest_sha256, removed_assets, removed_files, removed_members, approved)
VALUES (:batch_id, :sha256, :assets, :files, :members, :approved)
ON DUPLICATE KEY UPDATE
  removed_assets = removed_assets + :assets, removed_files = removed_files + :files,
  removed_members = removed_members + :members, approved = approved + :approved;

-- name: recount!
UPDATE ingest_batch_removal
SET removed_assets = :assets, removed_files = :files, removed_members = :members, approved = :approved
WHERE batch_id = :batch_id;

-- name: expect!
INSERT INTO ingest_batch_removal (batch_id, manifest_sha256, expected_assets, expected_files, expected_members)
VALUES (:batch_id, :sha256, :assets, :files, :members)
ON DUPLICATE KEY UPDATE
  expected_assets = :assets, expected_files = :files, expected_members = :members, manifest_sha256 = :sha256;

-- name: hold!
UPDATE ingest_batch_removal
SET is_held = 1, refused_assets = expected_assets, refused_files = expected_files, refused_members = expected_members
WHERE batch_id = :batch_id;

-- name: end_hold!
UPDATE ingest_batch_removal SET is_held = 0, refused_assets = 0, refused_files = 0, refused_members = 0
WHERE batch_id = :batch_id;

-- name: approve!
UPDATE ingest_batch_removal SET approved = removed_assets + removed_files + removed_members WHERE batch_id = :batch_id;

-- name: discard_plan!
UPDATE ingest_batch_removal
SET expected_assets = removed_assets, expected_files = removed_files, expected_members = removed_members
WHERE batch_id = :batch_id;

-- name: count_live_files$
SELECT COUNT(*)
FROM (SELECT 1 FROM ingest_batch_item i FORCE INDEX (by_ordinal) STRAIGHT_JOIN asset a ON a.hash = i.asset_hash
      STRAIGHT_JOIN asset_file f ON f.asset_id = a.id
      WHERE i.batch_id = :batch_id AND i.in_manifest = 1 AND i.decision IN :decisions AND a.deleted_at IS NULL
        AND f.deleted_at IS NULL
      LIMIT :limit) live;

-- name: count_covers_of_removed$
-- Covers to be removed whose assets are to be removed, too. Items that failed keep that decision until they are removed.
SELECT COUNT(*)
FROM ingest_batch_item c STRAIGHT_JOIN asset a ON a.hash = c.parent_hash
STRAIGHT_JOIN ingest_batch_item i ON i.batch_id = c.batch_id AND i.asset_type = a.asset_type AND i.asset_hash = a.hash
WHERE c.batch_id = :batch_id AND c.asset_type = 'cover' AND c.in_manifest = 1 AND i.in_manifest = 1
  AND (c.decision = 'will_remove' OR c.id IN :removed_again)
  AND (i.decision = 'will_remove' OR i.id IN :removed_again);

-- name: out_of_sight^
-- Removed assets, and dropped files and covers, of all items that a batch ever listed, by any bundle or site.
SELECT COUNT(DISTINCT IF(i.asset_type <> 'cover' AND a.deleted_at IS NOT NULL, a.id, NULL)),
       COUNT(DISTINCT IF(f.deleted_at IS NOT NULL, f.asset_id, NULL), f.variant)
       + COUNT(DISTINCT IF(i.asset_type = 'cover' AND c.deleted_at IS NOT NULL, c.asset_id, NULL))
FROM ingest_batch_item i
STRAIGHT_JOIN asset a ON a.hash = IF(i.asset_type = 'cover', i.parent_hash, i.asset_hash)
LEFT JOIN asset_file f ON f.asset_id = a.id AND i.asset_type <> 'cover'
LEFT JOIN asset_cover c ON c.asset_id = a.id AND i.asset_type = 'cover'
WHERE i.batch_id = :batch_id;
