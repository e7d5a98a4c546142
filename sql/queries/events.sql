-- Events of one batch. Always in autocommit, always by index.

-- name: of_batch
-- Without the hint the server reads all newer events of the batch before those of a deep page.
SELECT {{event_columns}} FROM ingest_event e FORCE INDEX (by_batch)
WHERE batch_id = :batch_id AND id < :before ORDER BY id DESC LIMIT :limit;
