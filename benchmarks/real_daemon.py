"""The real daemon for benchmarks: a process of its own in its default settings, but for where things are."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common import Bench, lean_item, put

from support.process import STARTED, Process, toml
from support.wait import until

HOUR, START_SECONDS = 3600.0, 180.0
LOOK = 0.1
"""seconds between two looks at the database, which cost the daemon little"""
ENDED_OTHERWISE = {"partial", "failed", "invalid", "held"}


@contextmanager
def daemon(world: Bench, root: Path | None = None, **sections: Any) -> Iterator[Process]:
    """A daemon that queues what is new by itself, without pages and metrics; yields it warmed up.

    `root`: where the mount is, instead of the plain folder; `sections` change settings.
    """
    database = world.server.settings()
    mount = {"root": str(root or world.root), "require_mount": root is not None, **sections.pop("mount", {})}
    settings = {
        "mount": mount,
        "database": {"unix_socket": database.unix_socket, "user": database.user, "name": database.name},
        "queue": {"auto": ["create", "update"]}, "http": {"listen": ""}, "metrics": {"listen": ""}, **sections,
    }  # fmt: skip
    config = world.folder / "config.toml"
    config.write_text(toml(settings))
    process = Process(["--config", str(config), "run"], world.folder / "log")
    process.start()
    try:
        process.wait_for(STARTED, seconds=START_SECONDS)
        warm_up(world)
        yield process
        assert process.terminate(60) == 0, process.log
    finally:
        process.kill()
        process.log_file.unlink()


def warm_up(world: Bench, items: int = 20) -> None:
    """One bundle through the whole daemon."""
    made = [lean_item(number, "warm-up") for number in range(items)]
    make_files(world, made)
    put(world, made)
    wait_until_imported(world)


def make_files(world: Bench, items: list[dict[str, Any]]) -> None:
    """Their files in their size, which take no room."""
    for item in items:
        folder = world.root / item["path"]
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "original.jpg").open("wb") as file:
            file.truncate(item["files"][0]["bytes"])


def wait_until_imported(world: Bench) -> None:
    """Waits until all bundles on the mount are imported; fails where one ends otherwise."""
    delivered = sum(name.endswith(".ready") for name in os.listdir(world.root / "sync"))

    def is_over() -> bool:
        counts = dict(world.sql("SELECT status, COUNT(*) FROM ingest_batch GROUP BY 1"))
        assert not ENDED_OTHERWISE & counts.keys(), counts
        return bool(counts.get("imported") == delivered)

    until(is_over, seconds=HOUR, what="for all bundles to be imported", max_pause=LOOK)


def seconds_of_job(world: Bench, sync_id: str) -> float:
    """Seconds from the claim to the end of the last job of a bundle, by the clock of the database."""
    ((seconds,),) = world.sql(
        "SELECT TIMESTAMPDIFF(MICROSECOND, claimed_at, finished_at) / 1e6 FROM import_job j"
        f" JOIN ingest_batch b ON b.id = j.batch_id WHERE b.sync_id = '{sync_id}' AND j.state = 'done'"
        " ORDER BY j.id DESC LIMIT 1"
    )
    return float(seconds)
