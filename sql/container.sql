-- One kind of container, its rows and its members: loaded once with `gallery` and once with `collection` as {{kind}}.

-- fragment: row_columns
id, hash, title, deleted_at IS NOT NULL, synced_at, sync_id, titled_at, titled_by, complete_at, complete_sync_id

-- fragment: planned
-- The members that readers see when a planned batch comes to its containers: after it has written its assets.
FROM asset_{{kind}}_item m STRAIGHT_JOIN asset a ON a.id = m.asset_id
LEFT JOIN ingest_batch_item i ON i.batch_id = :batch_id AND i.asset_type = a.asset_type AND i.asset_hash = a.hash
  AND i.in_manifest = 1
WHERE m.{{kind}}_id = :id AND m.deleted_at IS NULL
  AND IF(a.deleted_at IS NULL, IFNULL(i.decision, '') <> 'will_remove', i.decision = 'will_update')

-- name: lock^
SELECT {{row_columns}} FROM asset_{{kind}} WHERE hash = :hash FOR UPDATE;

-- name: known
SELECT {{row_columns}} FROM asset_{{kind}} WHERE hash IN :hashes;

-- name: insert$
INSERT INTO asset_{{kind}} (hash, title, synced_at, sync_id, titled_at, titled_by, complete_at, complete_sync_id, deleted_at)
VALUES (:hash, :title, :synced_at, :sync_id, :titled_at, :titled_by, :complete_at, :complete_sync_id,
        IF(:deleted, UTC_TIMESTAMP(6), NULL))
RETURNING id;

-- name: update!
UPDATE asset_{{kind}} SET title = :title, synced_at = :synced_at, sync_id = :sync_id, titled_at = :titled_at,
       titled_by = :titled_by, complete_at = :complete_at, complete_sync_id = :complete_sync_id, deleted_at = IF(:deleted, IFNULL(deleted_at, UTC_TIMESTAMP(6)), NULL)
WHERE id = :id;

-- name: members
SELECT asset_id, position, deleted_at IS NOT NULL, synced_at, sync_id FROM asset_{{kind}}_item WHERE {{kind}}_id = :id;

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

-- name: write_members!
INSERT INTO asset_{{kind}}_item ({{kind}}_id, asset_id, position, synced_at, sync_id)
SELECT :id, j.asset_id, j.position, :synced_at, :sync_id
FROM JSON_TABLE(:rows, '$[*]' COLUMNS (asset_id BIGINT UNSIGNED PATH '$[0]', position INT UNSIGNED PATH '$[1]')) j
ON DUPLICATE KEY UPDATE position = VALUES(position), synced_at = VALUES(synced_at), sync_id = VALUES(sync_id),
       deleted_at = NULL;

-- name: remove_members!
UPDATE asset_{{kind}}_item SET deleted_at = UTC_TIMESTAMP(6), synced_at = :synced_at, sync_id = :sync_id
WHERE {{kind}}_id = :id AND asset_id IN :asset_ids;
