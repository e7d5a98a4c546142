"""Whether a job is stale depends on the settings of the daemon that runs it, not of the one that looks."""

import time

import pytest

from ingestd.model import RequestKind
from ingestd.pipeline.claims import claim
from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.rescuer import Rescuer
from ingestd.store import request
from support.world import World, photo

ME = this_instance()
OTHER_MACHINE = str(ME._replace(machine_id="0" * 32))
CLONE = str(ME._replace(boot_id="another"))
RELAXED, STRICT = {"heartbeat_interval": 15.0, "stale_after": 900.0}, {"heartbeat_interval": 1.0, "stale_after": 4.0}
ALL = "UPDATE {} SET heartbeat_at = UTC_TIMESTAMP(6) - INTERVAL {} SECOND WHERE state = 'running'"


def work_of(world: World, runs: dict[str, float], instance: str, silent_for: float) -> None:
    """A job and a scan that run on a host with these settings, and have been silent for so many seconds."""
    context = world.context(worker=runs)
    sync_id = world.put(photo("a"))
    world.scan(context)
    enqueue(context, QueueRequest(sync_id, "tester"))
    assert claim(context, "elsewhere/pid:7/0", instance) is not None
    context.db.transaction(lambda tx: request.insert(tx, RequestKind.SCAN, "tester"))
    patience = context.settings.worker.patience
    claimed = context.db.transaction(lambda tx: request.claim_next(tx, RequestKind.SCAN, "w", instance, patience))
    assert claimed is not None
    for table in ("import_job", "ingest_request"):
        world.sql(ALL.format(table, silent_for))


def look(world: World, looks: dict[str, float]) -> tuple[Context, list[str]]:
    """The context of a host with these settings, and the states of job and scan after it looked for dead workers."""
    context = world.context(worker=looks)
    Rescuer(context, ME).run_once()
    return context, states(world)


def states(world: World) -> list[str]:
    return [world.one(f"SELECT state FROM {table}") for table in ("import_job", "ingest_request")]


@pytest.mark.parametrize(
    ("runs", "looks", "silent_for", "after"),
    [
        (RELAXED, STRICT, 890, "running"),
        (RELAXED, STRICT, 901, "queued"),
        (STRICT, RELAXED, 3, "running"),
        (STRICT, RELAXED, 5, "queued"),
    ],
)
def test_silent_work(
    world: World, runs: dict[str, float], looks: dict[str, float], silent_for: float, after: str
) -> None:
    work_of(world, runs, OTHER_MACHINE, silent_for)
    assert look(world, looks)[1] == [after, after]


@pytest.mark.parametrize(("silent_for", "after"), [(44, "running"), (46, "queued")])
def test_work_of_what_may_be_a_clone(world: World, silent_for: float, after: str) -> None:
    work_of(world, RELAXED, CLONE, silent_for)
    assert look(world, STRICT)[1] == [after, after]


def test_after_an_outage_each_has_time_for_its_own_heartbeats(world: World) -> None:
    work_of(world, RELAXED, OTHER_MACHINE, 2000)
    context = world.context(worker=STRICT)
    rescuer = Rescuer(context, ME)
    context.db.note_outage()
    rescuer.run_once()
    for waited, after in ((59, "running"), (61, "queued")):
        context.db.available_since = time.monotonic() - waited
        rescuer.run_once()
        assert states(world) == [after, after]


def test_the_ledger_says_which_silence_was_too_long(world: World) -> None:
    work_of(world, STRICT, OTHER_MACHINE, 5)
    look(world, RELAXED)
    [reset] = world.sql(
        "SELECT JSON_VALUE(payload, '$.threshold_seconds') FROM ingest_event WHERE event_type = 'job_reset'"
    )
    assert reset == ("4",)
