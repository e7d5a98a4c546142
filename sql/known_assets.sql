-- Assets that have a row. Writers lock them in order of hash first; all else that they write hangs on those locks.

-- fragment: asset_rows
-- A long IN (...) would cost more to plan than to look up, and the driver takes longer for the rows of a result than the
-- server for all of this: so they are one text, of JSON arrays with commas in between. JSON_ARRAY would cost as much again.
SELECT GROUP_CONCAT(
         '[', a.id, ',', IFNULL(CONCAT('"', a.asset_type, '"'), 'null'), ',"', a.hash, '",',
         IFNULL(CONCAT('"', a.entry_sha256, '"'), 'null'), ',', IFNULL(CONCAT('"', a.documents_sha256, '"'), 'null'), ',',
         IF(a.deleted_at IS NULL, 'false', 'true'), ',', IFNULL(CONCAT('"', a.synced_at, '"'), 'null'), ',',
         IFNULL(CONCAT('"', a.sync_id, '"'), 'null'), ']')
FROM

-- fragment: by_hash
JSON_TABLE(:hashes, '$[*]' COLUMNS (hash CHAR(32) CHARACTER SET ascii COLLATE ascii_nopad_bin PATH '$')) j
STRAIGHT_JOIN asset a ON a.hash = j.hash

-- name: find$
{{asset_rows}} {{by_hash}};

-- name: lock$
-- Locked one after another, as they are listed: in order of hash.
{{asset_rows}} {{by_hash}} FOR UPDATE;

-- name: lock_range$
-- Assets whose hashes are in the order of their ids.
{{asset_rows}} asset a FORCE INDEX (PRIMARY) WHERE a.id BETWEEN :first AND :last FOR UPDATE;
