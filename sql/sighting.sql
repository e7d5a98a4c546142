-- ingest_sighting: the manifest that a host saw last of a batch whose manifest changed.

-- name: find^
-- What the host saw last, how often it found a change, whether another one is too early to be recorded; the manifest
-- that was recorded before the present one, and whether that was replaced within a day.
SELECT s.manifest_sha256, s.change_count,
       s.change_count > :free AND s.changed_at > UTC_TIMESTAMP(6) - INTERVAL
         LEAST(86400000000, CAST(:first_us * POW(2, LEAST(s.change_count, 60) - :free - 1) AS UNSIGNED)) MICROSECOND,
       b.former_sha256, b.manifest_changed_at > UTC_TIMESTAMP(6) - INTERVAL 1 DAY
FROM ingest_batch b LEFT JOIN ingest_sighting s ON s.batch_id = b.id AND s.host = :host AND s.root = :root
WHERE b.id = :batch_id;

-- name: note_change!
-- Assignments run from left to right. After a week without a change, all former ones are forgotten.
INSERT INTO ingest_sighting (batch_id, host, root, manifest_sha256, change_count, changed_at)
VALUES (:batch_id, :host, :root, :sha256, 1, UTC_TIMESTAMP(6))
ON DUPLICATE KEY UPDATE
  change_count = IF(changed_at > UTC_TIMESTAMP(6) - INTERVAL 7 DAY, change_count + 1, 1),
  changed_at = UTC_TIMESTAMP(6), manifest_sha256 = :sha256, disputed_since = NULL;

-- name: agree!
INSERT INTO ingest_sighting (batch_id, host, root, manifest_sha256) VALUES (:batch_id, :host, :root, :sha256)
ON DUPLICATE KEY UPDATE manifest_sha256 = :sha256, disputed_since = NULL;

-- name: dispute!
INSERT INTO ingest_sighting (batch_id, host, root, manifest_sha256, disputed_since)
SELECT :batch_id, :host, :root, :sha256, UTC_TIMESTAMP(6)
WHERE NOT EXISTS (SELECT 1 FROM ingest_sighting WHERE batch_id = :batch_id AND host = :host AND root = :root
                  AND disputed_since IS NOT NULL)
ON DUPLICATE KEY UPDATE disputed_since = UTC_TIMESTAMP(6);
