"""Line 4: how soon a small bundle is imported while a big one is scanned, planned and imported."""

import time
from collections.abc import Iterator, Sequence

from bench_big_bundle import put_big
from common import Bench, announce, lean_item, write_manifest
from frame import Form, Value, measures, note
from real_daemon import daemon, make_files, wait_until_imported

EVERY = 0.5
"""seconds between small bundles"""
LATENCIES = "SELECT b.sync_id, {to} FROM ingest_batch b JOIN import_job j ON j.batch_id = b.id WHERE b.item_count = 1"
STAGES = ("b.discovered_at", "j.queued_at", "j.claimed_at", "j.finished_at")


@measures("4")
def beside_big(world: Bench, form: Form) -> Iterator[Value]:
    """Delivers a big bundle, and a small one every EVERY seconds until the big one is imported."""
    size = form.of(300_000, 30_000)
    for turn in range(form.rounds(1, 1)):
        world.empty()
        with daemon(world):
            big, _ = put_big(world, size, f"beside {turn}")
            begun = deliver_beside(world, big, f"small {turn}")
            wait_until_imported(world)
            yield Value("4", p99(world, begun))


def deliver_beside(world: Bench, big: str, salt: str) -> dict[str, float]:
    """When each small bundle was announced, in seconds of the clock of this host."""
    begun: dict[str, float] = {}
    announce(world, big)
    while not has_ended(world, big):
        items = [lean_item(len(begun), salt)]
        make_files(world, items)
        sync_id = write_manifest(world, items)
        begun[sync_id] = time.time()
        announce(world, sync_id)
        time.sleep(EVERY)
    return begun


def has_ended(world: Bench, sync_id: str) -> bool:
    found = world.sql(f"SELECT status FROM ingest_batch WHERE sync_id = '{sync_id}'")
    return found == [("imported",)]


def p99(world: Bench, begun: dict[str, float]) -> float:
    """The 99th percentile of the seconds until a bundle was imported; notes those until each stage before."""
    columns = ", ".join(
        f"CAST(UNIX_TIMESTAMP(CONVERT_TZ({stage}, '+00:00', @@time_zone)) AS DOUBLE)" for stage in STAGES
    )
    rows = world.sql(LATENCIES.format(to=columns))
    waits = [[at - begun[sync_id] for at in stages] for sync_id, *stages in rows if sync_id in begun]
    assert len(waits) == len(begun), "not all small bundles were imported"
    for name, column in zip(STAGES, zip(*waits, strict=True), strict=True):
        note(f"{name}: median {percentile(column, 50):.2f}, p99 {percentile(column, 99):.2f}, most {max(column):.2f} s")
    return percentile([stages[-1] for stages in waits], 99)


def percentile(values: Sequence[float], percent: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]
