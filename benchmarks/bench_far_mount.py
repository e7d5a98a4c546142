"""Imports from a file system on which every operation takes 30 ms, by the real daemon in its default settings.

One bundle of many items, and many bundles of one item; each item has a file and 5 documents. Compared with the least
time that so many operations can take with 32 of them on the way at any time.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common import Bench, bench, lean_item, median, put, report

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.faulty_fuse import GETATTR, LOOKUP, OPEN, OPENDIR, READ, READDIR, FaultyFuse, faulty_fuse
from support.process import Process, toml

ITEMS, BUNDLES = int(os.environ.get("ITEMS", "2000")), int(os.environ.get("BUNDLES", "2000"))
ROUNDS = int(os.environ.get("ROUNDS", "1"))
LATENCY, AT_ONCE, NAMES_KEPT = 0.030, 32, 1
AWAITED = (LOOKUP, GETATTR, OPEN, READ, OPENDIR, READDIR)
"""operations whose caller waits for the answer"""
DOCUMENTS = ("photo.manifest", "photo.analysis", "photo.meaning", "photo.family")


def main() -> None:
    met = []
    for name, goal, most, bundles in (
        ("one bundle", 0.85, 22, [ITEMS]),
        ("bundles of one item", 0.6, 26, [1] * BUNDLES),
    ):
        shares, operations = [], []
        for number in range(ROUNDS):
            share, each = imported(f"{name} {number}", bundles)
            shares.append(share)
            operations.append(each)
        met += [median(shares) >= goal, median(operations) <= most]
        report(f"{name}, operations x latency / {AT_ONCE} / time", shares, f"at least {goal}", met[-2])
        report(f"{name}, operations an item", operations, f"at most {most}", met[-1])
    sys.exit(0 if all(met) else 1)


def imported(name: str, bundles: list[int]) -> tuple[float, float]:
    """The share of the least possible time, and how many operations each item took, while nothing else is imported."""
    with bench() as world, faulty_fuse(world.root, world.folder / "far") as far:
        far.valid = NAMES_KEPT
        with daemon(world, far):
            for number, count in enumerate(bundles):
                put(world, [item(world, f"{name}/{number}/{one}") for one in range(count)])
            far.pace = LATENCY
            far.operations.clear()
            begun = time.perf_counter()
            wait_until_imported(world, len(bundles))
            seconds, operations = time.perf_counter() - begun, sum(far.operations[one] for one in AWAITED)
            far.pace = 0.0
    count = sum(bundles)
    print(f"  {name}: {count / seconds:,.1f} items/s, {operations / count:.1f} operations an item", flush=True)
    return operations * LATENCY / AT_ONCE / seconds, operations / count


@contextmanager
def daemon(world: Bench, far: FaultyFuse) -> Iterator[None]:
    """The daemon, which polls, and queues what is new."""
    settings = world.server.settings()
    sections: dict[str, dict[str, Any]] = {
        "mount": {"root": str(far.point)},
        "database": {"unix_socket": settings.unix_socket, "user": settings.user, "name": settings.name},
        "queue": {"auto": ["create"]},
        "http": {"listen": ""},
        "metrics": {"listen": ""},
    }
    config = world.folder / "config.toml"
    config.write_text(toml(sections))
    process = Process(["--config", str(config), "run"], world.folder / "log")
    process.start()
    try:
        process.wait_until_started()
        yield
        process.terminate(60)
    finally:
        process.kill()


def item(world: Bench, name: str) -> dict[str, Any]:
    """An item with one file of its size, and 5 documents."""
    made = lean_item(0, name)
    folder = world.root / made["path"]
    (folder / "source" / "data").mkdir(parents=True)
    with open(folder / "original.jpg", "wb") as file:
        file.truncate(made["files"][0]["bytes"])
    (folder / "source" / "source.json").write_text('{"a": 1}')
    for kind in DOCUMENTS:
        (folder / "source" / "data" / f"{kind}.json").write_text('{"a": 1}')
    return made


def wait_until_imported(world: Bench, count: int) -> None:
    imported = "SELECT COUNT(*) FROM ingest_batch WHERE status = 'imported'"
    deadline = time.monotonic() + 3600
    while world.sql(imported) != [(count,)]:
        assert time.monotonic() < deadline, world.sql(
            "SELECT status, last_error, COUNT(*) FROM ingest_batch GROUP BY 1, 2"
        )
        time.sleep(0.1)


if __name__ == "__main__":
    main()
