-- import_job: one request to import a batch; the queue.

-- fragment: running_columns
-- Record: ingestd.store.job.Running.
id, batch_id, claim_token, claimed_by, heartbeat_at, current_item_id, items_done = items_at_claim, claimed_instance,
       crash_count, heartbeat_us / 1e6, stale_us / 1e6

-- fragment: own_claim
-- True while a claim still holds its job: the condition of every guarded update.
id = :job_id AND claim_token = :token AND state = 'running'

-- fragment: is_stale
-- As the host sees it that runs the job: others may expect its heartbeats more often. A heartbeat from the future is from
-- before the clock of the server was set back.
(heartbeat_at < UTC_TIMESTAMP(6) - INTERVAL COALESCE(stale_us, :stale_us) MICROSECOND
 OR heartbeat_at > UTC_TIMESTAMP(6) + INTERVAL COALESCE(stale_us, :stale_us) MICROSECOND)

-- fragment: is_silent
-- Without a heartbeat for some of its intervals.
(heartbeat_at < UTC_TIMESTAMP(6) - INTERVAL :beats * COALESCE(heartbeat_us, :heartbeat_us) MICROSECOND
 OR heartbeat_at > UTC_TIMESTAMP(6) + INTERVAL :beats * COALESCE(heartbeat_us, :heartbeat_us) MICROSECOND)

-- fragment: unclaimed
-- Puts a job back into the queue.
state = 'queued', claimed_at = NULL, claimed_by = NULL, claimed_instance = NULL, heartbeat_at = NULL,
       current_item_id = NULL

-- fragment: claimed
state = 'running', claim_token = claim_token + 1, claimed_at = UTC_TIMESTAMP(6), claimed_by = :worker_id,
    claimed_instance = :instance, heartbeat_at = UTC_TIMESTAMP(6), heartbeat_us = :heartbeat_us, stale_us = :stale_us,
    items_at_claim = items_done, writes = 0, current_item_id = NULL

-- fragment: claimable_columns
-- Record: ingestd.store.job.Claimable. `has_active_prior`: the batch that its own follows has an active job.
j.id, j.batch_id, b.sync_id, b.manifest_sha256, j.claim_token, j.priority, j.scope, j.isolate_items, j.items_done,
       j.items_total, TIMESTAMPDIFF(MICROSECOND, j.queued_at, UTC_TIMESTAMP(6)) / 1e6,
       EXISTS (SELECT 1 FROM ingest_batch p JOIN import_job a ON a.active_batch_id = p.id
               WHERE p.sync_id = b.prior_sync_id AND p.id <> b.id), b.plan_sha256 IS NOT NULL

-- fragment: claimable
-- The server would read a small table of batches as a whole, lock it, and so leave nothing to other workers.
{{claimable_columns}}
FROM import_job j FORCE INDEX (claim) STRAIGHT_JOIN ingest_batch b FORCE INDEX (PRIMARY) ON b.id = j.batch_id

-- fragment: first_priority
(SELECT MIN(priority) FROM import_job FORCE INDEX (claim) WHERE state = 'queued')

-- fragment: first_id
(SELECT MIN(id) FROM import_job FORCE INDEX (claim) WHERE state = 'queued' AND priority = {{first_priority}})

-- fragment: from_first_queued
-- Queued jobs `j`, read from the first one on, which is looked up while the statement is planned. While a snapshot is open,
-- such as that of a dump, the key keeps entries of what was claimed: a search without locks passes them far faster.
(j.state = 'queued' AND j.priority = {{first_priority}} AND j.id >= {{first_id}})
OR (j.state = 'queued' AND j.priority > {{first_priority}})

-- fragment: of_waiting_successors
FROM ingest_batch p STRAIGHT_JOIN ingest_batch b FORCE INDEX (by_prior) ON b.prior_sync_id = p.sync_id
JOIN import_job j ON j.active_batch_id = b.id
WHERE p.id = :batch_id AND b.id <> p.id AND j.state = 'waiting' ORDER BY j.priority, j.id LIMIT :limit

-- name: find^
SELECT {{job_columns}} FROM import_job j JOIN ingest_batch b ON b.id = j.batch_id WHERE j.id = :job_id;

-- name: next_small
-- Queued jobs in the order of claims, of whole bundles with few items: their sync_ids and digests.
SELECT b.sync_id, b.manifest_sha256
FROM import_job j FORCE INDEX (claim) STRAIGHT_JOIN ingest_batch b ON b.id = j.batch_id
WHERE j.state = 'queued' AND j.scope IN ('all', 'reimport') AND b.item_count <= :items
  AND b.manifest_sha256 IS NOT NULL
ORDER BY j.priority, j.id LIMIT :limit;

-- name: active^
SELECT {{job_columns}} FROM import_job j JOIN ingest_batch b ON b.id = j.batch_id WHERE j.active_batch_id = :batch_id;

-- name: is_imported$
SELECT EXISTS (SELECT 1 FROM import_job WHERE batch_id = :batch_id AND manifest_sha256 = :sha256 AND state = 'done');

-- name: newest^
SELECT {{job_columns}} FROM import_job j JOIN ingest_batch b ON b.id = j.batch_id
WHERE j.batch_id = :batch_id ORDER BY j.id DESC LIMIT 1;

-- name: insert$
INSERT INTO import_job (batch_id, state, priority, scope, manifest_sha256, requested_by, queued_at, items_total)
VALUES (:batch_id, :state, :priority, :scope, :manifest_sha256, :requested_by, UTC_TIMESTAMP(6), :items_total)
RETURNING id;

-- name: insert_all
-- Jobs of all items of some batches, in the order given.
INSERT INTO import_job (batch_id, state, priority, scope, manifest_sha256, requested_by, queued_at, items_total)
SELECT j.batch_id, j.state, :priority, 'all', j.manifest_sha256, :requested_by, UTC_TIMESTAMP(6), j.items_total
FROM JSON_TABLE(:rows, '$[*]' COLUMNS (batch_id BIGINT UNSIGNED PATH '$[0]', state VARCHAR(16) PATH '$[1]',
                                       manifest_sha256 CHAR(64) PATH '$[2]', items_total INT UNSIGNED PATH '$[3]')) j
RETURNING batch_id, id;

-- name: active_prior^
-- A batch and the one that it names as prior, if that has an active job: their times and sync_ids.
SELECT b.version_at, b.sync_id, p.version_at, p.sync_id
FROM ingest_batch b JOIN ingest_batch p ON p.sync_id = b.prior_sync_id
JOIN import_job a ON a.active_batch_id = p.id
WHERE b.id = :batch_id AND p.id <> b.id AND p.version_at IS NOT NULL;

-- name: queued_successors
-- Queued jobs of batches that name a batch as their prior: the ids of their batches.
SELECT b.id FROM ingest_batch b FORCE INDEX (by_prior) JOIN import_job j ON j.active_batch_id = b.id
WHERE b.prior_sync_id = :sync_id AND j.state = 'queued' ORDER BY b.id;

-- name: waiting_successors
-- Waiting jobs of batches that name a batch as their prior.
SELECT j.id {{of_waiting_successors}};

-- name: lock_waiting_successors
-- The same, without those that others hold.
SELECT j.id {{of_waiting_successors}} FOR UPDATE SKIP LOCKED;

-- name: waiting_of
-- The waiting jobs of some bundles: each with the batch that it waits for, and who requested it.
SELECT {{claimable_columns}}, p.id, j.requested_by
FROM ingest_batch b STRAIGHT_JOIN import_job j FORCE INDEX (one_active_job) ON j.active_batch_id = b.id
STRAIGHT_JOIN ingest_batch p FORCE INDEX (identity) ON p.sync_id = b.prior_sync_id
WHERE b.sync_id IN :sync_ids AND j.state = 'waiting' AND b.id <> p.id ORDER BY j.priority, j.id;

-- name: waiting_for
-- The same, of all that wait for some batches.
SELECT {{claimable_columns}}, p.id, j.requested_by
FROM ingest_batch p FORCE INDEX (PRIMARY) STRAIGHT_JOIN ingest_batch b FORCE INDEX (by_prior) ON b.prior_sync_id = p.sync_id
STRAIGHT_JOIN import_job j FORCE INDEX (one_active_job) ON j.active_batch_id = b.id
WHERE p.id IN :batch_ids AND j.state = 'waiting' AND b.id <> p.id ORDER BY j.priority, j.id LIMIT :limit;

-- name: lock_active^
SELECT {{job_columns}} FROM import_job j JOIN ingest_batch b ON b.id = j.batch_id
WHERE j.active_batch_id = :batch_id FOR UPDATE;

-- name: is_queued$
SELECT 1 FROM import_job WHERE id = :job_id AND state = 'queued';

-- name: lock_queued_for_a_while
-- The queued jobs of some batches, that others hold perhaps.
SET STATEMENT innodb_lock_wait_timeout = 1 FOR
SELECT id FROM import_job FORCE INDEX (one_active_job) WHERE active_batch_id IN :batch_ids AND state = 'queued'
ORDER BY id FOR UPDATE;

-- name: hold_back!
UPDATE import_job SET state = 'waiting' WHERE id = :job_id AND state = 'queued';

-- name: rescope!
UPDATE import_job SET scope = :scope, manifest_sha256 = :manifest_sha256, items_done = 0,
       has_reset_items = 0
WHERE id = :job_id AND state IN ('waiting', 'queued');

-- name: reprioritise!
UPDATE import_job SET priority = :priority WHERE id = :job_id AND state IN ('waiting', 'queued');

-- name: take_over!
UPDATE import_job SET requested_by = :requested_by WHERE id = :job_id AND state IN ('waiting', 'queued', 'running');

-- name: cancel!
UPDATE import_job SET state = 'cancelled', finished_at = UTC_TIMESTAMP(6) WHERE id = :job_id
  AND state IN ('waiting', 'queued');

-- name: left_waiting
-- Jobs that wait, as if in vain, for some batches without an active job: each with the batch that it waits for.
SELECT p.id, j.id FROM ingest_batch p FORCE INDEX (PRIMARY) LEFT JOIN import_job a ON a.active_batch_id = p.id
STRAIGHT_JOIN ingest_batch b FORCE INDEX (by_prior) ON b.prior_sync_id = p.sync_id
STRAIGHT_JOIN import_job j FORCE INDEX (one_active_job) ON j.active_batch_id = b.id
WHERE p.id IN :batch_ids AND a.id IS NULL AND b.id <> p.id AND j.state = 'waiting' ORDER BY j.priority, j.id LIMIT :limit;

-- name: next_waiting
-- Of the next waiting jobs in the order of claims: those whose batch follows nothing with an active job and an earlier or
-- equal time (NULL) or one of the same time (1), perhaps in a circle; and the last one where there may be more.
SELECT w.priority, w.id, IF(a.id IS NULL, NULL, p.version_at = b.version_at), w.place = :limit
FROM (SELECT n.priority, n.id, n.batch_id, ROW_NUMBER() OVER (ORDER BY n.priority, n.id) AS place
      FROM (SELECT priority, id, batch_id FROM import_job FORCE INDEX (claim)
            WHERE (state = 'waiting' AND priority = :priority AND id > :after)
               OR (state = 'waiting' AND priority > :priority)
            ORDER BY priority, id LIMIT :limit) n) w
STRAIGHT_JOIN ingest_batch b ON b.id = w.batch_id
LEFT JOIN ingest_batch p ON p.sync_id = b.prior_sync_id AND p.id <> b.id AND p.version_at <= b.version_at
LEFT JOIN import_job a ON a.active_batch_id = p.id
WHERE a.id IS NULL OR p.version_at = b.version_at OR w.place = :limit
ORDER BY w.place;

-- name: promote!
UPDATE import_job SET state = 'queued' WHERE id = :job_id AND state = 'waiting';

-- name: next_queued^
-- Served by KEY claim (state, priority, id): it locks the one row it returns, and that of its batch. A job whose batch
-- others hold, such as for a long plan, is left to a later claim.
SELECT {{claimable}}
WHERE {{from_first_queued}} ORDER BY j.priority, j.id LIMIT 1 FOR UPDATE SKIP LOCKED;

-- name: claim_plan^
-- As next_queued, but from the beginning of its key: while nothing is queued, the server makes no plan for the other.
SELECT {{claimable}}
WHERE j.state = 'queued' ORDER BY j.priority, j.id LIMIT 1 FOR UPDATE SKIP LOCKED;

-- name: next_queued_without^
-- As next_queued, but leaves out some jobs.
SELECT {{claimable}}
WHERE ({{from_first_queued}}) AND j.id NOT IN :job_ids ORDER BY j.priority, j.id LIMIT 1 FOR UPDATE SKIP LOCKED;

-- name: next_some_queued
-- The next jobs, without locks: others may be claiming some of them.
SELECT {{claimable}}
WHERE ({{from_first_queued}}) AND j.id NOT IN :job_ids ORDER BY j.priority, j.id LIMIT :limit;

-- name: lock_queued
-- Those of some jobs, in the order of claims, that are queued, and that no other worker is claiming.
SELECT {{claimable_columns}}
FROM import_job j FORCE INDEX (PRIMARY) STRAIGHT_JOIN ingest_batch b FORCE INDEX (PRIMARY) ON b.id = j.batch_id
WHERE j.id IN :job_ids AND j.state = 'queued' ORDER BY j.priority, j.id FOR UPDATE SKIP LOCKED;

-- name: queued^
-- One statement for all queued work: every daemon asks it every second.
SELECT EXISTS (SELECT 1 FROM import_job WHERE state = 'queued'),
       EXISTS (SELECT 1 FROM ingest_request WHERE state = 'queued' AND kind = 'scan'),
       EXISTS (SELECT 1 FROM ingest_request WHERE state = 'queued' AND kind = 'preflight');

-- name: claim!
UPDATE import_job SET {{claimed}} WHERE id = :job_id AND state = 'queued' AND claim_token = :token;

-- name: claim_all!
-- Rows that this transaction locked when it read them, so that their tokens are known.
UPDATE import_job SET {{claimed}} WHERE id IN :job_ids AND state = 'queued';

-- name: claim_waiting!
-- Jobs that are promoted and claimed at once, in the transaction that ends those that they waited for.
UPDATE import_job SET {{claimed}} WHERE id IN :job_ids AND state = 'waiting';

-- name: fence!
-- The last statement of every transaction that writes for a job: no row, no commit.
UPDATE import_job SET items_done = :items_done, items_total = :items_total, heartbeat_at = UTC_TIMESTAMP(6),
       writes = writes + 1, current_item_id = :current_item_id
WHERE {{own_claim}};

-- name: unclaim!
-- As if it had not been claimed; the token stays raised.
UPDATE import_job SET {{unclaimed}} WHERE id = :job_id;

-- name: writes$
-- Asked when the reply to a COMMIT was lost; the lock waits for that COMMIT if it is still running.
SELECT writes FROM import_job WHERE id = :job_id AND claim_token = :token FOR UPDATE;

-- name: consume!
UPDATE import_job SET manifest_sha256 = :manifest_sha256 WHERE id = :job_id;

-- name: begin_reimport!
-- True once for each re-import, however often its job is released or reset.
UPDATE import_job SET has_reset_items = 1 WHERE id = :job_id AND scope = 'reimport' AND has_reset_items = 0;

-- name: beat!
UPDATE import_job SET heartbeat_at = UTC_TIMESTAMP(6) WHERE {{own_claim}};

-- name: finish!
-- With the digest of the manifest that the job read, unless that was recorded before.
UPDATE import_job SET state = :state, manifest_sha256 = IFNULL(:manifest_sha256, manifest_sha256),
       finished_at = UTC_TIMESTAMP(6), result = :result, last_error = :error, writes = writes + 1,
       items_done = :items_done, items_total = :items_total, heartbeat_at = UTC_TIMESTAMP(6), current_item_id = NULL
WHERE {{own_claim}};

-- name: finish_all!
-- As finish, for jobs that imported all items of their batches.
UPDATE JSON_TABLE(:rows, '$[*]' COLUMNS (
       id BIGINT UNSIGNED PATH '$[0]', token BIGINT UNSIGNED PATH '$[1]', items INT UNSIGNED PATH '$[2]',
       sha256 CHAR(64) PATH '$[3]')) r
STRAIGHT_JOIN import_job j FORCE INDEX (PRIMARY) ON j.id = r.id
SET j.state = 'done', j.manifest_sha256 = r.sha256, j.finished_at = UTC_TIMESTAMP(6), j.last_error = NULL,
    j.result = CONCAT('{"created":', r.items, '}'), j.writes = j.writes + 1, j.items_done = r.items, j.items_total = r.items, j.heartbeat_at = UTC_TIMESTAMP(6),
    j.current_item_id = NULL
WHERE j.claim_token = r.token AND j.state = 'running';

-- name: release!
UPDATE import_job SET {{unclaimed}}, writes = writes + 1, release_count = release_count + 1
WHERE {{own_claim}};

-- name: stale
SELECT {{running_columns}} FROM import_job
WHERE state = 'running' AND {{is_stale}} ORDER BY id;

-- name: silent
SELECT {{running_columns}} FROM import_job
WHERE state = 'running' AND {{is_silent}} ORDER BY id;

-- name: running_on
SELECT {{running_columns}} FROM import_job WHERE state = 'running' AND claimed_instance LIKE :instances ORDER BY id;

-- name: reset_stale!
UPDATE import_job SET {{unclaimed}}, reset_count = reset_count + 1, isolate_items = :isolate_items
WHERE {{own_claim}} AND {{is_stale}};

-- name: reset_silent!
UPDATE import_job SET {{unclaimed}}, reset_count = reset_count + 1, isolate_items = :isolate_items
WHERE {{own_claim}} AND {{is_silent}};

-- name: reset_dead!
UPDATE import_job SET {{unclaimed}}, reset_count = reset_count + 1, isolate_items = :isolate_items,
       crash_count = :crash_count
WHERE {{own_claim}} AND claimed_instance = :instance;

-- name: workers_of_machine
-- Served by KEY claim of both tables: few are running. Those with a fresh heartbeat are alive.
SELECT claimed_by, claimed_instance FROM import_job
WHERE state = 'running' AND claimed_instance LIKE :instances
  AND heartbeat_at >= UTC_TIMESTAMP(6) - INTERVAL :fresh_us MICROSECOND
UNION
SELECT claimed_by, claimed_instance FROM ingest_request
WHERE state = 'running' AND claimed_instance LIKE :instances
  AND heartbeat_at >= UTC_TIMESTAMP(6) - INTERVAL :fresh_us MICROSECOND;
