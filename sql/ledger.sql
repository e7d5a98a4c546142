-- ingest_event: the append-only ledger.

-- name: append*!
INSERT INTO ingest_event (batch_id, event_type, payload) VALUES (:batch_id, :event_type, :payload);

-- name: note_actors!
-- For the events of one statement, which have successive ids.
INSERT INTO ingest_event_actor (actor, event_id)
SELECT LEFT(e.actor, 255), e.id
FROM (SELECT id, JSON_VALUE(payload, '$.requested_by') AS actor FROM ingest_event
      WHERE id BETWEEN :first AND :first + (:count - 1) * @@auto_increment_increment) e
WHERE e.actor <> :daemon;

-- name: append_many!
INSERT INTO ingest_event (batch_id, event_type, payload)
SELECT :batch_id, j.event_type, j.payload
FROM JSON_TABLE(:rows, '$[*]' COLUMNS (event_type VARCHAR(32) PATH '$[0]', payload LONGTEXT PATH '$[1]')) j;

-- name: recorded^
-- Asked when the reply to a COMMIT was lost; the lock waits for that COMMIT if it is still running.
-- A server that crashed may give an id twice, but hardly to the same event.
SELECT id FROM ingest_event WHERE id = :event_id AND event_type = :event_type AND payload = :payload
LOCK IN SHARE MODE;

-- fragment: item_events
-- Events for items that were just decided, built from their rows; keys sorted. An item that was superseded names the
-- bundle whose statement holds.
INSERT INTO ingest_event (batch_id, event_type, payload)
SELECT i.batch_id, CONCAT('item_', i.decision),
       CONCAT('{"cover_hash":', IFNULL(JSON_QUOTE(i.cover_hash), 'null'),
              ',"error":', IFNULL(JSON_QUOTE(i.last_error), 'null'),
              ',"hash":', JSON_QUOTE(i.asset_hash),
              ',"phase":"item_import"',
              IFNULL(CONCAT(',"reason":', JSON_QUOTE(i.reason)), ''),
              IFNULL(CONCAT(',"superseded_by":', JSON_QUOTE(
                CASE WHEN i.asset_type <> 'cover' THEN a.sync_id WHEN c.cover_hash = i.asset_hash THEN c.sync_id
                     ELSE IFNULL(c.linked_by, c.sync_id) END)), ''),
              ',"target_ids":', IFNULL(i.target_ids, '{}'),
              ',"type":', JSON_QUOTE(i.asset_type), '}')
FROM ingest_batch_item i
LEFT JOIN asset a ON a.id = i.asset_id AND (i.reason = 'superseded' OR (i.decision = 'linked' AND i.asset_type <> 'cover'))
LEFT JOIN asset_cover c ON c.asset_id = a.id AND i.asset_type = 'cover'

-- name: append_items!
{{item_events}} WHERE i.id IN :ids ORDER BY i.ordinal;

-- name: append_item_range!
{{item_events}} WHERE i.id BETWEEN :first AND :last ORDER BY i.ordinal;

-- name: append_items_of!
{{item_events}} WHERE i.batch_id IN :batch_ids ORDER BY i.batch_id, i.asset_type = 'cover', i.ordinal;
