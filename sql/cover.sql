-- asset_cover and asset_other_cover.

-- name: last
SELECT asset_id, cover_hash, path, bytes, sha256, deleted_at IS NOT NULL, synced_at, sync_id, linked_at, linked_by,
       is_delivered, delivered_at, delivered_by
FROM asset_cover WHERE asset_id IN :ids;

-- name: others
SELECT asset_id, cover_hash, path, bytes, sha256, unlinked_at, unlinked_by, delivered_at, delivered_by
FROM asset_other_cover WHERE asset_id IN :ids;

-- name: write_last!
INSERT INTO asset_cover (asset_id, cover_hash, path, bytes, sha256, deleted_at, synced_at, sync_id, linked_at, linked_by,
                         is_delivered, delivered_at, delivered_by)
SELECT j.asset_id, j.cover_hash, j.path, j.bytes, j.sha256, IF(j.deleted, UTC_TIMESTAMP(6), NULL), j.synced_at,
       j.sync_id, j.linked_at, j.linked_by, j.is_delivered, j.delivered_at, j.delivered_by
FROM JSON_TABLE(:rows, '$[*]' COLUMNS (
       asset_id BIGINT UNSIGNED PATH '$[0]', cover_hash CHAR(32) PATH '$[1]', path VARCHAR(1024) PATH '$[2]',
       bytes BIGINT UNSIGNED PATH '$[3]', sha256 CHAR(64) PATH '$[4]', deleted TINYINT PATH '$[5]',
       synced_at DATETIME(6) PATH '$[6]', sync_id CHAR(36) PATH '$[7]', linked_at DATETIME(6) PATH '$[8]',
       linked_by CHAR(36) PATH '$[9]', is_delivered TINYINT PATH '$[10]', delivered_at DATETIME(6) PATH '$[11]',
       delivered_by CHAR(36) PATH '$[12]')) j
ON DUPLICATE KEY UPDATE cover_hash = VALUES(cover_hash), path = VALUES(path), bytes = VALUES(bytes),
       sha256 = VALUES(sha256), synced_at = VALUES(synced_at), sync_id = VALUES(sync_id), linked_at = VALUES(linked_at),
       linked_by = VALUES(linked_by), is_delivered = VALUES(is_delivered), delivered_at = VALUES(delivered_at),
       delivered_by = VALUES(delivered_by),
       deleted_at = IF(VALUES(deleted_at) IS NULL, NULL, IFNULL(deleted_at, VALUES(deleted_at)));

-- name: write_others!
INSERT INTO asset_other_cover (asset_id, cover_hash, path, bytes, sha256, unlinked_at, unlinked_by, delivered_at,
                               delivered_by)
SELECT j.asset_id, j.cover_hash, j.path, j.bytes, j.sha256, j.unlinked_at, j.unlinked_by, j.delivered_at, j.delivered_by
FROM JSON_TABLE(:rows, '$[*]' COLUMNS (
       asset_id BIGINT UNSIGNED PATH '$[0]', cover_hash CHAR(32) PATH '$[1]', path VARCHAR(1024) PATH '$[2]',
       bytes BIGINT UNSIGNED PATH '$[3]', sha256 CHAR(64) PATH '$[4]', unlinked_at DATETIME(6) PATH '$[5]',
       unlinked_by CHAR(36) PATH '$[6]', delivered_at DATETIME(6) PATH '$[7]', delivered_by CHAR(36) PATH '$[8]')) j
ON DUPLICATE KEY UPDATE path = VALUES(path), bytes = VALUES(bytes), sha256 = VALUES(sha256),
       unlinked_at = VALUES(unlinked_at), unlinked_by = VALUES(unlinked_by), delivered_at = VALUES(delivered_at),
       delivered_by = VALUES(delivered_by);
