"""Line 15: the sweeps beside a large backlog of which nothing is due."""

from collections.abc import Callable, Iterator

from bench_claim import pipeline
from common import Bench, median, timed
from frame import Form, Value, measures, note

from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.rescuer import Rescuer
from ingestd.pipeline.sweeps import Sweeper

SWEEPS = 25
"""one median is of so many"""
BATCHES = (
    "INSERT INTO ingest_batch (sync_id, status, action, item_count, discovered_at, manifest_completed_at, plan_sha256,"
    " manifest_sha256, is_placed, lacks_job, prior_sync_id)"
    " SELECT LPAD({first} + seq, 36, '0'), '{status}', '{action}', 1, UTC_TIMESTAMP(6),"
    " '2026-01-01' + INTERVAL seq SECOND, SHA2(seq, 256), SHA2(seq, 256), 1, {lacks_job}, {prior} FROM seq_1_to_{count}"
)
JOBS = (
    "INSERT INTO import_job (batch_id, state, manifest_sha256, queued_at) SELECT id, '{state}', manifest_sha256,"
    " UTC_TIMESTAMP(6) FROM ingest_batch"
    " WHERE sync_id BETWEEN LPAD({first} + 1, 36, '0') AND LPAD({first} + {count}, 36, '0')"
)
ITEMS = (
    "INSERT INTO ingest_batch_item (batch_id, ordinal, asset_type, asset_hash, parent_hash, entry_sha256, decision,"
    " waiting_for, updated_at)"
    " SELECT b.id, s.seq, 'cover', MD5(CONCAT(b.id, 'c', s.seq)), MD5(CONCAT(b.id, ' ', s.seq)),"
    " '', 'deferred', MD5(CONCAT(b.id, ' ', s.seq)), UTC_TIMESTAMP(6) FROM ingest_batch b JOIN seq_1_to_1000 s"
    " WHERE b.status = 'partial'"
)
CONTAINERS = (
    "INSERT INTO ingest_batch_container (batch_id, ordinal, type, hash, entry_sha256, decision, missing, updated_at)"
    " SELECT b.id, s.seq, 'gallery', MD5(CONCAT(b.id, 'g', s.seq)), '', 'deferred',"
    " (SELECT JSON_ARRAYAGG(MD5(CONCAT(b.id, 'm', s.seq, ' ', m.seq))) FROM seq_1_to_100 m), UTC_TIMESTAMP(6)"
    " FROM ingest_batch b JOIN seq_1_to_{each} s WHERE b.status = 'partial'"
)
MISSING = (
    "INSERT INTO ingest_batch_missing (container_id, hash, batch_id) SELECT c.id,"
    " MD5(CONCAT(c.batch_id, 'm', c.ordinal, ' ', m.seq)), c.batch_id FROM ingest_batch_container c JOIN seq_1_to_100 m"
)
NAMED = "INSERT INTO asset (hash, deleted_at) SELECT hash, UTC_TIMESTAMP(6) FROM ingest_batch_missing"
TABLES = "ingest_batch, import_job, ingest_batch_item, ingest_batch_container, ingest_batch_missing, asset"


@measures("15")
def sweeps(world: Bench, form: Form) -> Iterator[Value]:
    """The median of each sweep; the slowest counts."""
    fill(world, form.of(10, 1))
    with pipeline(world, queue={"auto": ["create", "update"]}) as context:
        parts = steps(context)
        for _ in range(form.rounds(5)):
            found = {name: 1000 * median([timed(step) for _ in range(SWEEPS)]) for name, step in parts.items()}
            note(", ".join(f"{name} {value:.2f} ms" for name, value in found.items()))
            yield Value("15", max(found.values()))


def steps(context: Context) -> dict[str, Callable[[], object]]:
    sweeper, rescuer = Sweeper(context), Rescuer(context, this_instance())
    return {
        "new": sweeper.queue_new, "place": sweeper.place, "promote": sweeper.promote, "retry": sweeper.retry,
        "revive": sweeper.revive, "rescue": rescuer.run_once,
    }  # fmt: skip


def fill(world: Bench, tenths: int) -> None:
    """So many tenths of 200,000 deferred items, 2,000 galleries, 100,000 batches without a job, a chain of 20,000."""
    few, many, length = 20 * tenths, 5000 * tenths, 2000 * tenths
    add(world, 1, few, "partial", "done")
    add(world, 1_000_000, many, "new", "cancelled")
    add(world, 2_000_000, many, "new", None, action="remove")
    add(world, 3_000_000, length, "queued", "waiting", prior="LPAD(3000000 + seq - 1, 36, '0')")
    world.sql(
        "UPDATE import_job SET state = 'queued' WHERE state = 'waiting' ORDER BY id LIMIT 1",
        ITEMS, CONTAINERS.format(each=10), MISSING, NAMED, f"ANALYZE TABLE {TABLES}",
    )  # fmt: skip


def add(
    world: Bench, first: int, count: int, status: str, state: str | None, action: str = "create", prior: str = "NULL"
) -> None:
    """Batches, and a job for each if there is a `state`."""
    values = {"first": first, "count": count}
    world.sql(BATCHES.format(status=status, action=action, prior=prior, lacks_job=int(state is None), **values))
    if state is not None:
        world.sql(JOBS.format(state=state, **values))
