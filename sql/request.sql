-- ingest_request: scans and pre-flights that were accepted, claimed like jobs and answered by any host.

-- fragment: own_claim
-- True while a claim still holds its request: the condition of every guarded update.
id = :request_id AND claim_token = :token AND state = 'running'

-- fragment: unclaimed
claimed_at = NULL, claimed_by = NULL, claimed_instance = NULL, heartbeat_at = NULL

-- name: insert$
-- An open request with the same key is shared: its id is returned, and nothing is added.
INSERT INTO ingest_request (kind, sync_id, state, requested_by, requested_at)
VALUES (:kind, :sync_id, 'queued', :requested_by, UTC_TIMESTAMP(6))
ON DUPLICATE KEY UPDATE id = id
RETURNING id;

-- name: find^
SELECT {{request_columns}} FROM ingest_request r WHERE id = :request_id;

-- name: newest_scan^
-- Served by KEY by_batch (sync_id, id): scans have no sync_id.
SELECT {{request_columns}} FROM ingest_request r
WHERE sync_id IS NULL
  AND requested_at BETWEEN UTC_TIMESTAMP(6) - INTERVAL :within_us MICROSECOND AND UTC_TIMESTAMP(6)
ORDER BY id DESC LIMIT 1;

-- name: newest_preflight^
-- Served by KEY by_batch (sync_id, id).
SELECT state, error FROM ingest_request WHERE sync_id = :sync_id ORDER BY id DESC LIMIT 1;

-- name: next_queued^
-- Served by KEY claim (state, kind, claim_token, id): it locks the one row it returns. A request that was put back comes
-- after those that were claimed less often, so that one that cannot run now does not keep the others waiting.
SELECT id, sync_id, claim_token FROM ingest_request
WHERE state = 'queued' AND kind = :kind ORDER BY claim_token, id LIMIT 1 FOR UPDATE SKIP LOCKED;

-- name: claim!
UPDATE ingest_request
SET state = 'running', claim_token = claim_token + 1, claimed_at = UTC_TIMESTAMP(6), claimed_by = :worker_id,
    claimed_instance = :instance, heartbeat_at = UTC_TIMESTAMP(6), heartbeat_us = :heartbeat_us, stale_us = :stale_us
WHERE id = :request_id AND state = 'queued' AND claim_token = :token;

-- name: in_state^
-- Asked when the reply to a COMMIT was lost; the lock waits for that COMMIT if it is still running.
SELECT id FROM ingest_request WHERE id = :request_id AND claim_token = :token AND state = :state FOR UPDATE;

-- name: exists^
-- Asked when the reply to a COMMIT was lost, as in_state is.
SELECT id FROM ingest_request WHERE id = :request_id FOR UPDATE;

-- name: beat!
UPDATE ingest_request SET heartbeat_at = UTC_TIMESTAMP(6) WHERE {{own_claim}};

-- name: finish!
UPDATE ingest_request SET state = :state, result = :result, error = :error, finished_at = UTC_TIMESTAMP(6)
WHERE {{own_claim}};

-- name: release!
UPDATE ingest_request SET state = 'queued', {{unclaimed}} WHERE {{own_claim}};

-- name: running
-- Whether each is stale, and whether it is silent, as in job.sql.
SELECT id, claim_token, claimed_instance, heartbeat_at, heartbeat_us / 1e6,
       ABS(TIMESTAMPDIFF(MICROSECOND, heartbeat_at, UTC_TIMESTAMP(6))) > COALESCE(stale_us, :stale_us),
       ABS(TIMESTAMPDIFF(MICROSECOND, heartbeat_at, UTC_TIMESTAMP(6))) > :beats * COALESCE(heartbeat_us, :heartbeat_us)
FROM ingest_request WHERE state = 'running';

-- name: reset!
-- Assignments run from left to right: each sees the values of those before it. A heartbeat since the look undoes it.
UPDATE ingest_request
SET reset_count = reset_count + 1, state = IF(reset_count < :max_resets, 'queued', 'failed'),
    error = IF(state = 'failed', :error, NULL), finished_at = IF(state = 'failed', UTC_TIMESTAMP(6), NULL),
    {{unclaimed}}
WHERE {{own_claim}} AND heartbeat_at = :heartbeat_at;

-- name: delete_finished!
-- Served by KEY by_finished (finished_at).
DELETE FROM ingest_request WHERE finished_at < UTC_TIMESTAMP(6) - INTERVAL :keep_us MICROSECOND
ORDER BY finished_at LIMIT :limit;
