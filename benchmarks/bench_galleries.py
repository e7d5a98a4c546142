"""Import of many galleries, and of one more member for galleries of different sizes.

The galleries are compared with LOAD DATA of exactly the same final rows, and the larger gallery with the smaller.
"""

import hashlib
import os
import sys
from typing import Any

from common import Bench, bench, lean_item, median, put, report
from importing import LOADED, import_all, load_data

GALLERIES = int(os.environ.get("GALLERIES", "2000"))
MEMBERS = 10
SIZES = (1_000, int(os.environ.get("LARGEST", "20000")))
ROUNDS = int(os.environ.get("ROUNDS", "3"))
WRITTEN = (*LOADED, "ingest_batch_container", "asset_gallery", "asset_gallery_item")


def main() -> None:
    print(f"{GALLERIES} galleries of {MEMBERS}; one more member for galleries of {SIZES[0]} and {SIZES[1]}", flush=True)
    against_load, growth = [], []
    with bench() as world:
        items = [lean_item(number, "galleries") for number in range(SIZES[1] + ROUNDS)]
        for number in range(ROUNDS):
            ours, load = many_galleries(world, items)
            small, large = (one_more(world, items, size) for size in SIZES)
            against_load.append(load / ours)
            growth.append(large / small)
            rates = f"{GALLERIES / ours:,.0f} galleries/s; LOAD DATA {GALLERIES / load:,.0f}/s"
            print(f"  {number}: {rates}; one more member {small * 1000:.0f} ms, {large * 1000:.0f} ms", flush=True)
    report("galleries relative to LOAD DATA", against_load, "at least 0.01", median(against_load) >= 0.01)
    report("one more member, large gallery to small one", growth, "at most 30", median(growth) <= 30)
    sys.exit(0 if median(against_load) >= 0.01 and median(growth) <= 30 else 1)


def gallery(name: str, members: list[dict[str, Any]]) -> dict[str, Any]:
    hash_ = hashlib.sha256(name.encode()).hexdigest()[:32]
    return {"type": "gallery", "hash": hash_, "title": name, "items": [item["hash"] for item in members]}


def many_galleries(world: Bench, items: list[dict[str, Any]]) -> tuple[float, float]:
    """Seconds to import the galleries, whose members are in the library already, and for LOAD DATA of all rows."""
    world.empty()
    put(world, items[: 10 * MEMBERS])
    import_all(world, mount={"verify": "none"})
    some = [items[start : start + MEMBERS] for start in range(0, 10 * MEMBERS, MEMBERS)]
    put(world, [], [gallery(f"gallery {number}", some[number % len(some)]) for number in range(GALLERIES)])
    ours = import_all(world, mount={"verify": "none"})
    assert world.sql("SELECT COUNT(*) FROM asset_gallery_item") == [(GALLERIES * MEMBERS,)]
    return ours, load_data(world, WRITTEN)


def one_more(world: Bench, items: list[dict[str, Any]], size: int) -> float:
    """Seconds to import a list that adds one member to a gallery of this size."""
    world.empty()
    put(world, items[: size + 1], [gallery("large", items[:size])])
    import_all(world, mount={"verify": "none"})
    put(world, [], [gallery("large", items[size : size + 1])])
    seconds = import_all(world, mount={"verify": "none"})
    assert world.sql("SELECT COUNT(*) FROM asset_gallery_item") == [(size + 1,)]
    return seconds


if __name__ == "__main__":
    main()
