-- Events as lists and pages show them, newest first. Always in autocommit, always by index.
-- Without the hints the server reads all newer events before those of a deep page.

-- fragment: batch
LEFT JOIN ingest_batch b ON b.id = e.batch_id

-- fragment: filters
(:event_type IS NULL OR e.event_type = :event_type)
  AND (:actor IS NULL OR JSON_VALUE(e.payload, '$.requested_by') = :actor)
  AND (:since IS NULL OR e.created_at >= :since)

-- name: newest
SELECT {{event_columns}}
FROM ingest_event e FORCE INDEX (PRIMARY) {{batch}}
WHERE e.id < :before AND e.id >= :down_to AND {{filters}} ORDER BY e.id DESC LIMIT :limit;

-- name: of_batch
SELECT {{event_columns}}
FROM ingest_event e FORCE INDEX (by_batch) {{batch}}
WHERE e.batch_id = :batch_id AND e.id < :before AND e.id >= :down_to AND {{filters}} ORDER BY e.id DESC LIMIT :limit;

-- name: of_type
SELECT {{event_columns}}
FROM ingest_event e FORCE INDEX (by_type) {{batch}}
WHERE e.event_type = :event_type AND e.id < :before AND e.id >= :down_to AND {{filters}}
ORDER BY e.id DESC LIMIT :limit;

-- name: of_actor
SELECT {{event_columns}}
FROM ingest_event_actor a FORCE INDEX (PRIMARY) STRAIGHT_JOIN ingest_event e ON e.id = a.event_id {{batch}}
WHERE a.actor = :actor AND a.event_id < :before AND a.event_id >= :down_to AND {{filters}}
ORDER BY a.event_id DESC LIMIT :limit;

-- name: window^
-- The last of the next :window events, and how many these are; from the index alone.
SELECT MIN(id), COUNT(*)
FROM (SELECT id FROM ingest_event FORCE INDEX (PRIMARY)
      WHERE id < :before AND id >= :down_to ORDER BY id DESC LIMIT :window) w;

-- name: window_of_batch^
SELECT MIN(id), COUNT(*)
FROM (SELECT id FROM ingest_event FORCE INDEX (by_batch)
      WHERE batch_id = :batch_id AND id < :before AND id >= :down_to ORDER BY id DESC LIMIT :window) w;

-- name: window_of_type^
SELECT MIN(id), COUNT(*)
FROM (SELECT id FROM ingest_event FORCE INDEX (by_type)
      WHERE event_type = :event_type AND id < :before AND id >= :down_to ORDER BY id DESC LIMIT :window) w;

-- name: window_of_actor^
SELECT MIN(event_id), COUNT(*)
FROM (SELECT event_id FROM ingest_event_actor
      WHERE actor = :actor AND event_id < :before AND event_id >= :down_to ORDER BY event_id DESC LIMIT :window) w;

-- name: ends^
-- Reads the two ends of the index.
SELECT MIN(id), MAX(id) FROM ingest_event;

-- name: first_from^
SELECT id, created_at FROM ingest_event WHERE id >= :id ORDER BY id LIMIT 1;
