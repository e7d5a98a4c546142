"""Line 10: two bundles at the same time on two cores, to one after another."""

from collections.abc import Iterator

from common import Bench, lean_item, put
from costs import spent
from frame import Form, Value, measures, note
from real_daemon import HOUR, daemon, make_files, wait_until_imported

from support.wait import until

SPAN = "SELECT TIMESTAMPDIFF(MICROSECOND, MIN(claimed_at), MAX(finished_at)) / 1e6 FROM import_job"
QUEUED = "SELECT COUNT(*) = 2 FROM import_job WHERE state = 'queued'"


@measures("10")
def workers(world: Bench, form: Form) -> Iterator[Value]:
    """The time of two bundles with one worker to that with two, in one daemon."""
    size = form.of(50_000, 10_000)
    bundles = [[lean_item(number, f"workers {which}") for number in range(size)] for which in range(2)]
    for items in bundles:
        make_files(world, items)
    for _ in range(form.rounds(5)):
        (one, cores), (two, cores_of_two) = (import_both(world, bundles, threads) for threads in (1, 2))
        note(f"{2 * size / one:,.0f} items/s with one worker, {2 * size / two:,.0f} with two")
        note(f"{cores:.2f} cores were busy with one worker, {cores_of_two:.2f} with two")
        yield Value("10", one / two)


def import_both(world: Bench, bundles: list[list[dict[str, object]]], threads: int) -> tuple[float, float]:
    """Seconds from the first claim to the last end, and how many cores the daemon, its helpers and MariaDB took.

    The queue is paused until both bundles are queued.
    """
    world.empty()
    with daemon(world, worker={"threads": threads}) as process:
        world.sql("UPDATE ingest_control SET paused = 1")
        for items in bundles:
            put(world, items)
        until(lambda: world.sql(QUEUED) == [(1,)], what="for both bundles to be queued", seconds=HOUR)
        world.sql("UPDATE ingest_control SET paused = 0")
        passed, processor = spent(lambda: wait_until_imported(world), world.server.pid, process.pid)
    ((found,),) = world.sql(f"{SPAN} WHERE items_total = {len(bundles[0])}")
    return float(found), processor / passed
