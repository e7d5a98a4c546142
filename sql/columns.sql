-- The columns of each record that lists, pages, the HTTP interface and commands show, in the order of its fields.
-- To show another column, add it here and to the record in daemon/ingestd/records.py. Tables: b is ingest_batch, j is
-- import_job (joined with b), i is ingest_batch_item, c is ingest_batch_container, e is ingest_event, r is
-- ingest_request, s is ingest_stuck.

-- fragment: batch_columns
-- Record: Batch.
b.id, b.sync_id, b.type, b.action, b.status, b.invalid_basis, b.source_host, b.item_count, b.total_bytes, b.manifest_sha256,
       b.plan_sha256, b.force_sha256, b.force_limit, b.manifest_completed_at, b.prior_sync_id, b.discovered_at, b.started_at,
       b.completed_at, b.last_error, b.failure_count, b.retry_at

-- fragment: job_columns
-- Record: Job.
j.id, j.batch_id, b.sync_id, j.state, j.priority, j.scope, j.requested_by, j.queued_at, j.claimed_at, j.claimed_by,
       j.claim_token, j.heartbeat_at, j.items_done, j.items_total, j.items_at_claim, j.isolate_items, j.current_item_id,
       j.finished_at, j.result, j.last_error, j.reset_count, j.release_count

-- fragment: item_columns
-- Record: Item.
i.ordinal, i.asset_type AS type, i.asset_hash AS hash, i.decision, i.reason, i.target_ids, i.last_error,
       i.updated_at, i.cover_hash, i.parent_hash, i.waiting_for

-- fragment: container_columns
-- Record: Container.
c.ordinal, c.type, c.hash, c.decision, c.reason, c.target_ids, c.last_error, c.updated_at, c.missing

-- fragment: event_columns
-- Record: Event.
e.id, b.sync_id, e.event_type, e.payload, e.created_at

-- fragment: stuck_columns
-- Record: StuckBundle.
s.sync_id, s.reason, s.reported_by, s.since

-- fragment: request_columns
-- Record: IngestRequest.
r.id, r.kind, r.sync_id, r.state, r.result, r.error, r.requested_by, r.requested_at, r.claimed_at, r.claimed_by,
       r.finished_at
