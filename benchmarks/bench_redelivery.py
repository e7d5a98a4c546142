"""Line 9: deliveries that change little, to the first import of the same items."""

from collections.abc import Iterator
from typing import Any

from common import Bench, announce, lean_item, put, write_manifest
from frame import Form, Value, measures, note
from real_daemon import HOUR, daemon, make_files, seconds_of_job, wait_until_imported

from support.wait import until

LATER = "2026-04-13T21:35:35Z"
DONE = "SELECT TIMESTAMPDIFF(MICROSECOND, claimed_at, finished_at) / 1e6 FROM import_job WHERE state = 'done' AND id > "


@measures("9a", "9b")
def redelivery(world: Bench, form: Form) -> Iterator[Value]:
    """The same items in a later bundle; then one of them changed under the same sync_id."""
    items = [lean_item(number, "redelivery") for number in range(form.of(100_000, 10_000))]
    make_files(world, items)
    for _ in range(form.rounds(5)):
        new, again, one = one_round(world, items)
        note(f"new {new:.2f} s, again {again:.2f} s, one changed {one:.2f} s")
        yield Value("9a", again / new)
        yield Value("9b", one / new)


def one_round(world: Bench, items: list[dict[str, Any]]) -> tuple[float, float, float]:
    """Seconds of the three jobs."""
    world.empty()
    with daemon(world):
        first = put(world, items)
        wait_until_imported(world)
        second = put(world, items, completed_at=LATER)
        wait_until_imported(world)
        new, again = seconds_of_job(world, first), seconds_of_job(world, second)
        one = seconds_of_change(world, items, second)
    assert world.sql("SELECT COUNT(*) FROM ingest_event WHERE event_type = 'item_skipped'") == [(len(items),)]
    assert world.sql("SELECT COUNT(*) FROM ingest_event WHERE event_type = 'item_updated'") == [(1,)]
    return new, again, one


def seconds_of_change(world: Bench, items: list[dict[str, Any]], sync_id: str) -> float:
    """Seconds of the job that the change of one item in the middle leads to."""
    ((last,),) = world.sql("SELECT MAX(id) FROM import_job")
    changed = list(items)
    changed[len(items) // 2] = {**items[len(items) // 2], "title": "changed"}
    write_manifest(world, changed, sync_id=sync_id, completed_at=LATER)
    announce(world, sync_id)
    until(lambda: bool(world.sql(f"{DONE}{last}")), what="for the changed item to be imported", seconds=HOUR)
    ((seconds,),) = world.sql(f"{DONE}{last}")
    return float(seconds)
