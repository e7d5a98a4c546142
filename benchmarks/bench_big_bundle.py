"""Line 11: what a bundle of 1,000,000 items takes of memory, and how its rate compares with that of 100,000 items."""

import json
import uuid
from collections.abc import Iterator

from common import Bench, announce, lean_item
from frame import Form, Value, measures, note
from memory import watched
from real_daemon import daemon, make_files, seconds_of_job, wait_until_imported

HEAD = {
    "type": "event", "action": "create", "status": "completed", "created_at": "2026-04-12T21:35:35Z",
    "completed_at": "2026-04-12T21:35:35Z", "verification": {"passed": True},
}  # fmt: skip


@measures("11a", "11b")
def big_bundle(world: Bench, form: Form) -> Iterator[Value]:
    """Each round imports a small bundle and a big one, in a daemon of its own."""
    small, big = form.of(100_000, 10_000), form.of(1_000_000, 100_000)
    for turn in range(form.rounds(1, 1)):
        rates = []
        for size in (small, big):
            rate, beyond = import_one(world, size, f"big {turn} {size}")
            rates.append(rate)
        yield Value("11a", beyond)
        yield Value("11b", rates[1] / rates[0])


def import_one(world: Bench, size: int, salt: str) -> tuple[float, float]:
    """Items a second from claim to end, and the peak of memory beyond twice the manifest in MiB."""
    world.empty()
    with daemon(world) as process:
        sync_id, length = put_big(world, size, salt)
        with watched(process.pid) as peak:
            announce(world, sync_id)
            wait_until_imported(world)
    seconds = seconds_of_job(world, sync_id)
    note(
        f"{size:,} items, {length >> 20} MiB: {size / seconds:,.0f} items/s; {peak.mib:,.0f} MiB, of which {peak.parts}"
    )
    return size / seconds, peak.mib - 2 * length / 2**20


def put_big(world: Bench, size: int, salt: str) -> tuple[str, int]:
    """Writes a manifest piece by piece, since this process has no need to hold it; its length in bytes.

    All items have the same folder and file: a million of them would take longer to make than to import.
    """
    make_files(world, [shared := lean_item(0, salt)])
    sync_id = str(uuid.uuid4())
    path = world.root / "sync" / f"{sync_id}.json"
    with path.open("w") as file:
        file.write(json.dumps({"sync_id": sync_id, **HEAD})[:-1] + ', "items": [')
        for number in range(size):
            file.write(f"{', ' if number else ''}{json.dumps({**lean_item(number, salt), 'path': shared['path']})}")
        file.write("]}")
    return sync_id, path.stat().st_size
