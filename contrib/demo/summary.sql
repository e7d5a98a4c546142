-- What the demo shows of the database, as (what, count).

-- name: unfinished$
SELECT COUNT(*) FROM ingest_batch WHERE status IN ('new', 'ready', 'queued', 'importing');

-- name: recorded$
SELECT COUNT(*) FROM ingest_batch;

-- name: batches
SELECT status, COUNT(*) FROM ingest_batch GROUP BY status ORDER BY status;

-- name: items
SELECT decision, COUNT(*) FROM ingest_batch_item WHERE in_manifest = 1 GROUP BY decision ORDER BY decision;

-- name: library
SELECT 'live assets', COUNT(*) FROM asset WHERE deleted_at IS NULL
UNION ALL SELECT 'removed assets', COUNT(*) FROM asset WHERE deleted_at IS NOT NULL
UNION ALL SELECT 'files', COUNT(*) FROM asset_file WHERE deleted_at IS NULL
UNION ALL SELECT 'provenance documents', COUNT(*) FROM asset_source WHERE is_current = 1
UNION ALL SELECT 'analyses', COUNT(*) FROM asset_ai_run WHERE is_current = 1
UNION ALL SELECT 'galleries', COUNT(*) FROM asset_gallery WHERE deleted_at IS NULL
UNION ALL SELECT 'places in galleries', COUNT(*) FROM asset_gallery_item WHERE deleted_at IS NULL;

-- name: ledger
SELECT event_type, COUNT(*) FROM ingest_event GROUP BY event_type ORDER BY COUNT(*) DESC, event_type LIMIT 5;
