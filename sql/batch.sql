-- ingest_batch: the consumer's record of a bundle.

-- fragment: not_failed
failure_count = 0, retry_at = NULL

-- fragment: end_wait
last_error = IF(earlier_error IS NULL, last_error, NULLIF(earlier_error, '')), earlier_error = NULL

-- fragment: is_provisional
-- Invalid batches whose verdict may not hold any more; those from the future only once their time has come.
(invalid_basis IN ('absence', 'setting')
 OR (invalid_basis = 'time' AND manifest_completed_at <= UTC_TIMESTAMP(6) + INTERVAL :max_future_us MICROSECOND))

-- fragment: is_doubtful
-- Those that scans check again. Where hosts disagree, the verdict would change with every scan. A time beyond the longest
-- pause was written before the clock of the server was set back.
({{is_provisional}} AND (check_after IS NULL OR check_after <= UTC_TIMESTAMP(6)
                         OR check_after > UTC_TIMESTAMP(6) + INTERVAL 25 HOUR))

-- fragment: may_revive
-- A time that is still ahead was written before the clock of the server was set back.
(b.revived_at IS NULL OR b.revived_at <= UTC_TIMESTAMP(6) - INTERVAL :interval_us MICROSECOND
 OR b.revived_at > UTC_TIMESTAMP(6))

-- name: recorded
SELECT sync_id FROM ingest_batch WHERE sync_id IN :sync_ids;

-- name: find^
SELECT {{batch_columns}} FROM ingest_batch b WHERE b.sync_id = :sync_id;

-- name: lock^
SELECT {{batch_columns}} FROM ingest_batch b WHERE b.sync_id = :sync_id FOR UPDATE;

-- name: lock_at_once^
-- As `lock`, but fails with 1205 when another transaction holds the row.
SELECT {{batch_columns}} FROM ingest_batch b WHERE b.sync_id = :sync_id FOR UPDATE NOWAIT;

-- name: lock_by_id^
SELECT {{batch_columns}} FROM ingest_batch b WHERE b.id = :batch_id FOR UPDATE;

-- name: lock_with_prior
-- A batch and its prior, locked in one order, so that two transactions that queue them see each other. No other row may be
-- looked at, because others may hold it.
SELECT p.id FROM ingest_batch p FORCE INDEX (identity)
WHERE p.sync_id IN (:sync_id, (SELECT b.prior_sync_id FROM ingest_batch b WHERE b.sync_id = :sync_id))
ORDER BY p.id FOR UPDATE;

-- name: find_by_id^
SELECT {{batch_columns}} FROM ingest_batch b WHERE b.id = :batch_id;

-- name: age$
SELECT TIMESTAMPDIFF(MICROSECOND, discovered_at, UTC_TIMESTAMP(6)) / 1e6 FROM ingest_batch WHERE id = :batch_id;

-- name: recorded_or_followed
-- Of some bundles: those that are recorded (0), and those that a batch with a queued job names as its prior (1).
SELECT sync_id, 0 FROM ingest_batch WHERE sync_id IN :sync_ids
UNION ALL
SELECT b.prior_sync_id, 1 FROM ingest_batch b FORCE INDEX (by_prior) JOIN import_job j ON j.active_batch_id = b.id
WHERE b.prior_sync_id IN :sync_ids AND j.state = 'queued';

-- name: insert_all
-- In the order of the rows. Another host that records the same bundle commits at once, or hangs: then this one has others
-- to record. The types are wide: it is the table that refuses a value, where JSON_TABLE would make it NULL.
SET STATEMENT innodb_lock_wait_timeout = 1 FOR
INSERT INTO ingest_batch (sync_id, type, action, status, invalid_basis, source_host, item_count, total_bytes,
                          manifest_sha256, manifest_summary, manifest_completed_at, prior_sync_id, last_error,
                          discovered_at, mount_type, mount_source, mount_fs_id, lacks_job)
SELECT j.sync_id, j.type, j.action, j.status, j.invalid_basis, j.source_host, j.item_count, j.total_bytes,
       j.manifest_sha256, j.manifest_summary, j.manifest_completed_at, j.prior_sync_id, j.last_error,
       UTC_TIMESTAMP(6), j.mount_type, j.mount_source, j.mount_fs_id, j.status <> 'queued'
FROM JSON_TABLE(:rows, '$[*]' COLUMNS (
  sync_id LONGTEXT PATH '$.sync_id', type LONGTEXT PATH '$.type', action LONGTEXT PATH '$.action',
  status LONGTEXT PATH '$.status', invalid_basis LONGTEXT PATH '$.invalid_basis',
  source_host LONGTEXT PATH '$.source_host', item_count LONGTEXT PATH '$.item_count',
  total_bytes LONGTEXT PATH '$.total_bytes', manifest_sha256 LONGTEXT PATH '$.manifest_sha256',
  manifest_summary LONGTEXT PATH '$.manifest_summary', manifest_completed_at LONGTEXT PATH '$.manifest_completed_at',
  prior_sync_id LONGTEXT PATH '$.prior_sync_id', last_error LONGTEXT PATH '$.last_error',
  mount_type LONGTEXT PATH '$.mount_type', mount_source LONGTEXT PATH '$.mount_source',
  mount_fs_id LONGTEXT PATH '$.mount_fs_id')) j
RETURNING sync_id, id, discovered_at;

-- name: redeliver!
-- Assignments run from left to right: manifest_sha256 is the old one until its own. The action stays while a manifest
-- is invalid: a later one with another action changes every item.
UPDATE ingest_batch
SET overturned_count = IF(manifest_sha256 <=> :manifest_sha256, overturned_count, 0),
    check_after = IF(manifest_sha256 <=> :manifest_sha256, check_after, NULL),
    manifest_changed_at = IF(manifest_sha256 <=> :manifest_sha256, manifest_changed_at, UTC_TIMESTAMP(6)),
    former_sha256 = IF(manifest_sha256 <=> :manifest_sha256, former_sha256, IFNULL(manifest_sha256, '')),
    earlier_jobs = IF(manifest_sha256 <=> :manifest_sha256, earlier_jobs,
                      IFNULL((SELECT MAX(j.id) FROM import_job j
                              WHERE j.batch_id = ingest_batch.id AND j.active_batch_id IS NULL), 0)),
    lacks_job = IF(manifest_sha256 <=> :manifest_sha256, lacks_job,
                   NOT EXISTS (SELECT 1 FROM import_job j WHERE j.batch_id = ingest_batch.id AND j.state = 'cancelled')),
    type = :type, action = IFNULL(:action, action), status = :status, invalid_basis = :invalid_basis, source_host = :source_host,
    item_count = :item_count, total_bytes = :total_bytes, manifest_sha256 = :manifest_sha256,
    manifest_summary = :manifest_summary, manifest_completed_at = :manifest_completed_at,
    prior_sync_id = :prior_sync_id, last_error = :last_error, earlier_error = NULL, mount_type = :mount_type,
    mount_source = :mount_source, mount_fs_id = :mount_fs_id, plan_sha256 = NULL, is_placed = 0, {{not_failed}}
WHERE id = :batch_id;

-- name: note_overturned!
-- The pause is doubled each time, up to a day.
UPDATE ingest_batch
SET overturned_count = overturned_count + 1,
    check_after = UTC_TIMESTAMP(6) + INTERVAL
      LEAST(86400000000, CAST(:first_us * POW(2, LEAST(overturned_count, 30) - 1) AS UNSIGNED)) MICROSECOND
WHERE id = :batch_id;

-- name: set_plan!
-- The error of the last run stays until another run ends, that of a held batch until it is approved.
UPDATE ingest_batch SET plan_sha256 = :sha256, staged_sha256 = :sha256 WHERE id = :batch_id;

-- name: set_force!
UPDATE ingest_batch SET force_sha256 = manifest_sha256, force_limit = :limit, last_error = IF(status = 'held', NULL, last_error)
WHERE id = :batch_id;

-- name: set_status!
UPDATE ingest_batch SET status = :status WHERE id = :batch_id;

-- name: set_error!
UPDATE ingest_batch SET last_error = :error WHERE id = :batch_id;

-- name: note_error!
UPDATE ingest_batch SET earlier_error = IFNULL(earlier_error, IFNULL(last_error, '')), last_error = :error
WHERE id = :batch_id;

-- name: end_wait!
UPDATE ingest_batch SET {{end_wait}} WHERE id = :batch_id;

-- name: hold!
UPDATE ingest_batch SET status = 'held', last_error = :error, force_sha256 = NULL, force_limit = NULL, {{not_failed}}
WHERE id = :batch_id;

-- name: invalidate!
UPDATE ingest_batch
SET status = 'invalid', invalid_basis = :basis, last_error = :error, plan_sha256 = NULL, {{not_failed}}
WHERE id = :batch_id;

-- name: start!
UPDATE ingest_batch SET status = 'importing', started_at = UTC_TIMESTAMP(6), completed_at = NULL, {{end_wait}}
WHERE id IN :ids;

-- name: invalidate_new!
UPDATE ingest_batch SET status = 'invalid', invalid_basis = :basis, last_error = :error, lacks_job = 1 WHERE id = :batch_id;

-- name: finish_first!
-- As the plan, the beginning and the end of an import, for a batch of which nothing was imported before.
UPDATE ingest_batch
SET status = :status, completed_at = UTC_TIMESTAMP(6), last_error = :error, {{not_failed}}, invalid_basis = NULL,
    plan_sha256 = :sha256, imported_version_at = :completed_at, imported_generation = :generation,
    imported_revision = :revision
WHERE id = :batch_id;

-- name: finish_first_all!
-- As finish_first, for batches of which everything was imported, at once and under the version that they have. Without the
-- index, the server would read a small table as a whole, and wait for what others hold of it.
UPDATE JSON_TABLE(:rows, '$[*]' COLUMNS (id BIGINT UNSIGNED PATH '$[0]', generation INT UNSIGNED PATH '$[1]',
                                         revision INT UNSIGNED PATH '$[2]')) r
STRAIGHT_JOIN ingest_batch b FORCE INDEX (PRIMARY) ON b.id = r.id
SET b.status = 'imported', b.completed_at = UTC_TIMESTAMP(6), b.last_error = NULL, b.failure_count = 0,
    b.retry_at = NULL, b.invalid_basis = NULL, b.plan_sha256 = b.manifest_sha256, b.imported_version_at = b.version_at,
    b.imported_generation = r.generation, b.imported_revision = r.revision;

-- name: finish!
-- What was imported is not invalid any more: its time has come.
UPDATE ingest_batch
SET status = :status, completed_at = UTC_TIMESTAMP(6), last_error = :error, {{not_failed}},
    invalid_basis = IF(:status = 'invalid', invalid_basis, NULL)
WHERE id = :batch_id;

-- name: fail!
UPDATE ingest_batch
SET status = 'failed', completed_at = UTC_TIMESTAMP(6), last_error = :error, failure_count = :failure_count,
    retry_at = UTC_TIMESTAMP(6) + INTERVAL :pause_us MICROSECOND
WHERE id = :batch_id;

-- name: queue!
UPDATE ingest_batch SET status = 'queued', retry_at = NULL, lacks_job = IF(:takes_all, 0, lacks_job) WHERE id = :batch_id;

-- name: retry_now!
UPDATE ingest_batch SET failure_count = 1, retry_at = UTC_TIMESTAMP(6) WHERE id = :batch_id;

-- name: cancel_retry!
UPDATE ingest_batch SET retry_at = NULL WHERE id = :batch_id AND retry_at IS NOT NULL;

-- name: retryable
-- Batches whose next try is due, and which items their last job took at which priority. A re-import that has begun goes on
-- with what is left. What was noted later than now was written before the clock of the server was set back.
SELECT b.sync_id, IF(j.has_reset_items, 'all', j.scope), j.priority
FROM ((SELECT id FROM ingest_batch FORCE INDEX (by_retry) WHERE retry_at <= UTC_TIMESTAMP(6)
       ORDER BY retry_at LIMIT :limit)
      UNION
      (SELECT id FROM ingest_batch FORCE INDEX (by_retry_note) WHERE retry_noted_at > UTC_TIMESTAMP(6)
       ORDER BY retry_noted_at LIMIT :limit)) due
STRAIGHT_JOIN ingest_batch b ON b.id = due.id
JOIN import_job j ON j.id = (SELECT MAX(id) FROM import_job WHERE batch_id = b.id)
WHERE b.failure_count > 0
ORDER BY b.retry_at, b.id LIMIT :limit;

-- name: provisional
SELECT sync_id, invalid_basis, {{is_doubtful}} FROM ingest_batch WHERE {{is_provisional}};

-- name: digests
-- The manifests of some batches; NULL where even the same manifest must be checked again, or where it replaced another
-- and this host did not see it yet.
SELECT b.sync_id, IF({{is_doubtful}} OR (b.former_sha256 IS NOT NULL AND NOT s.manifest_sha256 <=> b.manifest_sha256),
                     NULL, b.manifest_sha256)
FROM ingest_batch b LEFT JOIN ingest_sighting s ON s.batch_id = b.id AND s.host = :host AND s.root = :root
WHERE b.sync_id IN :sync_ids;

-- name: free
-- Those of some batches whose rows no other transaction holds. In autocommit it holds them for no longer than it takes.
SELECT sync_id FROM ingest_batch WHERE sync_id IN :sync_ids FOR UPDATE SKIP LOCKED;

-- name: lock_for_a_while
-- Batches, in the order in which all lock them, that others hold perhaps: a group that is being imported ends at once.
SET STATEMENT innodb_lock_wait_timeout = 1 FOR
SELECT id FROM ingest_batch FORCE INDEX (PRIMARY) WHERE id IN :ids ORDER BY id FOR UPDATE;

-- name: without_job
-- Those of some batches that never had a job; the batch that each follows, if it is recorded, and whether that has an active
-- job; and whether a batch with an active job follows.
SELECT b.sync_id, b.id, b.manifest_sha256, b.item_count, p.id, p.sync_id, a.id IS NOT NULL,
       EXISTS (SELECT 1 FROM ingest_batch s FORCE INDEX (by_prior) JOIN import_job w ON w.active_batch_id = s.id
               WHERE s.prior_sync_id = b.sync_id)
FROM ingest_batch b LEFT JOIN ingest_batch p FORCE INDEX (identity) ON p.sync_id = b.prior_sync_id AND p.id <> b.id
LEFT JOIN import_job a ON a.active_batch_id = p.id
WHERE b.sync_id IN :sync_ids AND b.unqueued_action IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM import_job j WHERE j.batch_id = b.id);

-- name: queue_all!
UPDATE ingest_batch SET status = 'queued', retry_at = NULL, lacks_job = 0 WHERE id IN :ids;

-- name: note_cancelled!
UPDATE ingest_batch SET lacks_job = 0 WHERE id = :batch_id;

-- name: without_active_job
-- Of the next batches, by id, of a status that says that they have an active job: those that have none, and the last one
-- where there may be more. Another client changed their jobs.
SELECT w.id, j.id IS NOT NULL, w.place = :limit
FROM (SELECT n.id, ROW_NUMBER() OVER (ORDER BY n.id) AS place
      FROM (SELECT id FROM ingest_batch FORCE INDEX (by_status) WHERE status = :status AND id > :after
            ORDER BY id LIMIT :limit) n) w
LEFT JOIN import_job j ON j.active_batch_id = w.id
WHERE j.id IS NULL OR w.place = :limit
ORDER BY w.id;

-- name: revivable
-- Some batches: whether they may be revived now, and, if so, whether an asset is live that they wait for. Items that are
-- only forecast to be deferred do not count. A revival that a person cancelled stays cancelled. What failed as a whole is
-- for the retries, which end at some time, and which a person may cancel.
SELECT n.id, n.sync_id, n.may_revive, IF(n.may_revive,
         EXISTS (SELECT 1 FROM ingest_batch_item i FORCE INDEX (by_needs_attention)
                 STRAIGHT_JOIN asset a ON a.hash = i.waiting_for AND a.deleted_at IS NULL
                 WHERE i.batch_id = n.id AND i.needs_attention = 'deferred')
         OR EXISTS (SELECT 1 FROM ingest_batch_container c FORCE INDEX (revival)
                    STRAIGHT_JOIN JSON_TABLE(c.missing, '$[*]' COLUMNS (hash VARCHAR(32) PATH '$')) m
                    STRAIGHT_JOIN asset a ON a.hash = CONVERT(m.hash USING ascii) COLLATE ascii_nopad_bin
                                             AND a.deleted_at IS NULL
                    WHERE c.batch_id = n.id AND c.decision = 'deferred' AND c.in_manifest = 1), 0)
FROM (SELECT b.id, b.sync_id,
             b.status NOT IN ('invalid', 'held', 'queued', 'importing') AND b.failure_count = 0
             AND b.plan_sha256 IS NOT NULL AND {{may_revive}}
             AND NOT EXISTS (SELECT 1 FROM import_job j WHERE j.id = (SELECT MAX(id) FROM import_job WHERE batch_id = b.id)
                             AND j.state = 'cancelled' AND j.scope = 'revival') AS may_revive
      FROM ingest_batch b WHERE b.id IN :ids) n;

-- name: note_revival!
-- Guarded, because another host may have revived it since the batch was found.
UPDATE ingest_batch b SET b.revived_at = UTC_TIMESTAMP(6) WHERE b.id = :batch_id AND {{may_revive}};

-- name: any_recorded$
SELECT EXISTS (SELECT 1 FROM ingest_batch WHERE sync_id IN :sync_ids);

-- name: exists$
SELECT EXISTS (SELECT 1 FROM ingest_batch);

-- name: origin^
SELECT mount_type, mount_source, mount_fs_id, discovered_at FROM ingest_batch WHERE id = :batch_id;
