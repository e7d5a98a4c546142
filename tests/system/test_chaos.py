"""Three daemons under random faults leave the same rows in every table as one run that nothing interrupts."""

import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingestd.embedded import EmbeddedMariaDB
from support import unfenced
from support.chains import Chain, Script
from support.chaos import BoundMount, Chaos
from support.mariadb_proxy import mariadb_proxy
from support.private_db import migrated_server
from support.process import Daemons, Process, daemons_of
from support.scale import IS_SOAK, scaled
from support.snapshot import Snapshot, differences, snapshot
from support.uncovered import NOT_MEASURED
from support.wait import until
from support.world import World, empty

MIN_SECONDS, MAX_SECONDS = scaled(3, 180), scaled(60, 400)
UNFENCED_SECONDS = 60
MIN_RESETS, MAX_BUNDLES = scaled(0, 20), scaled(8, 10_000)
SEEDS = (1, 2, 3) if IS_SOAK else (1,)
CHAINS, CHUNK = 4, 3
STALE_SECONDS = 1.0
MAX_PAUSE = scaled(5, 10) / 10
"""seconds between two faults; a daemon that starts needs about one"""
ALL_ACTIONS = ["create", "update", "remove"]
SETTINGS: dict[str, Any] = {
    "worker": {
        "threads": 2, "chunk_items": CHUNK, "poll_interval": 0.05, "heartbeat_interval": 0.1,
        "stale_after": STALE_SECONDS, "stop_seconds": 5.0,
    },
    "queue": {"auto": ALL_ACTIONS},
    "log": {"level": "warning"},
}  # fmt: skip
WATCH = {"rescan_interval": 0.2, "poll_interval": 0.1, "watch": "poll"}
EXCEPTIONS = ("Traceback", "service_failed", "job_crashed", "internal error", "job_not_ended")
OPEN = (
    "SELECT (SELECT COUNT(*) FROM import_job WHERE ended IS NULL)"
    " + (SELECT COUNT(*) FROM ingest_request WHERE finished_at IS NULL) + %s - COUNT(*) FROM import_job"
)


def report(text: str) -> None:
    """Figures, which `pytest -rP` shows."""
    print(text)  # noqa: T201


@pytest.fixture(scope="module")
def own_server() -> Iterator[EmbeddedMariaDB]:
    """A server that may be killed."""
    with migrated_server() as server:
        yield server


class Arena:
    """What a chaos happens in: a world whose daemons see it through a mount and a proxy."""

    def __init__(self, world: World, daemons: Daemons, proxy_path: Path, mount: BoundMount) -> None:
        self.world, self.daemons, self._path, self._mount = world, daemons, proxy_path, mount
        root = mount.folder / "assets" if mount.is_real else world.root
        self.mount = {"root": str(root), "require_mount": mount.is_real}

    def interrupted(self, dice: random.Random, seconds: float) -> tuple[Script, Snapshot]:
        """What was done during the chaos, and the tables when all of that has come to its end."""
        script = Script(self.world)
        chains = [Chain(script, f"chain{number}", dice, MAX_BUNDLES // CHAINS) for number in range(CHAINS)]
        with mariadb_proxy(self.world.server.socket, self._path) as proxy:
            trio = [
                self.daemons.start(socket=str(self._path), mount={**self.mount, **WATCH}, **SETTINGS) for _ in "123"
            ]
            chaos = Chaos(
                self.world, trio, proxy, self._mount if self._mount.is_real else None, dice, 2 * STALE_SECONDS
            )
            try:
                self._rage(chaos, script, chains, seconds)
            finally:
                chaos.end()
            self._finish(script, trio)
        report(f"faults: {dict(chaos.counts)}; {len(script.delivered)} bundles")
        return script, snapshot(self.world)

    def _rage(self, chaos: Chaos, script: Script, chains: list[Chain], seconds: float) -> None:
        start = time.monotonic()
        while (is_raging := time.monotonic() < start + seconds or self._needs_more(chaos)) or not self._has_met(script):
            assert time.monotonic() < start + MAX_SECONDS, "the chaos met too few jobs"
            for chain in chains:
                chain.go_on()
            if chaos.dice.random() < 0.1:
                script.request("scan")
            time.sleep(MAX_PAUSE * chaos.dice.random())
            if is_raging:
                chaos.strike()
            else:
                chaos.end()

    def _needs_more(self, chaos: Chaos) -> bool:
        """Whether a kind of fault has not struck yet, or too few of them took a job from its worker."""
        resets = int(self.world.one("SELECT COUNT(*) FROM ingest_event WHERE event_type = 'job_reset'"))
        return chaos.has_more or resets < MIN_RESETS

    def _has_met(self, script: Script) -> bool:
        return len(script.delivered) > CHAINS

    def _finish(self, script: Script, trio: list[Process]) -> None:
        count = len(script.delivered)
        until(lambda: self.world.one(OPEN, count) == 0, seconds=60, what=lambda: f"for the end; {self._open()}")
        for process in trio:
            assert process.terminate(30) in (0, -signal.SIGTERM), process.log
            assert not [line for line in process.log.splitlines() if any(sign in line for sign in EXCEPTIONS)]

    def _open(self) -> Any:
        jobs = "SELECT id, state, claimed_by, heartbeat_at, last_error FROM import_job WHERE state <> %s"
        return self.world.sql(jobs, "done"), self.world.sql("SELECT * FROM ingest_request WHERE state <> %s", "done")

    def uninterrupted(self, script: Script) -> Snapshot:
        """The tables after one worker has done the same, one after another."""
        script.replay(self.world.context(mount=self.mount, queue={"auto": ALL_ACTIONS}))
        return snapshot(self.world)


@pytest.fixture
def arena(own_server: EmbeddedMariaDB, tmp_path: Path) -> Iterator[Arena]:
    (tmp_path / "origin" / "assets" / "sync").mkdir(parents=True)
    world = World(own_server, tmp_path / "origin" / "assets")
    empty(world)
    mount = BoundMount(tmp_path / "origin", tmp_path / "mnt")
    try:
        with daemons_of(world, tmp_path) as daemons:
            daemons.environment = NOT_MEASURED
            yield Arena(world, daemons, tmp_path / "p.sock", mount)
    finally:
        world.close()
        mount.detach()


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", SEEDS)
def test_chaos_leaves_no_trace(arena: Arena, seed: int) -> None:
    script, after_chaos = arena.interrupted(random.Random(seed), MIN_SECONDS)
    expected = arena.uninterrupted(script)
    report(f"rows compared: {expected.size}")
    found = differences(after_chaos, expected)
    assert not found, "\n".join(found)


@pytest.mark.soak
@pytest.mark.soak_only
@pytest.mark.timeout(900)
def test_chaos_without_the_fence_leaves_traces(arena: Arena) -> None:
    arena.daemons.program = ("-P", str(Path(unfenced.__file__)))
    script, after_chaos = arena.interrupted(random.Random(1), UNFENCED_SECONDS)
    found = differences(after_chaos, arena.uninterrupted(script))
    report("\n".join(found))
    assert found != []
