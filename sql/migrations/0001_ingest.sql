-- The consumer's own tables: what was delivered, what was asked for, what was decided.
-- Every statement can run twice: DDL commits by itself, so a migration cut short is simply run again.

CREATE TABLE IF NOT EXISTS ingest_batch (
  id                BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  sync_id           CHAR(36) CHARACTER SET ascii COLLATE ascii_nopad_bin NOT NULL,
  type              VARCHAR(64) NULL,
  action            VARCHAR(16) CHARACTER SET ascii COLLATE ascii_nopad_bin NULL,
  status            VARCHAR(16) CHARACTER SET ascii COLLATE ascii_nopad_bin NOT NULL,
  invalid_basis     VARCHAR(16) CHARACTER SET ascii COLLATE ascii_nopad_bin NULL
                    COMMENT 'what an invalid status rests on: bytes, setting, time or absence',
  overturned_count  INT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'how often the present manifest got another verdict',
  check_after       DATETIME(6) NULL COMMENT 'scans do not check the same manifest again before; NULL: at any time',
  source_host       VARCHAR(255) NULL,
  item_count        INT UNSIGNED NOT NULL DEFAULT 0,
  total_bytes       BIGINT UNSIGNED NOT NULL DEFAULT 0,
  manifest_sha256   CHAR(64) CHARACTER SET ascii COLLATE ascii_nopad_bin NULL,
  former_sha256     CHAR(64) CHARACTER SET ascii COLLATE ascii_nopad_bin NULL
                    COMMENT 'the manifest before the present one; empty: an unreadable one; NULL: there was none',
  manifest_changed_at DATETIME(6) NULL,
  earlier_jobs      BIGINT UNSIGNED NOT NULL DEFAULT 0
                    COMMENT 'the last job that had ended when the present manifest was recorded',
  lacks_job         TINYINT UNSIGNED NOT NULL DEFAULT 1
                    COMMENT 'its present manifest had no job of all items yet, and no job of it was cancelled',
  plan_sha256       CHAR(64) CHARACTER SET ascii COLLATE ascii_nopad_bin NULL,
  staged_sha256     CHAR(64) CHARACTER SET ascii COLLATE ascii_nopad_bin NULL
                    COMMENT 'the manifest that the rows of items were last compared with, all in one transaction or by a plan',
  force_sha256      CHAR(64) CHARACTER SET ascii COLLATE ascii_nopad_bin NULL
                    COMMENT 'the digest for which an operator allowed removals beyond queue.removal_limit',
  force_limit       BIGINT UNSIGNED NULL COMMENT 'how many rows that allows to remove in all; NULL: any number',
  manifest_summary  JSON NULL,
  manifest_completed_at DATETIME(6) NULL COMMENT 'completed_at of the present manifest',
  imported_version_at DATETIME(6) NULL COMMENT 'the latest completed_at of the manifests that were imported',
  imported_generation INT UNSIGNED NULL COMMENT 'the generation of its version when its last import began',
  imported_revision INT UNSIGNED NULL COMMENT 'the revision of the order of its time then',
  version_at DATETIME(6) AS (IFNULL(GREATEST(IFNULL(imported_version_at, manifest_completed_at), manifest_completed_at),
                                    imported_version_at)) VIRTUAL
             COMMENT 'the time of its version: never before that of what was imported',
  prior_sync_id     CHAR(36) CHARACTER SET ascii COLLATE ascii_nopad_bin NULL,
  is_placed         TINYINT UNSIGNED NOT NULL DEFAULT 0
                    COMMENT 'a sweep has seen whether batches of the same time, imported before, follow it',
  last_error        TEXT NULL,
  earlier_error     TEXT NULL
                    COMMENT 'last_error before the job was set aside; empty: there was none; NULL: it is not set aside',
  failure_count     INT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'runs in a row that failed as a whole',
  retry_at          DATETIME(6) NULL COMMENT 'when a sweep queues it again after such a run',
  discovered_at     DATETIME(6) NOT NULL,
  started_at        DATETIME(6) NULL,
  completed_at      DATETIME(6) NULL,
  revived_at        DATETIME(6) NULL,
  mount_type        VARCHAR(64) NULL COMMENT 'what was mounted where it was recorded: type, source, own id',
  mount_source      VARCHAR(1000) NULL,
  mount_fs_id       VARCHAR(1000) NULL,
  unqueued_action   VARCHAR(16) CHARACTER SET ascii COLLATE ascii_nopad_bin AS (
                      IF(lacks_job = 1 AND status IN ('new', 'ready'), action, NULL)) PERSISTENT
                    COMMENT 'what queue.auto looks for, and few batches have',
  retry_noted_at    DATETIME(6) AS (IF(retry_at IS NULL, NULL, completed_at)) PERSISTENT
                    COMMENT 'when retry_at was written',
  UNIQUE KEY identity (sync_id),
  KEY by_status (status, id),
  KEY by_action (action, id),
  KEY by_status_and_action (status, action, id),
  KEY by_host (source_host, id),
  KEY by_failure_count (failure_count, retry_at),
  KEY by_unqueued_action (unqueued_action, manifest_completed_at, sync_id),
  KEY by_retry (retry_at),
  KEY by_retry_note (retry_noted_at),
  KEY by_prior (prior_sync_id),
  KEY by_time (version_at),
  KEY by_placed (is_placed, id),
  KEY by_invalid_basis (invalid_basis)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

CREATE TABLE IF NOT EXISTS ingest_order (
  version_at        DATETIME(6) NOT NULL PRIMARY KEY,
  revision          INT UNSIGNED NOT NULL DEFAULT 1 COMMENT 'grows when bundles of this time follow fewer than before',
  is_placed         TINYINT UNSIGNED NOT NULL DEFAULT 0
                    COMMENT 'a sweep has seen that none of this time is left to be imported again',
  awaits_runs       TINYINT UNSIGNED NOT NULL DEFAULT 1
                    COMMENT 'no sweep has seen yet that all runs with the revision before have ended',
  KEY by_placed (is_placed, version_at)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

CREATE TABLE IF NOT EXISTS ingest_batch_item (
  id            BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  batch_id      BIGINT UNSIGNED NOT NULL,
  ordinal       INT UNSIGNED NOT NULL COMMENT 'place in the manifest, from 0',
  asset_type    VARCHAR(32) CHARACTER SET ascii COLLATE ascii_nopad_bin NOT NULL,
  asset_hash    VARCHAR(32) CHARACTER SET ascii COLLATE ascii_nopad_bin NOT NULL,
  cover_hash    CHAR(32) CHARACTER SET ascii COLLATE ascii_nopad_bin NULL,
  parent_hash   VARCHAR(32) CHARACTER SET ascii COLLATE ascii_nopad_bin NULL,
  parent_key    VARCHAR(32) CHARACTER SET ascii COLLATE ascii_nopad_bin AS (IFNULL(parent_hash, '')) PERSISTENT,
  entry_sha256  CHAR(64) CHARACTER SET ascii COLLATE ascii_nopad_bin NOT NULL,
  in_manifest   TINYINT UNSIGNED NOT NULL DEFAULT 1,
  decision      VARCHAR(16) CHARACTER SET ascii COLLATE ascii_nopad_bin NOT NULL,
  reason        VARCHAR(32) CHARACTER SET ascii COLLATE ascii_nopad_bin NULL,
  waiting_for   CHAR(32) CHARACTER SET ascii COLLATE ascii_nopad_bin NULL,
  asset_id      BIGINT UNSIGNED NULL COMMENT 'the asset that the decision is about; of a cover, its parent',
  target_ids    VARCHAR(160) AS (
                  IF(asset_id IS NULL, NULL,
                     CONCAT('{"asset_id":', asset_id,
                            IF(asset_type = 'cover',
                               CONCAT(',"cover_hash":"', asset_hash, '","parent_hash":"', parent_hash, '"'), ''),
                            '}'))) VIRTUAL COMMENT 'JSON',
  last_error    TEXT NULL,
  crash_count        TINYINT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'workers that crashed while importing this item',
  updated_at    DATETIME(6) NOT NULL DEFAULT UTC_TIMESTAMP(6),
  needs_attention       VARCHAR(16) CHARACTER SET ascii COLLATE ascii_nopad_bin AS (
                  IF(in_manifest = 1 AND decision IN ('failed', 'deferred'), decision, NULL)) PERSISTENT
                COMMENT 'what people look for, and few items are',
  UNIQUE KEY identity (batch_id, asset_type, asset_hash, parent_key),
  KEY by_ordinal (batch_id, ordinal),
  KEY by_needs_attention (batch_id, needs_attention, ordinal),
  KEY revival (waiting_for, batch_id),
  CONSTRAINT item_of_batch FOREIGN KEY (batch_id) REFERENCES ingest_batch (id)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

-- No foreign key: it would make every chunk that is written hold on to the row of its batch.
CREATE TABLE IF NOT EXISTS ingest_batch_tally (
  batch_id  BIGINT UNSIGNED NOT NULL,
  decision  VARCHAR(16) CHARACTER SET ascii COLLATE ascii_nopad_bin NOT NULL,
  reason    VARCHAR(32) CHARACTER SET ascii COLLATE ascii_nopad_bin NOT NULL,
  items     INT NOT NULL COMMENT 'listed items so decided, kept by the transactions that decide',
  PRIMARY KEY (batch_id, decision, reason)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

-- Rows that a batch takes out of sight, which queue.removal_limit bounds. No foreign key, as above.
CREATE TABLE IF NOT EXISTS ingest_batch_removal (
  batch_id          BIGINT UNSIGNED NOT NULL PRIMARY KEY,
  manifest_sha256   CHAR(64) CHARACTER SET ascii COLLATE ascii_nopad_bin NOT NULL COMMENT 'the digest of expected_…',
  removed_assets    INT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'over all manifests of the batch',
  removed_files     INT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'files and covers',
  removed_members   INT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'members of galleries and collections',
  approved          INT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'how many of the removed rows an operator approved',
  expected_assets   INT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'removed so far and to be removed, by the last plan',
  expected_files    INT UNSIGNED NOT NULL DEFAULT 0,
  expected_members  INT UNSIGNED NOT NULL DEFAULT 0,
  refused_assets    INT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'what was expected when the batch was held',
  refused_files     INT UNSIGNED NOT NULL DEFAULT 0,
  refused_members   INT UNSIGNED NOT NULL DEFAULT 0,
  is_held           TINYINT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'the expected removals were refused'
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

CREATE TABLE IF NOT EXISTS ingest_batch_container (
  id            BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  batch_id      BIGINT UNSIGNED NOT NULL,
  ordinal       INT UNSIGNED NOT NULL,
  type          VARCHAR(32) CHARACTER SET ascii COLLATE ascii_nopad_bin NOT NULL,
  hash          VARCHAR(32) CHARACTER SET ascii COLLATE ascii_nopad_bin NOT NULL,
  entry_sha256  CHAR(64) CHARACTER SET ascii COLLATE ascii_nopad_bin NOT NULL,
  in_manifest   TINYINT UNSIGNED NOT NULL DEFAULT 1,
  decision      VARCHAR(16) CHARACTER SET ascii COLLATE ascii_nopad_bin NOT NULL,
  reason        VARCHAR(32) CHARACTER SET ascii COLLATE ascii_nopad_bin NULL,
  missing       JSON NULL,
  target_ids    JSON NULL,
  last_error    TEXT NULL,
  updated_at    DATETIME(6) NOT NULL DEFAULT UTC_TIMESTAMP(6),
  UNIQUE KEY identity (batch_id, type, hash),
  KEY by_ordinal (batch_id, ordinal),
  KEY revival (decision, batch_id),
  CONSTRAINT container_of_batch FOREIGN KEY (batch_id) REFERENCES ingest_batch (id)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

-- Members that deferred containers wait for, to be found by their hash. `missing` has the truth: a row may be left over.
-- No foreign key, as above.
CREATE TABLE IF NOT EXISTS ingest_batch_missing (
  container_id  BIGINT UNSIGNED NOT NULL,
  hash          CHAR(32) CHARACTER SET ascii COLLATE ascii_nopad_bin NOT NULL,
  batch_id      BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (container_id, hash),
  KEY revival (hash, batch_id)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

-- What a sweep should look at, written in the transaction that gives a reason to. Several rows may be about one batch: none
-- is shared by two transactions.
CREATE TABLE IF NOT EXISTS ingest_due (
  id        BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  kind      VARCHAR(16) CHARACTER SET ascii COLLATE ascii_nopad_bin NOT NULL
            COMMENT 'revival: what the batch waits for may be live; promotion: jobs may wait for the batch in vain',
  batch_id  BIGINT UNSIGNED NOT NULL,
  due_at    DATETIME(6) NOT NULL,
  KEY by_time (kind, due_at, batch_id)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

CREATE TABLE IF NOT EXISTS import_job (
  id                BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  batch_id          BIGINT UNSIGNED NOT NULL,
  state             VARCHAR(16) CHARACTER SET ascii COLLATE ascii_nopad_bin NOT NULL,
  priority          INT NOT NULL DEFAULT 100,
  scope             VARCHAR(16) CHARACTER SET ascii COLLATE ascii_nopad_bin NOT NULL DEFAULT 'all'
                    COMMENT 'which items the run takes: all, failed, deferred, revival, reimport',
  has_reset_items   TINYINT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'a re-import has begun: the decisions of its batch are reset',
  manifest_sha256   CHAR(64) CHARACTER SET ascii COLLATE ascii_nopad_bin NULL COMMENT 'the digest whose content it takes up; NULL: only some items',
  requested_by      VARCHAR(255) NULL,
  queued_at         DATETIME(6) NOT NULL,
  claimed_at        DATETIME(6) NULL,
  claimed_by        VARCHAR(255) NULL,
  claimed_instance  VARCHAR(255) NULL,
  claim_token       BIGINT UNSIGNED NOT NULL DEFAULT 0,
  writes            BIGINT UNSIGNED NOT NULL DEFAULT 0
                    COMMENT 'committed fenced transactions; shows after a lost COMMIT reply whether it was committed',
  heartbeat_at      DATETIME(6) NULL,
  heartbeat_us      BIGINT UNSIGNED NULL COMMENT 'microseconds between its heartbeats, as set where it runs',
  stale_us          BIGINT UNSIGNED NULL COMMENT 'microseconds of silence after which it is reset, as set where it runs',
  items_done        INT UNSIGNED NOT NULL DEFAULT 0,
  items_total       INT UNSIGNED NOT NULL DEFAULT 0,
  items_at_claim    INT UNSIGNED NOT NULL DEFAULT 0,
  current_item_id   BIGINT UNSIGNED NULL COMMENT 'the item being imported, in a run that takes items one by one',
  isolate_items           TINYINT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'a worker died without progress: take items one by one',
  crash_count       INT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'workers in a row that crashed before its first item',
  finished_at       DATETIME(6) NULL,
  result            JSON NULL COMMENT 'decisions on the items of its batch when it ended, and containers that need attention',
  last_error        TEXT NULL,
  reset_count       INT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'how often its worker died or fell silent',
  release_count     INT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'how often its worker gave it back',
  active_batch_id   BIGINT UNSIGNED AS (IF(state IN ('waiting', 'queued', 'running'), batch_id, NULL)) PERSISTENT,
  ended             VARCHAR(16) CHARACTER SET ascii COLLATE ascii_nopad_bin AS (
                      IF(state IN ('waiting', 'queued', 'running'), NULL, state)) PERSISTENT
                    COMMENT 'how it ended; no claim, promotion or release moves an entry of this key',
  UNIQUE KEY one_active_job (active_batch_id),
  KEY claim (state, priority, id),
  KEY by_ended (ended, id),
  KEY by_finished (finished_at),
  KEY by_batch (batch_id, id)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

-- Scans and pre-flights that were accepted for later. Unlike the ledger they are deleted some days after their end.
CREATE TABLE IF NOT EXISTS ingest_request (
  id                BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  kind              VARCHAR(16) CHARACTER SET ascii COLLATE ascii_nopad_bin NOT NULL COMMENT 'scan, preflight',
  sync_id           VARCHAR(36) CHARACTER SET ascii COLLATE ascii_nopad_bin NULL COMMENT 'the batch; NULL for a scan',
  state             VARCHAR(16) CHARACTER SET ascii COLLATE ascii_nopad_bin NOT NULL
                    COMMENT 'queued, running, done, failed',
  result            JSON NULL COMMENT 'what the scan found, or the plan',
  error             TEXT NULL COMMENT 'why it failed',
  requested_by      VARCHAR(255) NULL,
  requested_at      DATETIME(6) NOT NULL,
  claimed_at        DATETIME(6) NULL,
  claimed_by        VARCHAR(255) NULL,
  claimed_instance  VARCHAR(255) NULL,
  claim_token       BIGINT UNSIGNED NOT NULL DEFAULT 0,
  heartbeat_at      DATETIME(6) NULL,
  heartbeat_us      BIGINT UNSIGNED NULL COMMENT 'microseconds between its heartbeats, as set where it runs',
  stale_us          BIGINT UNSIGNED NULL COMMENT 'microseconds of silence after which it is reset, as set where it runs',
  finished_at       DATETIME(6) NULL,
  reset_count       INT UNSIGNED NOT NULL DEFAULT 0,
  open_key          VARCHAR(36) CHARACTER SET ascii COLLATE ascii_nopad_bin AS (
                      CASE WHEN kind = 'scan' AND state = 'queued' AND claim_token = 0 THEN kind
                           WHEN kind = 'preflight' AND state IN ('queued', 'running') THEN sync_id END) PERSISTENT
                    COMMENT 'what a further request shares: the scan that never began, the open pre-flight of a batch',
  UNIQUE KEY one_open_request (open_key),
  KEY claim (state, kind, claim_token, id),
  KEY by_batch (sync_id, id),
  KEY by_finished (finished_at)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

-- Bundles that cannot be read or recorded. A row is deleted when its bundle is recorded, or when the host that reported it
-- does not list it any more.
CREATE TABLE IF NOT EXISTS ingest_stuck (
  sync_id       CHAR(36) CHARACTER SET ascii COLLATE ascii_nopad_bin NOT NULL PRIMARY KEY,
  reason        TEXT NOT NULL,
  reported_by   VARCHAR(255) NOT NULL COMMENT 'the host that first reported it',
  since         DATETIME(6) NOT NULL,
  seen_at       DATETIME(6) NOT NULL COMMENT 'when a host last tried it in vain',
  KEY by_age (since, sync_id)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

-- What a host sees may be older than what another one recorded: it has no foreign key, and its rows are few.
CREATE TABLE IF NOT EXISTS ingest_sighting (
  batch_id        BIGINT UNSIGNED NOT NULL,
  host            VARCHAR(255) NOT NULL,
  root            VARCHAR(500) NOT NULL COMMENT 'mount.root',
  manifest_sha256 CHAR(64) CHARACTER SET ascii COLLATE ascii_nopad_bin NOT NULL COMMENT 'what this host saw last',
  change_count    INT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'how often it found a change, without a pause of a week',
  changed_at      DATETIME(6) NOT NULL DEFAULT UTC_TIMESTAMP(6),
  disputed_since  DATETIME(6) NULL COMMENT 'another host recorded another manifest, which this one does not see',
  PRIMARY KEY (batch_id, host, root)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

CREATE TABLE IF NOT EXISTS ingest_event (
  id          BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
  batch_id    BIGINT UNSIGNED NULL,
  event_type  VARCHAR(32) CHARACTER SET ascii COLLATE ascii_nopad_bin NOT NULL,
  payload     JSON NOT NULL,
  created_at  DATETIME(6) NOT NULL DEFAULT UTC_TIMESTAMP(6),
  PRIMARY KEY (id, created_at),
  KEY by_batch (batch_id, id),
  KEY by_type (event_type, id)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

-- Which events name an operator: a few of the ledger, where a key of all events would cost each import.
CREATE TABLE IF NOT EXISTS ingest_event_actor (
  actor     VARCHAR(255) NOT NULL COMMENT 'requested_by, unless that is ingestd itself',
  event_id  BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (actor, event_id)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

-- Every account may set `timestamp`, which UTC_TIMESTAMP follows, and `insert_id`, which becomes the id of the next row.
-- SYSDATE follows neither, but the time zone. Checks and replication can be switched off for a session, too.
CREATE OR REPLACE TRIGGER ingest_event_is_authentic BEFORE INSERT ON ingest_event FOR EACH ROW
BEGIN
  IF @@insert_id <> 0 OR @@check_constraint_checks = 0 OR @@skip_replication <> 0 THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'ingest_event is append-only: a session chooses no id and skips no check';
  END IF;
  SET NEW.created_at = CONVERT_TZ(SYSDATE(6), @@time_zone, '+00:00');
END;

CREATE OR REPLACE TRIGGER ingest_event_is_append_only_update BEFORE UPDATE ON ingest_event FOR EACH ROW
  SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'ingest_event is append-only: rows are never changed';

CREATE OR REPLACE TRIGGER ingest_event_is_append_only_delete BEFORE DELETE ON ingest_event FOR EACH ROW
  SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'ingest_event is append-only: rows are never deleted';

-- Hosts may mount the same bundles in different ways, so each remembers what it found.
CREATE TABLE IF NOT EXISTS ingest_mount (
  host            VARCHAR(255) NOT NULL,
  root            VARCHAR(500) NOT NULL COMMENT 'mount.root',
  fs_type         VARCHAR(64) NOT NULL,
  source          VARCHAR(1000) NOT NULL,
  fs_id           VARCHAR(1000) NOT NULL,
  since           DATETIME(6) NOT NULL COMMENT 'when it was first found, or accepted',
  accepted_by     VARCHAR(255) NULL COMMENT 'the operator who accepted it; NULL: taken by itself',
  refused_type    VARCHAR(64) NULL COMMENT 'what was found in its place: nothing is read from it',
  refused_source  VARCHAR(1000) NULL,
  refused_fs_id   VARCHAR(1000) NULL,
  refused_reason  VARCHAR(16) CHARACTER SET ascii COLLATE ascii_nopad_bin NULL COMMENT 'covered, replaced',
  refused_at      DATETIME(6) NULL,
  listing_problem TEXT NULL COMMENT 'why sync/ is not listed to its end, and what to do',
  listing_failed_at DATETIME(6) NULL COMMENT 'since when',
  PRIMARY KEY (host, root)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

CREATE TABLE IF NOT EXISTS ingest_control (
  id            TINYINT UNSIGNED NOT NULL PRIMARY KEY,
  paused        TINYINT UNSIGNED NOT NULL DEFAULT 0,
  paused_by     VARCHAR(255) NULL,
  paused_reason TEXT NULL,
  paused_at     DATETIME(6) NULL
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

INSERT INTO ingest_control (id) VALUES (1) ON DUPLICATE KEY UPDATE id = id;
