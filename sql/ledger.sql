-- ingest_event: the append-only ledger.

-- name: append!
INSERT INTO ingest_event (batch_id, event_type, payload) VALUES (:batch_id, :event_type, :payload);

-- name: append_many!
INSERT INTO ingest_event (batch_id, event_type, payload)
SELECT :batch_id, j.event_type, j.payload
FROM JSON_TABLE(:rows, '$[*]' COLUMNS (event_type VARCHAR(32) PATH '$[0]', payload LONGTEXT PATH '$[1]')) j;

-- name: latest
SELECT id, event_type, payload, created_at FROM ingest_event WHERE batch_id = :batch_id ORDER BY id DESC LIMIT :most;
