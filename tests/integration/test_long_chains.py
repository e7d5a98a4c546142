"""Long chains of batches of one time: a sweep does little for each of their jobs that must go on waiting."""

import pytest

from ingestd.pipeline import ordering
from ingestd.pipeline.context import Context
from ingestd.pipeline.promotions import MAX_LOOKS
from ingestd.pipeline.sweeps import Sweeper
from ingestd.store.db import Tx
from support.scale import scaled
from support.world import World

LENGTH = scaled(300, 1500)
pytestmark = pytest.mark.soak
STATES = "SELECT state, COUNT(*) FROM import_job GROUP BY state ORDER BY state"


def put_chain(world: World, length: int, *, begin: int = 1, prior_of_first: int | None = None) -> None:
    """Batches of one time, each the prior of the next, all with a waiting job, as rows."""
    first = "NULL" if prior_of_first is None else f"LPAD({prior_of_first}, 36, '0')"
    world.sql(
        "INSERT INTO ingest_batch"
        " (sync_id, action, status, item_count, discovered_at, manifest_completed_at, prior_sync_id)"
        " SELECT LPAD(seq, 36, '0'), 'create', 'queued', 1, UTC_TIMESTAMP(6), '2026-04-01',"
        f" IF(seq = {begin}, {first}, LPAD(seq - 1, 36, '0')) FROM seq_{begin}_to_{begin + length - 1}"
    )
    world.sql(
        "INSERT INTO import_job (batch_id, state, queued_at) SELECT id, 'waiting', UTC_TIMESTAMP(6) FROM ingest_batch"
        " WHERE sync_id >= LPAD(%s, 36, '0') ORDER BY id",
        begin,
    )


@pytest.fixture
def context(world: World) -> Context:
    return world.context()


def test_a_long_chain_is_promoted_one_by_one_without_a_look_at_all(
    world: World, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_chain(world, LENGTH)
    looks: list[int] = []
    real = ordering.promote

    def promote(tx: Tx, job_id: int) -> bool:
        looks.append(job_id)
        return real(tx, job_id)

    def sweep() -> int:
        looks.clear()
        promoted = sweeper.promote()
        assert len(looks) <= MAX_LOOKS + 1
        return promoted

    monkeypatch.setattr(ordering, "promote", promote)
    sweeper = Sweeper(context)
    for number in range(1, 4):
        assert sum(sweep() for _ in range(LENGTH // MAX_LOOKS + 1)) == 1
        assert world.one("SELECT COUNT(*) FROM import_job WHERE state = 'waiting'") == LENGTH - number
        assert sweep() == 0
        world.sql("UPDATE import_job SET state = 'done' WHERE state = 'queued'")


def test_a_circle_beside_a_long_chain_is_found(world: World, context: Context) -> None:
    put_chain(world, LENGTH)
    put_chain(world, 2, begin=5001, prior_of_first=5002)
    sweeper = Sweeper(context)
    promoted = sum(sweeper.promote() for _ in range(LENGTH // MAX_LOOKS + 2))
    assert promoted == 2, "the beginning of the chain, and one of the circle"
    assert sum(sweeper.promote() for _ in range(LENGTH // MAX_LOOKS + 2)) == 0


def test_a_sweep_goes_on_where_the_last_one_ended(world: World, context: Context) -> None:
    put_chain(world, LENGTH)
    world.sql("UPDATE import_job SET state = 'queued' ORDER BY id LIMIT 1")
    sweeper = Sweeper(context)
    assert sweeper.promote() == 0
    put_chain(world, 2, begin=5001, prior_of_first=5002)
    assert sum(sweeper.promote() for _ in range(LENGTH // MAX_LOOKS + 2)) == 1
