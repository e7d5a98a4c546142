-- ingest_batch_container: the galleries and collections that a manifest lists, and what was decided of them.

-- name: existing
SELECT id, type, hash, entry_sha256, in_manifest, decision FROM ingest_batch_container WHERE batch_id = :batch_id;

-- fragment: staged_columns
(ordinal, type, hash, entry_sha256, batch_id, decision)

-- name: stage!
INSERT INTO ingest_batch_container {{staged_columns}} VALUES :rows;

-- name: load_staged!
LOAD DATA LOCAL INFILE 'rows' INTO TABLE ingest_batch_container CHARACTER SET utf8mb4 {{staged_columns}};

-- name: restage!
UPDATE JSON_TABLE(:rows, '$[*]' COLUMNS (
       id BIGINT UNSIGNED PATH '$[0]', ordinal INT UNSIGNED PATH '$[1]', entry_sha256 CHAR(64) PATH '$[2]')) j
STRAIGHT_JOIN ingest_batch_container c ON c.id = j.id
SET c.ordinal = j.ordinal, c.entry_sha256 = j.entry_sha256, c.in_manifest = 1, c.decision = 'pending', c.reason = NULL,
    c.missing = NULL, c.last_error = NULL, c.updated_at = UTC_TIMESTAMP(6);

-- name: drop!
UPDATE ingest_batch_container SET in_manifest = 0, missing = NULL, updated_at = UTC_TIMESTAMP(6) WHERE id IN :ids;

-- name: reset!
UPDATE ingest_batch_container SET decision = 'pending', reason = NULL, missing = NULL, last_error = NULL,
       updated_at = UTC_TIMESTAMP(6)
WHERE batch_id = :batch_id AND in_manifest = 1 AND decision IN :decisions;

-- name: tally
SELECT decision, COUNT(*) FROM ingest_batch_container WHERE batch_id = :batch_id AND in_manifest = 1 GROUP BY decision;

-- name: undecided
SELECT id, type, hash, decision = 'deferred' FROM ingest_batch_container
WHERE batch_id = :batch_id AND in_manifest = 1 AND decision IN :decisions ORDER BY ordinal;

-- name: decide!
UPDATE JSON_TABLE(:rows, '$[*]' COLUMNS (
       id BIGINT UNSIGNED PATH '$[0]', decision VARCHAR(16) PATH '$[1]', reason VARCHAR(32) PATH '$[2]',
       missing LONGTEXT PATH '$[3]', target_ids LONGTEXT PATH '$[4]', last_error TEXT PATH '$[5]')) j
STRAIGHT_JOIN ingest_batch_container c ON c.id = j.id
SET c.decision = j.decision, c.reason = j.reason, c.missing = j.missing, c.target_ids = j.target_ids,
    c.last_error = j.last_error, c.updated_at = UTC_TIMESTAMP(6);

-- name: note_missing!
INSERT INTO ingest_batch_missing (container_id, hash, batch_id)
SELECT j.container_id, j.hash, :batch_id
FROM JSON_TABLE(:rows, '$[*]' COLUMNS (container_id BIGINT UNSIGNED PATH '$[0]', hash CHAR(32) PATH '$[1]')) j
ON DUPLICATE KEY UPDATE batch_id = VALUES(batch_id);

-- name: forget_missing!
DELETE FROM ingest_batch_missing WHERE container_id IN :container_ids;
