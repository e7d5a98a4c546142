"""Two daemons share the queue and keep its order."""

import pytest

from ingestd.pipeline import pausing
from ingestd.pipeline.sweeps import Sweeper
from support.imports import STOP_SECONDS, lean, view_of
from support.process import Daemons
from support.scale import scaled
from support.uncovered import NOT_MEASURED
from support.wait import until
from support.world import World

BUNDLES = scaled(200, 2000)
WORKERS = 8


def queue_many(world: World) -> None:
    """Single-item bundles in two priorities, all queued while nothing is claimed."""
    for number in range(BUNDLES):
        world.put(*lean(f"one{number}-", 1), action=("create", "update")[number % 2])
    ordinary = world.context(queue={"auto": ["create"]})
    urgent = world.context(queue={"auto": ["update"], "priority": 50})
    world.scan(ordinary)
    pausing.pause(ordinary, "tester", "until all are queued")
    for context in (ordinary, urgent):
        sweeper = Sweeper(context)
        while sweeper.queue_new():
            pass


@pytest.mark.soak
def test_two_daemons_share_the_work_and_keep_the_order(world: World, daemons: Daemons) -> None:
    queue_many(world)
    daemons.environment = NOT_MEASURED
    view = view_of(world)
    assert view.sql("SELECT priority, COUNT(*) FROM import_job WHERE state = 'queued' GROUP BY 1") == [
        (50, BUNDLES // 2),
        (100, BUNDLES // 2),
    ]
    worker = {"threads": WORKERS // 2, "poll_interval": 0.1, "stop_seconds": STOP_SECONDS}
    pair = [daemons.start(worker=worker) for _ in range(2)]
    for process in pair:
        process.wait_until_started()
    pausing.resume(world.context(), "tester")
    unfinished = "SELECT EXISTS (SELECT 1 FROM import_job WHERE state IN ('queued', 'running'))"
    until(
        lambda: not view.one(unfinished), seconds=90, what=lambda: f"for the end; {[process.log for process in pair]}"
    )
    assert view.statuses() == ["imported"]
    view.demand_each_item_once(BUNDLES)
    assert [process.terminate(STOP_SECONDS) for process in pair] == [0, 0]
    claims = view.sql(
        "SELECT JSON_VALUE(payload, '$.job_id'), JSON_VALUE(payload, '$.priority'), JSON_VALUE(payload, '$.worker_id')"
        " FROM ingest_event WHERE event_type = 'job_claimed' ORDER BY id"
    )
    claimed = [(int(priority), int(job_id)) for job_id, priority, _ in claims]
    in_order = sorted(claimed)
    assert in_order == view.sql("SELECT priority, id FROM import_job ORDER BY 1, 2"), "each exactly once"
    assert view.sql("SELECT DISTINCT claim_token, state, reset_count FROM import_job") == [(1, "done", 0)]
    demand_order(claimed, in_order)
    shares = {pid: len([worker for *_, worker in claims if f"/pid:{pid}/" in worker]) for pid in (p.pid for p in pair)}
    assert sum(shares.values()) == BUNDLES
    assert min(shares.values()) > BUNDLES / 10, f"both took their part: {shares}"


def demand_order(claimed: list[tuple[int, int]], in_order: list[tuple[int, int]]) -> None:
    """When a job is claimed, those before it are claimed already, or are just being claimed by the other workers."""
    overtaken: set[tuple[int, int]] = set()
    following = iter(in_order)
    furthest = (-1, -1)
    for claim in claimed:
        while furthest < claim:
            furthest = next(following)
            overtaken.add(furthest)
        overtaken.remove(claim)
        earlier = [job for job in overtaken if job < claim]
        assert len(earlier) < WORKERS, f"{claim} was claimed before {sorted(earlier)}"
