-- One kind of container, its rows and its members: loaded once with `gallery` and once with `collection` as {{kind}}.

-- fragment: row_columns
c.id, c.hash, c.title, c.deleted_at IS NOT NULL, c.synced_at, c.sync_id, c.titled_at, c.titled_by, c.complete_at,
c.complete_sync_id

-- fragment: row_values
title VARCHAR(1000) PATH '$[1]', deleted TINYINT PATH '$[2]', synced_at DATETIME(6) PATH '$[3]',
sync_id CHAR(36) PATH '$[4]', titled_at DATETIME(6) PATH '$[5]', titled_by CHAR(36) PATH '$[6]',
complete_at DATETIME(6) PATH '$[7]', complete_sync_id CHAR(36) PATH '$[8]'

-- fragment: member_columns
m.{{kind}}_id, m.asset_id, m.position, m.deleted_at IS NOT NULL, m.synced_at, m.sync_id

-- fragment: planned
-- The members that readers see when a planned batch comes to its containers: after it has written its assets.
FROM asset_{{kind}}_item m STRAIGHT_JOIN asset a ON a.id = m.asset_id
LEFT JOIN ingest_batch_item i ON i.batch_id = :batch_id AND i.asset_type = a.asset_type AND i.asset_hash = a.hash
  AND i.in_manifest = 1
WHERE m.{{kind}}_id = :id AND m.deleted_at IS NULL
  AND IF(a.deleted_at IS NULL, IFNULL(i.decision, '') <> 'will_remove', i.decision = 'will_update')

-- name: lock
-- Locked one after another, as they are listed: in order of hash.
SELECT {{row_columns}}
FROM JSON_TABLE(:hashes, '$[*]' COLUMNS (hash CHAR(32) CHARACTER SET ascii COLLATE ascii_nopad_bin PATH '$')) j
STRAIGHT_JOIN asset_{{kind}} c ON c.hash = j.hash FOR UPDATE;

-- name: known
SELECT {{row_columns}} FROM asset_{{kind}} c WHERE c.hash IN :hashes;

-- name: insert
INSERT INTO asset_{{kind}} (hash, title, synced_at, sync_id, titled_at, titled_by, complete_at, complete_sync_id, deleted_at)
SELECT j.hash, j.title, j.synced_at, j.sync_id, j.titled_at, j.titled_by, j.complete_at, j.complete_sync_id,
       IF(j.deleted, UTC_TIMESTAMP(6), NULL)
FROM JSON_TABLE(:rows, '$[*]' COLUMNS (hash CHAR(32) PATH '$[0]', {{row_values}})) j
RETURNING hash, id;

-- name: update!
UPDATE JSON_TABLE(:rows, '$[*]' COLUMNS (id BIGINT UNSIGNED PATH '$[0]', {{row_values}})) j
STRAIGHT_JOIN asset_{{kind}} c ON c.id = j.id
SET c.title = j.title, c.synced_at = j.synced_at, c.sync_id = j.sync_id, c.titled_at = j.titled_at,
    c.titled_by = j.titled_by, c.complete_at = j.complete_at, c.complete_sync_id = j.complete_sync_id,
    c.deleted_at = IF(j.deleted, IFNULL(c.deleted_at, UTC_TIMESTAMP(6)), NULL);

-- name: members
-- All of some containers: what a complete list says of each, or a removal takes out of sight.
SELECT {{member_columns}} FROM asset_{{kind}}_item m WHERE m.{{kind}}_id IN :ids LIMIT :limit;

-- name: named_members
-- Only those that lists name, by primary key: a container may have many more.
SELECT {{member_columns}}
FROM JSON_TABLE(:rows, '$[*]' COLUMNS (id BIGINT UNSIGNED PATH '$[0]', asset_id BIGINT UNSIGNED PATH '$[1]')) j
STRAIGHT_JOIN asset_{{kind}}_item m ON m.{{kind}}_id = j.id AND m.asset_id = j.asset_id;

-- name: planned_members
SELECT a.hash, m.synced_at, m.sync_id
{{planned}};

-- name: count_planned_members$
-- Without members whose assets failed to be removed, and are removed when the batch is imported again.
SELECT COUNT(*)
{{planned}} AND (i.id IS NULL OR i.id NOT IN :removed_again);

-- name: count_out_of_sight$
-- Members that readers do not see of all containers that a batch ever listed, by any bundle or site.
SELECT COUNT(*)
FROM ingest_batch_container c STRAIGHT_JOIN asset_{{kind}} g ON g.hash = c.hash
STRAIGHT_JOIN asset_{{kind}}_item m ON m.{{kind}}_id = g.id
WHERE c.batch_id = :batch_id AND c.type = '{{kind}}' AND (m.deleted_at IS NOT NULL OR g.deleted_at IS NOT NULL);

-- fragment: new_member_columns
({{kind}}_id, asset_id, position, synced_at, sync_id)

-- name: add_members!
INSERT INTO asset_{{kind}}_item {{new_member_columns}} VALUES :rows;

-- name: load_members!
LOAD DATA LOCAL INFILE 'rows' INTO TABLE asset_{{kind}}_item CHARACTER SET utf8mb4 {{new_member_columns}};

-- name: write_members!
INSERT INTO asset_{{kind}}_item {{new_member_columns}} VALUES :rows
ON DUPLICATE KEY UPDATE position = VALUES(position), synced_at = VALUES(synced_at), sync_id = VALUES(sync_id),
       deleted_at = NULL;

-- name: remove_members!
UPDATE JSON_TABLE(:rows, '$[*]' COLUMNS (id BIGINT UNSIGNED PATH '$[0]', asset_id BIGINT UNSIGNED PATH '$[1]')) j
STRAIGHT_JOIN asset_{{kind}}_item m ON m.{{kind}}_id = j.id AND m.asset_id = j.asset_id
SET m.deleted_at = UTC_TIMESTAMP(6), m.synced_at = :synced_at, m.sync_id = :sync_id;
