"""Two real daemons on one database, with imported, failed, deferred and running work."""

import re
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql

from support.private_db import migrated_server
from support.process import Daemons, Process, daemons_of
from support.wait import until
from support.world import World, cover, md5, photo

LISTENING = r"event=listening\b.*\bsection={}\b.*\baddress=(\S+)"
SCANNED = "\ningestd_scan_last_success_timestamp_seconds "
HOST = "monitored.test"
QUICK: dict[str, Any] = {
    "metrics": {"listen": "127.0.0.1:0"},
    "http": {"listen": "127.0.0.1:0", "allowed_hosts": [HOST]},
    "mount": {"rescan_interval": 0.5, "poll_interval": 0.2},
    "queue": {"auto": ["create", "update"]},
    "worker": {"threads": 2, "poll_interval": 0.1, "heartbeat_interval": 0.5, "stop_seconds": 10.0},
}


@dataclass
class Site:
    """A database, a mount and two daemons."""

    world: World
    addresses: list[str]
    pages: list[str]

    def ask_for_health(self) -> None:
        for address in self.pages:
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            asked = urllib.request.Request(f"http://{address}/healthz", headers={"Host": HOST})
            with opener.open(asked, timeout=10) as answer:
                assert answer.status == 200

    def exposition(self, number: int = 0) -> str:
        """The metrics of one daemon."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://{self.addresses[number]}/metrics", timeout=10) as answer:
            text: str = answer.read().decode()
            return text

    def import_a_mixture(self) -> None:
        """Imports a bundle with created items, a failed one and a deferred one."""
        items = [photo("dawn"), photo("dusk"), photo("broken"), cover("alone", "missing")]
        mixture = self.world.put(*items, ready=False)
        self.world.file(f"{items[2]['path']}/0.jpg", b"cut off")
        self.world.file(f"sync/{mixture}.ready", b"")
        until(lambda: self.status(mixture) == "partial", what="for the mixture")
        assert sorted(self.world.decisions(mixture).values()) == [
            "created", "created", "deferred:parent_missing", "failed:file_size_mismatch",
        ]  # fmt: skip

    def status(self, sync_id: str) -> str:
        rows = self.world.sql("SELECT status FROM ingest_batch WHERE sync_id = %s", sync_id)
        return str(rows[0][0]) if rows else "unknown"

    @contextmanager
    def running_job(self) -> Iterator[str]:
        """A job that keeps running, because the row of its asset is locked; yields its sync_id."""
        owner = self.world.server.owner_settings()
        connection = pymysql.connect(unix_socket=owner.unix_socket, user=owner.user, database=owner.name)
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT id FROM asset WHERE hash = %s FOR UPDATE", (md5("dawn"),))
            sync_id = self.world.put(photo("dawn", title="other light"), action="update", day=2)
            until(lambda: self.status(sync_id) == "importing", what="for the running job")
            yield sync_id
        finally:
            connection.close()


@contextmanager
def site(folder: Path) -> Iterator[Site]:
    """Starts the site; stops all processes afterwards."""
    (folder / "assets" / "sync").mkdir(parents=True)
    with migrated_server() as server:
        world = World(server, folder / "assets")
        with daemons_of(world, folder) as daemons:
            processes = _start(daemons, 2)
            made = Site(world, *([_address(process, part) for process in processes] for part in ("metrics", "http")))
            made.ask_for_health()
            for number in range(2):
                until(lambda number=number: SCANNED in made.exposition(number), what="for the first scan")  # type: ignore[misc]
            yield made


def _start(daemons: Daemons, count: int) -> list[Process]:
    processes = [daemons.start(**deepcopy(QUICK)) for _ in range(count)]
    for process in processes:
        process.wait_until_started()
    return processes


def _address(process: Process, section: str) -> str:
    process.wait_for("event=listening", f"section={section}")
    found = re.search(LISTENING.format(section), process.log)
    assert found is not None, process.log
    return found[1]
