"""An item on which workers crash fails alone, in the end."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ingestd.pipeline.claims import claim
from ingestd.pipeline.importer import chunk_writer
from ingestd.pipeline.rescuer import Rescuer
from support.claimed import ME, queued, state
from support.scanning import kinds
from support.uncovered import NOT_MEASURED
from support.world import World, md5

WORKERS = """
import os, sys, threading, time
from pathlib import Path
from ingestd.config import load
from ingestd.pipeline.context import make_context
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.importer import chunk_writer
from ingestd.pipeline.importer.run import Run
from ingestd.pipeline.rescuer import Rescuer
from ingestd.pipeline.claims import claim

config, poison = sys.argv[1:]
real = chunk_writer.write_library

def write(tx, bundle, chunk, removed):
    result = real(tx, bundle, chunk, removed)
    if any(piece.entry.asset_hash == poison for piece in chunk.items):
        os._exit(86)
    return result

def work():
    chunk_writer.write_library = write
    context = make_context(load(Path(config)))
    Rescuer(context, this_instance()).run_once()
    while (lease := claim(context, f"test/pid:{os.getpid()}/0", str(this_instance()))) is None:
        time.sleep(0.01)  # the server may not have noticed yet that the worker before is dead, and holds its locks
    outcome = Run(context, lease, threading.Event()).execute()
    context.mount.close()
    context.db.close()
    sys.exit(0 if outcome == "done" else 1)

for _line in sys.stdin:
    pid = os.fork()
    if not pid:
        os.dup2(2, 1)
        work()
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""
"""Runs a worker in a process of its own for each line that it reads, and prints its exit status."""


@contextmanager
def workers(config: Path, poison: str) -> Iterator[Callable[[], int]]:
    """Yields a function that runs a worker, and returns its exit status. They start from one that imported it all."""
    command = [sys.executable, "-c", WORKERS, str(config), poison]
    environment = {**os.environ, **NOT_MEASURED}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        requests, statuses = process.stdin, process.stdout

        def run() -> int:
            print(file=requests, flush=True)
            return int(statuses.readline())

        yield run


@pytest.mark.parametrize(("count", "poisoned", "unnamed"), [(5, 2, 1), (8, 6, 2)])
def test_an_item_that_kills_its_workers_is_given_up_and_the_rest_imported(
    world: World, count: int, poisoned: int, unnamed: int
) -> None:
    """`unnamed`: how many workers died with a whole chunk, before the first one that made no progress."""
    context = world.context()
    names = [str(number) for number in range(count)]
    sync_id = queued(world, context, *names)
    poison = md5(names[poisoned])
    config = world.root.with_name("config.toml")
    config.write_text(
        f'[mount]\nroot = "{world.root}"\nrequire_mount = false\n[worker]\nchunk_items = 5\n'
        f'[database]\nunix_socket = "{world.server.socket}"\n'
    )
    crash_count = 0
    with workers(config, poison) as run:
        while (status := run()) == 86:
            crash_count += 1
            assert state(world) == "running"
            assert crash_count < 10
    assert status == 0
    assert crash_count == unnamed + 3
    assert world.sql("SELECT asset_hash, crash_count FROM ingest_batch_item WHERE crash_count > 0") == [(poison, 3)]
    expected = {md5(name): "created" for name in names} | {poison: "failed:poison"}
    assert world.decisions(sync_id) == expected
    error = world.one("SELECT last_error FROM ingest_batch_item WHERE decision = 'failed'")
    assert error == "3 workers died while importing this item"
    assert world.status(sync_id) == "partial"
    assert state(world) == "done"
    recorded = kinds(world, sync_id)
    assert recorded.count("job_reset") == crash_count
    assert recorded.count("item_created") == count - 1
    assert recorded.count("item_failed") == 1
    assert world.one("SELECT COUNT(*) FROM asset WHERE hash = %s", poison) == 0


def test_a_crash_outside_of_any_item_counts_for_no_item(world: World) -> None:
    context = world.context()
    sync_id = queued(world, context, "a", "b")
    for _ in range(2):
        assert claim(context, "w", str(ME._replace(started="1"))) is not None
        assert Rescuer(context, ME).reset_dead() == 1
    assert world.sql("SELECT DISTINCT crash_count FROM ingest_batch_item") == [(0,)]
    assert world.one("SELECT isolate_items FROM import_job") == 1, "it will be looked at closely"
    assert world.run_next(context) == "done"
    assert set(world.decisions(sync_id).values()) == {"created"}


def test_an_isolating_run_records_each_item_before_it_begins(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    context = world.context()
    queued(world, context, "a", "b", "c")
    world.sql("UPDATE import_job SET isolate_items = 1")
    real, named = chunk_writer.write, []

    def views(tx: Any, bundle: Any, chunk: Any, removed: Any, again: bool) -> Any:
        named.append((world.one("SELECT current_item_id FROM import_job"), [piece.row.id for piece in chunk.items]))
        return real(tx, bundle, chunk, removed, again)

    monkeypatch.setattr(chunk_writer, "write", views)
    assert world.run_next(context) == "done"
    assert len(named) == 3
    assert all(pieces == [current] for current, pieces in named)
    assert world.one("SELECT current_item_id FROM import_job") is None
