"""Lines 1 and 2: imports from a file system on which every operation takes 30 ms.

Compared with the least time that so many operations can take with 32 of them on the way at any time.
"""

import time
from collections.abc import Iterator
from typing import Any

from common import Bench, lean_item, put
from frame import Form, Value, measures, note
from real_daemon import daemon, make_files, wait_until_imported

from support.faulty_fuse import GETATTR, LOOKUP, OPEN, OPENDIR, READ, READDIR, faulty_fuse

LATENCY, AT_ONCE, NAMES_KEPT = 0.030, 32, 1
AWAITED = (LOOKUP, GETATTR, OPEN, READ, OPENDIR, READDIR)
"""operations whose caller waits for the answer"""
DOCUMENTS = ("photo.manifest", "photo.analysis", "photo.meaning", "photo.family")


@measures("1a", "1b", quick=True)
def one_bundle(world: Bench, form: Form) -> Iterator[Value]:
    for number in range(form.rounds(3, 1)):
        share, operations = imported(world, f"bundle-{number}", [form.of(2_000, 150)])
        yield Value("1a", share)
        yield Value("1b", operations)


@measures("2a", "2b", quick=True)
def bundles_of_one_item(world: Bench, form: Form) -> Iterator[Value]:
    for number in range(form.rounds(3, 1)):
        share, operations = imported(world, f"bundles-{number}", [1] * form.of(2_000, 60))
        yield Value("2a", share)
        yield Value("2b", operations)


def imported(world: Bench, name: str, bundles: list[int]) -> tuple[float, float]:
    """The share of the least possible time, and how many operations each item took, while nothing else is imported."""
    world.clear()
    with faulty_fuse(world.root, world.folder / name) as far:
        far.valid = NAMES_KEPT
        with daemon(world, far.point):
            names = [[f"{name}/{number}/{one}" for one in range(count)] for number, count in enumerate(bundles)]
            made = [[item(world, one) for one in some] for some in names]
            far.pace = LATENCY
            far.operations.clear()
            begun = time.perf_counter()
            for items in made:
                put(world, items)
            wait_until_imported(world)
            seconds, operations = time.perf_counter() - begun, sum(far.operations[one] for one in AWAITED)
            far.pace = 0.0
    count = sum(bundles)
    note(f"{name}: {count / seconds:,.1f} items/s, {operations / count:.1f} operations an item")
    return operations * LATENCY / AT_ONCE / seconds, operations / count


def item(world: Bench, name: str) -> dict[str, Any]:
    """An item with one file of its size, and 5 documents."""
    made = lean_item(0, name)
    make_files(world, [made])
    source = world.root / made["path"] / "source"
    (source / "data").mkdir(parents=True)
    (source / "source.json").write_text('{"a": 1}')
    for kind in DOCUMENTS:
        (source / "data" / f"{kind}.json").write_text('{"a": 1}')
    return made
