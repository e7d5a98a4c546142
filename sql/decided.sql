-- ingest_batch_item: rows that are written when their items are decided, because nothing was recorded of them before.

-- fragment: decided_columns
(asset_id, ordinal, asset_type, asset_hash, cover_hash, parent_hash, entry_sha256, decision, reason, waiting_for, last_error,
 batch_id)

-- name: write!
INSERT INTO ingest_batch_item {{decided_columns}} VALUES :rows;

-- name: load!
LOAD DATA LOCAL INFILE 'rows' INTO TABLE ingest_batch_item CHARACTER SET utf8mb4 {{decided_columns}};

-- name: new_ids^
-- The ids of the first item that this session inserted last, and of the last one.
SELECT LAST_INSERT_ID(), id FROM ingest_batch_item FORCE INDEX (by_ordinal) WHERE batch_id = :batch_id AND ordinal = :last;

-- name: ids_at
SELECT id FROM ingest_batch_item FORCE INDEX (by_ordinal)
WHERE batch_id = :batch_id AND ordinal IN :ordinals ORDER BY ordinal;
