"""Line 19: an import into a library that is larger than the memory of the database, to one into an empty library."""

from collections.abc import Iterator

from common import Bench, bench, lean_item, put
from frame import Form, Value, measures, note
from real_daemon import daemon, make_files, seconds_of_job, wait_until_imported

PART = 500_000
"""rows of one transaction"""
ASSETS = """
INSERT INTO asset (asset_type, hash, title, path, entry_sha256, synced_at, sync_id)
SELECT 'photo', MD5(seq), CONCAT('Photo ', seq), CONCAT('photo/', MD5(seq)), SHA2(seq, 256), '2026-01-01', UUID()
FROM seq_{first}_to_{last}
"""
FILES = """
INSERT INTO asset_file (asset_id, variant, path, bytes, sha256)
SELECT id, 'original', CONCAT(path, '/original.jpg'), 1048576, entry_sha256 FROM asset WHERE id > {known}
"""


@measures("19")
def into_a_large_library(world: Bench, form: Form) -> Iterator[Value]:
    """The rates of alternate imports on two servers; what the empty one imported is taken away again."""
    with bench() as empty:
        fill(world, form.of(5_000_000, 100_000))
        for number in range(form.rounds(3)):
            small, large = (seconds(each, form.of(100_000, 5_000), number) for each in (empty, world))
            note(f"into the empty library {small:.2f} s, into the large one {large:.2f} s")
            yield Value("19", small / large)
            empty.clear()


def fill(world: Bench, count: int) -> None:
    for first in range(1, count, PART):
        ((known,),) = world.sql("SELECT IFNULL(MAX(id), 0) FROM asset")
        world.sql(ASSETS.format(first=first, last=min(count, first + PART - 1)), FILES.format(known=known))


def seconds(world: Bench, count: int, number: int) -> float:
    """Seconds to import so many new items, from pre-flight to done."""
    items = [lean_item(one, f"library {number}") for one in range(count)]
    make_files(world, items)
    with daemon(world):
        sync_id = put(world, items)
        wait_until_imported(world)
        return seconds_of_job(world, sync_id)
