"""Lines 5 and 6: local bundles of one item, and what one of them costs the database."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from common import Bench, announce, lean_item, put, write_manifest
from costs import spent
from django_jobs import NAME
from frame import Form, Value, measures, note
from real_daemon import daemon, make_files, wait_until_imported
from statements import Statement, logged, sent, transactions, until_done, wait_until_quiet

DJANGO = Path(__file__).with_name("django_jobs.py")


@measures("5a", "5b", quick=True)
def against_no_op_jobs(world: Bench, form: Form) -> Iterator[Value]:
    """The rate of bundles, from the first sentinel to the last end, to that of jobs that are queued already."""
    count = form.of(2_000, 200)
    world.sql(f"CREATE DATABASE IF NOT EXISTS {NAME}")
    no_op_jobs(world, 20)
    for number in range(form.rounds(5)):
        (ours, processor), (theirs, their_processor) = bundles(world, count, number), no_op_jobs(world, count)
        note(f"ingestd {count / ours:.0f} bundles/s; django-tasks-db {count / theirs:.0f} jobs/s")
        note(
            f"ingestd {1000 * processor / count:.1f} ms of processor time each; {1000 * their_processor / count:.1f} ms"
        )
        yield Value("5a", theirs / ours)
        yield Value("5b", their_processor / processor)
    world.sql(f"DROP DATABASE {NAME}")


def bundles(world: Bench, count: int, number: int) -> tuple[float, float]:
    """Seconds until all of so many bundles are imported, and processor seconds."""
    world.empty()
    with daemon(world) as process:
        items = [lean_item(one, f"one item {number}") for one in range(count)]
        make_files(world, items)
        waiting, begun = [write_manifest(world, [item]) for item in items], time.time()
        _, processor = spent(lambda: deliver(world, waiting), world.server.pid, process.pid)
    # The server runs on this machine, so its clock is ours.
    ((ended,),) = world.sql("SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', MAX(finished_at)) / 1e6 FROM import_job")
    return float(ended) - begun, processor


def deliver(world: Bench, waiting: list[str]) -> None:
    for sync_id in waiting:
        announce(world, sync_id)
    wait_until_imported(world)


def no_op_jobs(world: Bench, count: int) -> tuple[float, float]:
    """Seconds in which a worker of django-tasks-db runs so many jobs, and processor seconds."""
    owner = world.server.owner_settings()
    command = [sys.executable, str(DJANGO), owner.unix_socket, owner.password(), str(world.server.pid), str(count)]
    seconds, processor = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    return float(seconds), float(processor)


@measures("6a", "6b", quick=True)
def cost_of_a_bundle(world: Bench, form: Form) -> Iterator[Value]:
    """All that the daemon sends meanwhile, its polling included; BEGIN and COMMIT are statements too."""
    with daemon(world):
        for number in range(form.rounds(31, 9)):
            found = sent_for_a_bundle(world, f"cost {number}")
            yield Value("6a", len(found))
            yield Value("6b", transactions(found))


def sent_for_a_bundle(world: Bench, name: str) -> list[Statement]:
    """The statements from before the sentinel is there until the bundle is imported."""
    made = [lean_item(0, name)]
    make_files(world, made)
    with logged(world):
        wait_until_quiet(world)
        before = len(sent(world))
        put(world, made)
        wait_until_imported(world)
    return until_done(sent(world)[before:])
