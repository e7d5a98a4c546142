"""Line 16: bundles of which each follows the one before, to as many that do not."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from common import Bench, announce, lean_item, write_manifest
from frame import Form, Value, measures, note
from real_daemon import daemon, make_files, wait_until_imported

BEGUN = datetime(2026, 4, 12, tzinfo=UTC)
LAST_END = "SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', MAX(finished_at)) / 1e6 FROM import_job"


@measures("16")
def chain(world: Bench, form: Form) -> Iterator[Value]:
    """Rates from the first sentinel to the last end, by turns in one daemon."""
    count = form.of(500, 60)
    with daemon(world):
        for number in range(form.rounds(5)):
            apart = seconds(world, count, f"apart {number}", is_chained=False)
            chained = seconds(world, count, f"chain {number}", is_chained=True)
            note(f"{count / apart:.0f} bundles/s, {count / chained:.0f} links/s")
            yield Value("16", apart / chained)


def seconds(world: Bench, count: int, name: str, *, is_chained: bool) -> float:
    """Seconds until all of so many bundles of one item are imported."""
    waiting: list[str] = []
    for number in range(count):
        item = lean_item(number, name)
        make_files(world, [item])
        prior = waiting[-1] if waiting and is_chained else None
        completed_at = (BEGUN + timedelta(seconds=number)).strftime("%Y-%m-%dT%H:%M:%SZ")
        follows: dict[str, Any] = {"prior_sync_id": prior} if prior else {}
        waiting.append(write_manifest(world, [item], completed_at=completed_at, **follows))
    begun = time.time()
    for sync_id in waiting:
        announce(world, sync_id)
    wait_until_imported(world)
    # The server runs on this machine, so its clock is ours.
    ((ended,),) = world.sql(LAST_END)
    return float(ended) - begun
