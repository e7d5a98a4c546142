-- Items and containers of one batch, in the order of its manifest. Always in autocommit, always by index.

-- name: window^
-- The last ordinal of the next :window items, and how many items these are; from the index alone.
SELECT MAX(ordinal), COUNT(*)
FROM (SELECT ordinal FROM ingest_batch_item FORCE INDEX (by_ordinal)
      WHERE batch_id = :batch_id AND ordinal > :after ORDER BY ordinal LIMIT :window) w;

-- name: listed
SELECT {{item_columns}} FROM ingest_batch_item i FORCE INDEX (by_ordinal)
WHERE batch_id = :batch_id AND ordinal > :after AND ordinal <= :up_to AND in_manifest = 1
ORDER BY ordinal LIMIT :limit;

-- name: decided
SELECT {{item_columns}} FROM ingest_batch_item i FORCE INDEX (by_ordinal)
WHERE batch_id = :batch_id AND ordinal > :after AND ordinal <= :up_to AND in_manifest = 1 AND decision = :decision
ORDER BY ordinal LIMIT :limit;

-- name: needing_attention
SELECT {{item_columns}} FROM ingest_batch_item i FORCE INDEX (by_needs_attention)
WHERE batch_id = :batch_id AND needs_attention = :decision AND ordinal > :after ORDER BY ordinal LIMIT :limit;

-- name: containers
SELECT {{container_columns}} FROM ingest_batch_container c FORCE INDEX (by_ordinal)
WHERE batch_id = :batch_id AND in_manifest = 1 ORDER BY ordinal LIMIT :limit;
