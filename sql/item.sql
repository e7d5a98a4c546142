-- ingest_batch_item: the items that a manifest lists, and what was decided of them.

-- name: has_any
SELECT 1 FROM ingest_batch_item WHERE batch_id = :batch_id LIMIT 1;

-- fragment: staged_rows
-- As in library.sql: one text.
SELECT JSON_ARRAYAGG(JSON_ARRAY(i.id, i.ordinal, i.asset_type, i.asset_hash, i.parent_key, i.entry_sha256, i.in_manifest,
                                i.decision, i.reason, i.waiting_for))

-- name: existing$
{{staged_rows}}
FROM JSON_TABLE(:rows, '$[*]' COLUMNS (
       asset_type VARCHAR(32) CHARACTER SET ascii COLLATE ascii_nopad_bin PATH '$[0]',
       asset_hash VARCHAR(32) CHARACTER SET ascii COLLATE ascii_nopad_bin PATH '$[1]',
       parent_key VARCHAR(32) CHARACTER SET ascii COLLATE ascii_nopad_bin PATH '$[2]')) j
STRAIGHT_JOIN ingest_batch_item i FORCE INDEX (identity)
  ON i.batch_id = :batch_id AND i.asset_type = j.asset_type AND i.asset_hash = j.asset_hash AND i.parent_key = j.parent_key;

-- name: count_listed
SELECT COUNT(*) FROM ingest_batch_item WHERE batch_id = :batch_id AND in_manifest = 1;

-- name: at$
{{staged_rows}}
FROM ingest_batch_item i FORCE INDEX (by_ordinal)
WHERE i.batch_id = :batch_id AND i.ordinal >= :first AND i.ordinal < :end AND i.in_manifest = 1;

-- fragment: staged_columns
(ordinal, asset_type, asset_hash, cover_hash, parent_hash, entry_sha256, decision, reason, waiting_for, last_error, batch_id)

-- name: stage!
INSERT INTO ingest_batch_item {{staged_columns}} VALUES :rows;

-- name: load_staged!
LOAD DATA LOCAL INFILE 'rows' INTO TABLE ingest_batch_item CHARACTER SET utf8mb4 {{staged_columns}};

-- name: stage_decided!
-- Items that were decided already; those without an error name their assets, or their covers' parents.
INSERT INTO ingest_batch_item (batch_id, ordinal, asset_type, asset_hash, cover_hash, parent_hash, entry_sha256,
                               decision, reason, waiting_for, last_error, asset_id, updated_at)
SELECT j.batch_id, j.ordinal, j.asset_type, j.asset_hash, j.cover_hash, j.parent_hash, j.entry_sha256,
       j.decision, j.reason, j.waiting_for, j.last_error, IF(j.last_error IS NULL, a.id, NULL), UTC_TIMESTAMP(6)
FROM JSON_TABLE(:rows, '$[*]' COLUMNS (
       ordinal INT UNSIGNED PATH '$[0]', asset_type VARCHAR(32) PATH '$[1]', asset_hash VARCHAR(32) PATH '$[2]',
       cover_hash CHAR(32) PATH '$[3]', parent_hash VARCHAR(32) PATH '$[4]', entry_sha256 CHAR(64) PATH '$[5]',
       decision VARCHAR(16) PATH '$[6]', reason VARCHAR(32) PATH '$[7]', waiting_for CHAR(32) PATH '$[8]',
       last_error TEXT PATH '$[9]', batch_id BIGINT UNSIGNED PATH '$[10]')) j
LEFT JOIN asset a
  ON a.hash = CONVERT(IF(j.asset_type = 'cover', j.parent_hash, j.asset_hash) USING ascii) COLLATE ascii_nopad_bin;

-- name: restage!
-- Only a row that keeps what was decided is failed or deferred here; it keeps its error, too.
UPDATE JSON_TABLE(:rows, '$[*]' COLUMNS (
       id BIGINT UNSIGNED PATH '$[0]', ordinal INT UNSIGNED PATH '$[1]', cover_hash CHAR(32) PATH '$[2]',
       entry_sha256 CHAR(64) PATH '$[3]', decision VARCHAR(16) PATH '$[4]', reason VARCHAR(32) PATH '$[5]',
       waiting_for CHAR(32) PATH '$[6]', last_error TEXT PATH '$[7]')) j
STRAIGHT_JOIN ingest_batch_item i ON i.id = j.id
SET i.ordinal = j.ordinal, i.cover_hash = j.cover_hash, i.entry_sha256 = j.entry_sha256, i.in_manifest = 1,
    i.decision = j.decision, i.reason = j.reason, i.waiting_for = j.waiting_for,
    i.last_error = IF(j.decision IN ('failed', 'deferred'), i.last_error, j.last_error), i.updated_at = UTC_TIMESTAMP(6);

-- name: drop!
UPDATE ingest_batch_item SET in_manifest = 0, waiting_for = NULL, updated_at = UTC_TIMESTAMP(6) WHERE id IN :ids;

-- name: drop_from!
UPDATE ingest_batch_item SET in_manifest = 0, waiting_for = NULL, updated_at = UTC_TIMESTAMP(6)
WHERE batch_id = :batch_id AND ordinal >= :first AND in_manifest = 1;

-- name: reset!
UPDATE ingest_batch_item SET decision = 'pending', reason = NULL, waiting_for = NULL, last_error = NULL, crash_count = 0,
       updated_at = UTC_TIMESTAMP(6)
WHERE batch_id = :batch_id AND in_manifest = 1 AND decision IN :decisions;

-- name: tally
SELECT decision, reason, items FROM ingest_batch_tally WHERE batch_id = :batch_id AND items > 0;

-- name: clear_tally!
UPDATE ingest_batch_tally SET items = 0 WHERE batch_id = :batch_id;

-- name: count_tally!
INSERT INTO ingest_batch_tally (batch_id, decision, reason, items)
SELECT :batch_id, decision, IFNULL(reason, ''), COUNT(*)
FROM ingest_batch_item WHERE batch_id = :batch_id AND in_manifest = 1 GROUP BY decision, reason
ON DUPLICATE KEY UPDATE items = VALUES(items);

-- name: shift_tally*!
INSERT INTO ingest_batch_tally (batch_id, decision, reason, items) VALUES (:batch_id, :decision, :reason, :items)
ON DUPLICATE KEY UPDATE items = items + VALUES(items);

-- fragment: as_text
-- As in library.sql: one text, of rows in any order.
SELECT JSON_ARRAYAGG(JSON_ARRAY(c.id, c.ordinal, c.crash_count, c.decision, c.reason)) FROM

-- name: chunk$
-- Always in order of the index: sorting the remaining items for each chunk would cost the square of the batch.
{{as_text}} (
  SELECT id, ordinal, crash_count, decision, IFNULL(reason, '') AS reason FROM ingest_batch_item FORCE INDEX (by_ordinal)
  WHERE batch_id = :batch_id AND in_manifest = 1 AND ordinal > :after AND decision IN :decisions
    AND (asset_type = 'cover') = :covers
  ORDER BY ordinal LIMIT :limit) c;

-- name: revival_chunk$
{{as_text}} (
  SELECT i.id, i.ordinal, i.crash_count, i.decision, IFNULL(i.reason, '') AS reason
  FROM ingest_batch_item i FORCE INDEX (by_ordinal)
  JOIN asset a ON a.hash = i.waiting_for AND a.deleted_at IS NULL
  WHERE i.batch_id = :batch_id AND i.in_manifest = 1 AND i.ordinal > :after AND i.decision = 'deferred'
    AND (i.asset_type = 'cover') = :covers
  ORDER BY i.ordinal LIMIT :limit) c;

-- name: contested_covers
-- What the items of a batch say about the covers of those assets of which one such item failed.
WITH statement AS (
  SELECT IF(asset_type = 'cover', parent_hash, asset_hash) AS asset, IF(asset_type = 'cover', asset_hash, cover_hash) AS cover,
         asset_type <> 'cover' AS is_entry, id, ordinal, crash_count, decision, IFNULL(reason, '') AS reason
  FROM ingest_batch_item
  WHERE batch_id = :batch_id AND in_manifest = 1 AND (asset_type = 'cover' OR cover_hash IS NOT NULL))
SELECT asset, cover, is_entry, id, ordinal, crash_count, decision, reason FROM statement
WHERE asset IN (SELECT asset FROM statement WHERE decision = 'failed') ORDER BY ordinal;

-- name: failed
SELECT id FROM ingest_batch_item WHERE id IN :ids AND decision = 'failed';

-- name: decide!
-- Decisions with an error of their own, which are about no asset.
UPDATE JSON_TABLE(:rows, '$[*]' COLUMNS (
       id BIGINT UNSIGNED PATH '$[0]', decision VARCHAR(16) PATH '$[1]', reason VARCHAR(32) PATH '$[2]',
       waiting_for CHAR(32) PATH '$[3]', last_error TEXT PATH '$[4]')) j
STRAIGHT_JOIN ingest_batch_item i ON i.id = j.id
SET i.decision = j.decision, i.reason = j.reason, i.waiting_for = j.waiting_for, i.asset_id = NULL,
    i.last_error = j.last_error, i.updated_at = UTC_TIMESTAMP(6);

-- name: decide_alike!
-- The same decision for many items: reading the ids of their assets here is cheaper than sending them.
UPDATE ingest_batch_item i LEFT JOIN asset a ON a.hash = IF(i.asset_type = 'cover', i.parent_hash, i.asset_hash)
SET i.decision = :decision, i.reason = :reason, i.waiting_for = NULL, i.last_error = NULL,
    i.asset_id = a.id, i.updated_at = UTC_TIMESTAMP(6)
WHERE i.id IN :ids;

-- name: record_crash!
UPDATE ingest_batch_item SET crash_count = crash_count + 1 WHERE id = :item_id;
