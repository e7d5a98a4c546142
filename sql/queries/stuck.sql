-- Stuck bundles as lists and pages show them.

-- name: oldest
-- Record: StuckBundle.
SELECT {{stuck_columns}} FROM ingest_stuck s FORCE INDEX (by_age) ORDER BY s.since, s.sync_id LIMIT :limit;
