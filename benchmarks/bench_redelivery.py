"""Line 9: a large bundle that is delivered again, unchanged or with one changed item."""

from collections.abc import Iterator
from typing import Any

from common import Bench, lean_item, put
from frame import Form, Value, measures, note
from real_daemon import HOUR, daemon, make_files, seconds_of_job, wait_until_imported

from support.wait import until

LATER, LAST = "2026-04-13T21:35:35Z", "2026-04-14T21:35:35Z"
JOBS = (
    "SELECT COUNT(*) FROM import_job j JOIN ingest_batch b ON b.id = j.batch_id"
    " WHERE b.sync_id = '{}' AND j.state = 'done'"
)


@measures("9a", "9b")
def delivered_again(world: Bench, form: Form) -> Iterator[Value]:
    """Times from pre-flight to done."""
    for number in range(form.rounds(3)):
        world.clear()
        items = [lean_item(one, f"again {number}") for one in range(form.of(100_000, 5_000))]
        make_files(world, items)
        with daemon(world):
            first = put(world, items)
            wait_until_imported(world)
            new = seconds_of_job(world, first)
            again = put(world, items, completed_at=LATER)
            wait_until_imported(world)
            unchanged, changed = seconds_of_job(world, again), seconds_with_one_changed(world, items, again)
        note(f"new {new:.2f} s; unchanged {unchanged:.2f} s; one changed {changed:.2f} s")
        yield Value("9a", unchanged / new)
        yield Value("9b", changed / new)


def seconds_with_one_changed(world: Bench, items: list[dict[str, Any]], sync_id: str) -> float:
    """The same bundle again, as upstream replaces its manifest."""
    put(world, [{**items[0], "title": "Changed"}, *items[1:]], sync_id=sync_id, completed_at=LAST)
    until(lambda: world.sql(JOBS.format(sync_id)) == [(2,)], what="for the second import", seconds=HOUR, max_pause=0.1)
    return seconds_of_job(world, sync_id)
