"""Line 19: an import into a large library, to the same import into an empty one."""

import os
from collections.abc import Iterator

from common import Bench, bench, lean_item, put
from frame import Form, Value, measures, note
from real_daemon import HOUR, daemon, make_files, seconds_of_job, wait_until_imported

from support.wait import until

ASSETS = int(os.environ.get("ASSETS", "5000000"))
PART = 200_000
"""rows of one INSERT: more would fill the log"""
FEW_PAGES = 500


@measures("19")
def large_library(world: Bench, form: Form) -> Iterator[Value]:
    """Items of one file, none of which the library has, in turn into an empty library and into a large one."""
    size = 50_000
    fill(world)
    with bench() as other:
        seconds(other, size, "warm-up")
        seconds(world, size, "warm-up")
        for number in range(form.rounds(5)):
            other.empty()
            empty, large = (seconds(one, size, f"items {number}") for one in (other, world))
            note(
                f"{size / empty:,.0f} items/s into an empty library, {size / large:,.0f} into one of {ASSETS:,} assets"
            )
            yield Value("19", empty / large)


def seconds(world: Bench, size: int, salt: str) -> float:
    items = [lean_item(number, salt) for number in range(size)]
    make_files(world, items)
    with daemon(world):
        sync_id = put(world, items)
        wait_until_imported(world)
    return seconds_of_job(world, sync_id)


def fill(world: Bench) -> None:
    """Assets with random hashes, as real ones have, and a file each; all of it is on disk then."""
    for first in range(1, ASSETS + 1, PART):
        last = min(first + PART - 1, ASSETS)
        world.sql(
            "INSERT INTO asset (asset_type, hash, title, path, entry_sha256, documents_sha256, synced_at, sync_id)"
            " SELECT 'photo', MD5(seq), CONCAT('Photo ', seq), CONCAT('photo/', MD5(seq)), SHA2(seq, 256),"
            f" SHA2('', 256), '2026-01-01', 'a09117d8-8013-4a85-8c57-b2ccdb3d36f6' FROM seq_{first}_to_{last}",
            "INSERT INTO asset_file (asset_id, variant, path, bytes, sha256, synced_at, sync_id)"
            " SELECT a.id, 'original', CONCAT(a.path, '/original.jpg'), 1048576, a.entry_sha256, a.synced_at, a.sync_id"
            f" FROM (SELECT MD5(seq) AS hash FROM seq_{first}_to_{last}) s STRAIGHT_JOIN asset a"
            " ON a.hash = CONVERT(s.hash USING ascii) COLLATE ascii_nopad_bin",
        )
        note(f"{last:,} assets")
    write_pages(world)


def write_pages(world: Bench) -> None:
    """Waits until what was changed in memory is on disk: a large library has not come by a single burst."""
    hurry = {"innodb_max_dirty_pages_pct": "0", "innodb_io_capacity": "10000"}
    world.sql(*(f"SET GLOBAL {name} = {value}" for name, value in hurry.items()))
    changed = "SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_pages_dirty'"
    until(lambda: int(world.sql(changed)[0][1]) < FEW_PAGES, seconds=HOUR, what="for pages to be written")
    world.sql(*(f"SET GLOBAL {name} = DEFAULT" for name in hurry))
