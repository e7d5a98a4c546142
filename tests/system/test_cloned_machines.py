"""Two hosts with one machine-id and the same pids: under SIGKILLs, neither takes a job of the other while it lives."""

import os
import random
import subprocess
import time
import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from support import cloned
from support.missing import give_up
from support.process import Daemons, Process
from support.wait import until
from support.world import World, md5

ITEMS, MIN_OPEN = 300, 6
"""items of a bundle, and bundles that are never fewer while hosts are killed"""
KILLS = 6
HEARTBEAT = 1.0
SETTINGS: dict[str, Any] = {
    "worker": {
        "threads": 2, "chunk_items": 1, "poll_interval": 0.1, "heartbeat_interval": HEARTBEAT, "stale_after": 60.0,
    },
    "queue": {"auto": ["create"]},
    "mount": {"rescan_interval": 0.5},
}  # fmt: skip
CLAIMS = (
    "SELECT event_type, COALESCE(JSON_VALUE(payload, '$.worker_id'), JSON_VALUE(payload, '$.prior_claimed_by')),"
    " JSON_VALUE(payload, '$.job_id'), created_at FROM ingest_event"
    " WHERE event_type IN ('job_claimed', 'job_reset') AND %s ORDER BY id"
)


@dataclass
class Clones:
    """Two daemons, each on a host of its own, and when they were killed."""

    world: World
    daemons: Daemons
    careless: bool = False
    delivered: int = 0
    processes: dict[str, Process] = field(default_factory=dict)
    kills: dict[str, list[datetime]] = field(default_factory=lambda: defaultdict(list))

    def start(self) -> None:
        self.daemons.program = ("-P", str(Path(cloned.__file__)))
        for host in ("clone-a", "clone-b"):
            boot = self.daemons.folder / f"{host}.boot"
            boot.write_text(str(uuid.uuid4()))
            database = {"unix_socket": self.world.server.socket, "user": "ingestd"}
            process = self.daemons.make("run", database=database, **SETTINGS)
            process.environment = {"CLONE_HOST": host, "CLONE_BOOT_ID_FILE": str(boot)}
            process.environment |= {"CLONE_CARELESS": "1"} if self.careless else {}
            self.daemons.started.append((process, None))
            self.processes[host] = process
            process.start()

    def kill(self, host: str) -> None:
        """Kills a daemon and starts it again, in another pid namespace."""
        self.processes[host].kill()
        self.kills[host].append(datetime.now(UTC).replace(tzinfo=None))
        self.processes[host].start()

    def stolen(self) -> list[str]:
        """Jobs that were reset although their worker had not been killed since it claimed them."""
        claimed: dict[str, datetime] = {}
        found = []
        for kind, worker, job_id, moment in self.world.sql(CLAIMS, 1):
            if kind == "job_claimed":
                claimed[job_id] = moment
            elif not any(claimed[job_id] < kill < moment for kill in self.kills[worker.partition("/")[0]]):
                found.append(f"job {job_id} of {worker}, claimed at {claimed[job_id]}, was reset at {moment}")
        return found

    def has_claimed(self, host: str) -> bool:
        """Whether it has claimed a job since it was started. Delivers bundles, so that there are some to claim."""
        if self.delivered - self.world.one("SELECT COUNT(*) FROM import_job WHERE ended IS NOT NULL") < MIN_OPEN:
            self.delivered += 1
            self.world.put(*({"type": "photo", "hash": md5(f"{self.delivered}-{item}")} for item in range(ITEMS)))
        started = max(self.kills[host], default=datetime.min)
        claims = [row for row in self.world.sql(CLAIMS, 1) if row[0] == "job_claimed" and row[3] > started]
        return any(worker.startswith(f"{host}/") for _, worker, *_ in claims)

    def count(self, kind: str) -> int:
        return int(self.world.one("SELECT COUNT(*) FROM ingest_event WHERE event_type = %s", kind))


@pytest.fixture
def clones(world: World, daemons: Daemons) -> Clones:
    if subprocess.run([*cloned.NAMESPACES, "true"], capture_output=True, check=False).returncode or os.geteuid():
        give_up("hosts of their own need root")
    return Clones(world, daemons)


def kill_some(clones: Clones) -> None:
    """Kills each host in turn, when it has claimed a job since it was started."""
    dice, hosts = random.Random(1), sorted(clones.processes)
    for number in range(KILLS):
        host = hosts[number % len(hosts)]
        until(partial(clones.has_claimed, host), seconds=60, what=f"for {host} to claim a job")
        time.sleep(dice.uniform(0.0, 2 * HEARTBEAT))
        clones.kill(host)
        until(partial(clones.has_claimed, host), seconds=60, what=f"for {host} to claim a job again")


@pytest.mark.soak
@pytest.mark.soak_only
@pytest.mark.timeout(400)
def test_no_live_job_is_taken_from_a_clone(clones: Clones) -> None:
    clones.start()
    kill_some(clones)
    done = "SELECT COUNT(*) FROM ingest_batch WHERE status = 'imported' AND %s"
    until(
        lambda: clones.world.one(done, 1) == clones.delivered, seconds=200, what=lambda: f"for all; {clones.stolen()}"
    )
    assert clones.stolen() == []
    assert clones.count("job_reset") > 0
    assert clones.count("item_created") == clones.delivered * ITEMS


@pytest.mark.soak
@pytest.mark.soak_only
@pytest.mark.timeout(400)
def test_a_host_that_believes_fingerprints_takes_live_jobs(clones: Clones) -> None:
    clones.careless = True
    clones.start()
    kill_some(clones)
    assert clones.stolen() != []
