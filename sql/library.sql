-- The library. Writers lock their assets in order of hash first; everything below hangs on those locks.

-- fragment: new_asset
(asset_type, hash, title, path, entry_sha256, documents_sha256, synced_at, sync_id)

-- name: insert_assets!
INSERT INTO asset {{new_asset}} VALUES :rows;

-- name: load_assets!
LOAD DATA LOCAL INFILE 'rows' INTO TABLE asset CHARACTER SET utf8mb4 {{new_asset}};

-- name: new_ids^
-- The ids of the first asset that this session inserted last, and of the last one.
SELECT LAST_INSERT_ID(), id FROM asset WHERE hash = :last;

-- name: insert_tombstones!
INSERT INTO asset (asset_type, hash, title, path, synced_at, sync_id, deleted_at)
SELECT j.asset_type, j.hash, j.title, j.path, :synced_at, :sync_id, UTC_TIMESTAMP(6)
FROM JSON_TABLE(:rows, '$[*]' COLUMNS (
       asset_type VARCHAR(32) PATH '$[0]', hash CHAR(32) PATH '$[1]', title VARCHAR(1000) PATH '$[2]',
       path VARCHAR(1024) PATH '$[3]')) j;

-- name: insert_named!
-- Assets that are named, but neither delivered nor removed yet.
INSERT INTO asset (hash, deleted_at)
SELECT j.hash, UTC_TIMESTAMP(6)
FROM JSON_TABLE(:hashes, '$[*]' COLUMNS (hash CHAR(32) PATH '$')) j;

-- name: bury_assets!
-- Removals of assets that were only named before.
UPDATE JSON_TABLE(:rows, '$[*]' COLUMNS (
       id BIGINT UNSIGNED PATH '$[0]', asset_type VARCHAR(32) PATH '$[1]', title VARCHAR(1000) PATH '$[2]',
       path VARCHAR(1024) PATH '$[3]')) j
STRAIGHT_JOIN asset a ON a.id = j.id
SET a.asset_type = j.asset_type, a.title = j.title, a.path = j.path, a.synced_at = :synced_at, a.sync_id = :sync_id,
    a.updated_at = UTC_TIMESTAMP(6);

-- name: update_assets!
-- `is_new`: an asset that was only named before.
UPDATE JSON_TABLE(:rows, '$[*]' COLUMNS (
       id BIGINT UNSIGNED PATH '$[0]', asset_type VARCHAR(32) PATH '$[1]', is_new TINYINT PATH '$[2]',
       title VARCHAR(1000) PATH '$[3]', path VARCHAR(1024) PATH '$[4]',
       entry_sha256 CHAR(64) PATH '$[5]', documents_sha256 CHAR(64) PATH '$[6]')) j
STRAIGHT_JOIN asset a ON a.id = j.id
SET a.asset_type = j.asset_type, a.created_at = IF(j.is_new, UTC_TIMESTAMP(6), a.created_at),
    a.title = j.title, a.path = j.path, a.entry_sha256 = j.entry_sha256, a.documents_sha256 = j.documents_sha256,
    a.synced_at = :synced_at, a.sync_id = :sync_id, a.updated_at = UTC_TIMESTAMP(6), a.deleted_at = NULL;

-- name: advance_assets!
UPDATE asset SET synced_at = :synced_at, sync_id = :sync_id WHERE id IN :ids;

-- name: advance_range!
UPDATE asset SET synced_at = :synced_at, sync_id = :sync_id WHERE id BETWEEN :first AND :last;

-- name: remove_assets!
UPDATE asset SET deleted_at = UTC_TIMESTAMP(6), updated_at = UTC_TIMESTAMP(6), synced_at = :synced_at,
       sync_id = :sync_id
WHERE id IN :ids;

-- name: live_files
SELECT asset_id, variant FROM asset_file WHERE asset_id IN :ids AND deleted_at IS NULL;

-- name: remove_files!
UPDATE JSON_TABLE(:rows, '$[*]' COLUMNS (
       asset_id BIGINT UNSIGNED PATH '$[0]',
       variant VARCHAR(64) CHARACTER SET ascii COLLATE ascii_nopad_bin PATH '$[1]')) j
STRAIGHT_JOIN asset_file f ON f.asset_id = j.asset_id AND f.variant = j.variant
SET f.deleted_at = UTC_TIMESTAMP(6);

-- fragment: file_columns
(asset_id, variant, path, bytes, sha256, synced_at, sync_id)

-- name: add_files!
INSERT INTO asset_file {{file_columns}} VALUES :rows;

-- name: load_files!
LOAD DATA LOCAL INFILE 'rows' INTO TABLE asset_file CHARACTER SET utf8mb4 {{file_columns}};

-- name: write_files!
INSERT INTO asset_file {{file_columns}} VALUES :rows
ON DUPLICATE KEY UPDATE path = VALUES(path), bytes = VALUES(bytes), sha256 = VALUES(sha256), deleted_at = NULL,
       synced_at = VALUES(synced_at), sync_id = VALUES(sync_id);

-- fragment: source_columns
(asset_id, document_sha256, document, synced_at, sync_id)

-- fragment: ai_run_columns
(asset_id, analysis_kind, document_sha256, document, synced_at, sync_id)

-- name: retire_sources!
UPDATE asset_source SET is_current = 0 WHERE asset_id IN :ids AND is_current = 1;

-- name: add_sources!
INSERT INTO asset_source {{source_columns}} VALUES :rows;

-- name: load_sources!
LOAD DATA LOCAL INFILE 'rows' INTO TABLE asset_source CHARACTER SET utf8mb4 {{source_columns}};

-- name: write_sources!
INSERT INTO asset_source {{source_columns}} VALUES :rows
ON DUPLICATE KEY UPDATE is_current = 1, synced_at = VALUES(synced_at), sync_id = VALUES(sync_id);

-- name: retire_ai_runs!
UPDATE asset_ai_run SET is_current = 0 WHERE asset_id IN :ids AND is_current = 1;

-- name: add_ai_runs!
INSERT INTO asset_ai_run {{ai_run_columns}} VALUES :rows;

-- name: load_ai_runs!
LOAD DATA LOCAL INFILE 'rows' INTO TABLE asset_ai_run CHARACTER SET utf8mb4 {{ai_run_columns}};

-- name: write_ai_runs!
INSERT INTO asset_ai_run {{ai_run_columns}} VALUES :rows
ON DUPLICATE KEY UPDATE is_current = 1, synced_at = VALUES(synced_at), sync_id = VALUES(sync_id);

-- name: hashes
SELECT hash FROM asset WHERE id IN :ids;

-- name: lock_shared
-- Those that are not live, too: a condition would let go of them again.
SELECT a.hash, a.id, a.deleted_at IS NULL
FROM JSON_TABLE(:hashes, '$[*]' COLUMNS (hash CHAR(32) CHARACTER SET ascii COLLATE ascii_nopad_bin PATH '$')) j
STRAIGHT_JOIN asset a ON a.hash = j.hash LOCK IN SHARE MODE;

-- name: named
SELECT hash, id, deleted_at IS NULL FROM asset WHERE hash IN :hashes;
