"""Many batches and jobs, made by the server itself."""

from support.world import World


def crowd(world: World, batches: int = 4000, jobs: int = 8000) -> int:
    """Batches and jobs in every state, most of them old; the id of one with items, events and containers."""
    world.sql(
        "INSERT INTO ingest_batch (sync_id, status, action, source_host, discovered_at)"
        " SELECT RPAD(MD5(seq), 36, '0'), IFNULL(ELT(1 + MOD(seq, 9), 'failed', 'ready', 'invalid'), 'imported'),"
        " ELT(1 + MOD(seq, 2), 'create', 'update'), CONCAT('flux-', MOD(seq, 20)), UTC_TIMESTAMP(6) FROM"
        f" seq_1_to_{batches}"
    )
    first: int = world.one("SELECT MIN(id) FROM ingest_batch")
    world.sql(
        "INSERT INTO import_job (batch_id, state, priority, queued_at, finished_at)"
        " SELECT %s + MOD(seq, %s), ELT(1 + MOD(seq, 4), 'done', 'done', 'failed', 'cancelled'), 100, UTC_TIMESTAMP(6),"
        f" UTC_TIMESTAMP(6) + INTERVAL MOD(seq * 5, {jobs + 1}) SECOND FROM seq_1_to_{jobs}",
        first,
        batches,
    )
    activate(world, 90)
    fill(world, first)
    world.sql("ANALYZE TABLE ingest_batch, import_job, ingest_batch_item, ingest_event, ingest_batch_container")
    return first


def activate(world: World, batches: int) -> None:
    """Gives the newest batches an active job each."""
    world.sql(
        "INSERT INTO import_job (batch_id, state, priority, queued_at)"
        " SELECT id, ELT(1 + MOD(id, 3), 'running', 'queued', 'waiting'), MOD(id, 5), UTC_TIMESTAMP(6)"
        " FROM ingest_batch ORDER BY id DESC LIMIT %s",
        batches,
    )


def fill(world: World, batch_id: int) -> None:
    """Gives one batch, and the next, what a batch has."""
    world.sql(
        "INSERT INTO ingest_batch_item (batch_id, ordinal, asset_type, asset_hash, entry_sha256, decision, updated_at)"
        " SELECT %s + MOD(seq, 2), seq, 'photo', MD5(seq), SHA2(seq, 256), IF(MOD(seq, 90), 'created', 'failed'),"
        " UTC_TIMESTAMP(6) FROM seq_1_to_3000",
        batch_id,
    )
    world.sql(
        "INSERT INTO ingest_event (batch_id, event_type, payload)"
        " SELECT %s + MOD(seq, 2), 'item_created', '{}' FROM seq_1_to_3000",
        batch_id,
    )
    world.sql(
        "INSERT INTO ingest_batch_container (batch_id, ordinal, type, hash, entry_sha256, in_manifest, decision,"
        " updated_at) SELECT %s + MOD(seq, 2), 1000 - seq, 'gallery', MD5(seq), SHA2(seq, 256), MOD(seq, 5) > 0,"
        " 'created', UTC_TIMESTAMP(6) FROM seq_1_to_1000",
        batch_id,
    )
