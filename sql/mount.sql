-- ingest_mount: what each host expects at its mount.root, and what it found there instead.

-- fragment: mount_columns
-- Record: ingestd.store.mount.KnownMount.
host, root, fs_type, source, fs_id, since, accepted_by,
       refused_type, refused_source, refused_fs_id, refused_reason, refused_at

-- fragment: not_refused
refused_type = NULL, refused_source = NULL, refused_fs_id = NULL, refused_reason = NULL, refused_at = NULL

-- name: find^
SELECT {{mount_columns}} FROM ingest_mount WHERE host = :host AND root = :root;

-- name: all
SELECT {{mount_columns}} FROM ingest_mount ORDER BY host, root;

-- name: refused
SELECT {{mount_columns}} FROM ingest_mount WHERE refused_at IS NOT NULL ORDER BY host, root;

-- name: expect!
INSERT INTO ingest_mount (host, root, fs_type, source, fs_id, since, accepted_by)
VALUES (:host, :root, :fs_type, :source, :fs_id, UTC_TIMESTAMP(6), :accepted_by)
ON DUPLICATE KEY UPDATE fs_type = :fs_type, source = :source, fs_id = :fs_id, since = UTC_TIMESTAMP(6),
  accepted_by = :accepted_by, {{not_refused}};

-- name: refuse!
UPDATE ingest_mount SET refused_type = :fs_type, refused_source = :source, refused_fs_id = :fs_id,
       refused_reason = :reason, refused_at = UTC_TIMESTAMP(6)
WHERE host = :host AND root = :root;

-- name: end_refusal!
UPDATE ingest_mount SET {{not_refused}} WHERE host = :host AND root = :root;

-- name: broken_listings
-- Record: ingestd.store.mount.BrokenListing.
SELECT host, root, listing_failed_at, listing_problem FROM ingest_mount
WHERE listing_problem IS NOT NULL ORDER BY host, root;

-- name: note_broken_listing!
UPDATE ingest_mount SET listing_problem = :problem, listing_failed_at = COALESCE(listing_failed_at, UTC_TIMESTAMP(6))
WHERE host = :host AND root = :root;

-- name: end_broken_listing!
UPDATE ingest_mount SET listing_problem = NULL, listing_failed_at = NULL WHERE host = :host AND root = :root;
