-- ingest_control: one row, whether the queue is paused, on every host.

-- name: find^
SELECT paused, paused_by, paused_reason, paused_at FROM ingest_control WHERE id = 1;

-- name: is_paused$
-- The shared lock makes a pause wait for claims that have seen none yet, and claims for a pause.
SELECT paused FROM ingest_control WHERE id = 1 LOCK IN SHARE MODE;

-- name: pause!
UPDATE ingest_control SET paused = 1, paused_by = :requested_by, paused_reason = :reason, paused_at = UTC_TIMESTAMP(6)
WHERE id = 1 AND paused = 0;

-- name: resume!
UPDATE ingest_control SET paused = 0, paused_by = NULL, paused_reason = NULL, paused_at = NULL
WHERE id = 1 AND paused = 1;
