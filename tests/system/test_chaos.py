"""Three daemons that are killed and frozen at random leave the same tables as one run that nothing interrupts."""

import json
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingestd.pipeline.sweeps import Sweeper
from support import unfenced
from support.process import Daemons, Process, daemons_of
from support.scale import IS_SOAK, scaled
from support.snapshot import Snapshot, differences, snapshot
from support.wait import until
from support.world import World, cover, empty, md5, new_sync_id, photo

MIN_SECONDS, MAX_SECONDS = scaled(5, 180), scaled(60, 400)
MIN_RESETS = scaled(2, 20)
SEEDS = (1, 2, 3) if IS_SOAK else (1,)
CHAINS, ITEMS, MEMBERS, CHUNK = 4, 40, 9, 3
STALE_SECONDS = 1.0
FROZEN_SECONDS = 2.0 * STALE_SECONDS
FINAL = ("imported", "partial", "failed")
ALL_ACTIONS = ["create", "update", "remove"]
SETTINGS: dict[str, Any] = {
    "worker": {
        "threads": 2, "chunk_items": CHUNK, "poll_interval": 0.05, "heartbeat_interval": 0.1,
        "stale_after": STALE_SECONDS, "stop_seconds": 5.0,
    },
    "queue": {"auto": ALL_ACTIONS},
    "mount": {"rescan_interval": 0.2, "poll_interval": 0.1, "watch": "poll"},
    "log": {"level": "warning"},
}  # fmt: skip


class Chain:
    """Bundles about the same assets, each delivered after the import of the one that it follows.

    What an item or container waits for never comes: when it would be tried again depends on the time.
    """

    def __init__(self, world: World, name: str, dice: random.Random) -> None:
        self._world, self._name, self._random = world, name, dice
        self._day = 0
        self._prior: str | None = None
        self.delivered: list[str] = []

    def go_on(self) -> None:
        """Delivers the next bundle if the last one was imported."""
        if self._prior is None or self._status(self._prior) in FINAL:
            self._day += 1
            self._prior = self._deliver(self._prior)
            self.delivered.append(self._prior)

    def _status(self, sync_id: str) -> str | None:
        rows = self._world.sql("SELECT status FROM ingest_batch WHERE sync_id = %s", sync_id)
        return rows[0][0] if rows else None

    def _deliver(self, prior: str | None) -> str:
        action = "create" if prior is None else self._random.choice(["update", "update", "remove"])
        names = [f"{self._name}-{number}" for number in range(ITEMS)]
        chosen = sorted(self._random.sample(names, ITEMS if prior is None else ITEMS // 2))
        items = [self._photo(name, may_fail=place > MEMBERS and place % 4 > 0) for place, name in enumerate(chosen)]
        items += [cover(f"c-{name}-{self._day}", name) for name in chosen[::4]] + [cover("never", "absent")]
        kind = self._random.choice(["gallery", "collection"])
        complete = self._random.random() < 0.5
        listed = {"type": kind, "hash": md5(self._name), "title": f"{self._name} {self._day}", "complete": complete}
        moment = f"2026-04-01T{self._day // 60:02d}:{self._day % 60:02d}:00Z"
        sync_id = new_sync_id()
        envelope: dict[str, Any] = {"action": action, "completed_at": moment, "prior_sync_id": prior}
        containers = [{**listed, "items": [md5(name) for name in chosen[:MEMBERS]]}]
        return self._world.put(*items, sync_id=sync_id, containers=containers, **envelope)

    def _photo(self, name: str, *, may_fail: bool) -> dict[str, Any]:
        item = photo(name, title=f"{name} {self._random.randrange(3)}", files=self._random.randrange(3))
        self._world.file(f"{item['path']}/source/source.json", json.dumps({"name": name}).encode())
        if may_fail and self._random.random() < 0.1:
            item["files"] = [{"variant": "original", "path": "../outside.jpg", "bytes": 1}]
        return item


@pytest.fixture
def daemons(world: World, tmp_path: Path) -> Iterator[Daemons]:
    with daemons_of(world, tmp_path) as made:
        yield made


def harass(process: Process, dice: random.Random) -> None:
    """Kills a daemon and starts it again, or freezes it for longer than its jobs stay its own."""
    if dice.random() < 0.6:
        process.kill()
        process.start()
        return
    process.send(signal.SIGSTOP)
    time.sleep(FROZEN_SECONDS * dice.random())
    process.send(signal.SIGCONT)


def interrupted(world: World, daemons: Daemons, dice: random.Random) -> Snapshot:
    """The tables after the chaos, when all that was delivered has been imported."""
    chains = [Chain(world, f"chain{number}", dice) for number in range(CHAINS)]
    trio = [daemons.start(**SETTINGS) for _ in range(3)]
    start = time.monotonic()
    while time.monotonic() < start + MIN_SECONDS or not has_met_enough(world, chains):
        assert time.monotonic() < start + MAX_SECONDS, "the chaos met too few jobs"
        for chain in chains:
            chain.go_on()
        time.sleep(0.3 * dice.random())
        harass(dice.choice(trio), dice)
    delivered = sum(len(chain.delivered) for chain in chains)
    ended = f"SELECT COUNT(*) FROM ingest_batch WHERE status IN {FINAL} AND %s"
    until(lambda: world.sql(ended, 1) == [(delivered,)], seconds=60, what=lambda: f"for the end; {standing(world)}")
    for process in trio:
        process.kill()
        assert "Traceback" not in process.log
    return snapshot(world)


def has_met_enough(world: World, chains: list[Chain]) -> bool:
    resets = int(world.one("SELECT COUNT(*) FROM ingest_event WHERE event_type = 'job_reset'"))
    return resets >= MIN_RESETS and min(len(chain.delivered) for chain in chains) > 2


def standing(world: World) -> Any:
    return world.sql("SELECT id, state, claimed_by, heartbeat_at, last_error FROM import_job WHERE state <> %s", "done")


def uninterrupted(world: World) -> Snapshot:
    """The tables after one worker has imported the same bundles, one after another."""
    empty(world)
    context = world.context(queue={"auto": ALL_ACTIONS})
    world.scan(context)
    sweeper = Sweeper(context)
    while sweeper.queue_new() + sweeper.promote() or world.run_next(context):
        pass
    return snapshot(world)


@pytest.mark.soak
@pytest.mark.parametrize("seed", SEEDS)
def test_chaos_leaves_no_trace(world: World, daemons: Daemons, seed: int) -> None:
    after_chaos = interrupted(world, daemons, random.Random(seed))
    found = differences(after_chaos, uninterrupted(world))
    assert not found, "\n".join(found)


@pytest.mark.soak
@pytest.mark.soak_only
def test_chaos_without_the_fence_leaves_traces(world: World, daemons: Daemons) -> None:
    daemons.program = ("-P", str(Path(unfenced.__file__)))
    after_chaos = interrupted(world, daemons, random.Random(1))
    assert differences(after_chaos, uninterrupted(world)) != []
