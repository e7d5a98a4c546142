"""Hosts with different limits disagree about a manifest: each change of its verdict makes the next pause longer."""

from typing import Any

import pytest

from ingestd.pipeline.preflight import preflight
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.scanner import Scanner
from ingestd.pipeline.sweeps import Sweeper
from ingestd.store import batch
from support.scanning import kinds
from support.world import World, photo

ROUNDS = 6
PAUSE = "SELECT TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(6), check_after) FROM ingest_batch"


class Hosts:
    """Two daemons with different settings of the mount; jobs are claimed by the stricter one."""

    def __init__(self, world: World, strict: dict[str, Any], lenient: dict[str, Any]) -> None:
        self.world = world
        self.strict, self.lenient = world.context(mount=strict), world.context(mount=lenient)
        self.scanners = [Scanner(context) for context in (self.strict, self.lenient)]

    def round(self) -> None:
        """What both do in a minute."""
        for scanner in self.scanners:
            scanner.scan()
        Sweeper(self.strict).retry()
        self.world.run_next(self.strict)


CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "limits": ({"max_items": 1}, {}),
    "clocks": ({"max_future": 10.0}, {}),
    "limit and clock": ({"max_items": 1, "max_future": 7200.0}, {"max_future": 600.0}),
}
"""Settings of the mount of two hosts; with the last ones the bundle is invalid on both, for different reasons."""


def in_half_an_hour(world: World) -> str:
    return str(world.one("SELECT DATE_FORMAT(UTC_TIMESTAMP() + INTERVAL 1750 SECOND, '%%Y-%%m-%%dT%%TZ')"))


@pytest.mark.parametrize("case", CASES)
def test_verdicts_that_alternate_pause_for_longer_each_time(world: World, case: str) -> None:
    hosts = Hosts(world, *CASES[case])
    sync_id = world.put(photo("a"), photo("b"), completed_at=in_half_an_hour(world))
    world.scan(hosts.lenient)
    if case != "limit and clock":
        enqueue(hosts.lenient, QueueRequest(sync_id, "tester"))
    for _ in range(ROUNDS):
        hosts.round()
    before = kinds(world, sync_id)
    assert before.count("batch_valid") <= 1
    assert before.count("batch_invalid") <= 3
    pauses = [world.one(PAUSE)]
    for _ in range(3):
        world.sql("UPDATE ingest_batch SET check_after = UTC_TIMESTAMP(6)")
        for _ in range(ROUNDS):
            hosts.round()
        pauses.append(world.one(PAUSE))
    assert [round(pause / pauses[0]) for pause in pauses] == [1, 2, 4, 8]
    assert pauses[0] >= 45, "a minute, of which some has passed"
    assert len(kinds(world, sync_id)) - len(before) <= 3 * 6


def disagreeing(world: World) -> tuple[Hosts, str]:
    """Two hosts that disagreed about a queued batch for a while."""
    hosts = Hosts(world, *CASES["limits"])
    sync_id = world.put(photo("a"), photo("b"))
    world.scan(hosts.lenient)
    enqueue(hosts.lenient, QueueRequest(sync_id, "tester"))
    for _ in range(ROUNDS):
        hosts.round()
    return hosts, sync_id


def test_a_person_does_not_wait_for_the_pause(world: World) -> None:
    hosts, sync_id = disagreeing(world)
    assert world.status(sync_id) == "invalid"
    assert preflight(hosts.lenient, sync_id)["ok"]
    assert world.status(sync_id) != "invalid"


def test_a_host_that_starts_with_a_higher_limit_does_not_wait_for_the_pause(world: World) -> None:
    _, sync_id = disagreeing(world)
    raised = world.context()
    assert world.scan(raised) == [sync_id]
    assert Sweeper(raised).retry() == 1
    assert world.run_next(raised) == "done"
    assert world.status(sync_id) == "imported"


@pytest.mark.parametrize(("ahead", "is_checked"), [("1 YEAR", True), ("20 HOUR", False)])
def test_a_clock_that_was_ahead_for_a_moment_delays_no_check(world: World, ahead: str, is_checked: bool) -> None:
    world.put(photo("a"), photo("b"))
    world.scan(world.context(mount={"max_items": 1}))
    world.sql(f"UPDATE ingest_batch SET check_after = UTC_TIMESTAMP(6) + INTERVAL {ahead}")
    doubtful = world.context().db.read(lambda tx: batch.provisional(tx, 0.0))
    assert [is_doubtful for _basis, is_doubtful in doubtful.values()] == [is_checked]


def test_another_manifest_is_checked_at_once(world: World) -> None:
    hosts, sync_id = disagreeing(world)
    world.put(photo("a"), photo("c"), sync_id=sync_id)
    hosts.scanners[0].scan()
    assert world.sql("SELECT status, overturned_count, check_after FROM ingest_batch") == [("invalid", 0, None)]
    assert hosts.scanners[1].scan() == [sync_id]
