"""Line 17: imports of many galleries, and of one more member for galleries of different sizes."""

import hashlib
from collections.abc import Iterator
from typing import Any

from common import Bench, lean_item, put
from frame import Form, Value, measures, note
from real_daemon import daemon, make_files, seconds_of_job, wait_until_imported

MEMBERS = 10


@measures("17a", "17b")
def galleries(world: Bench, form: Form) -> Iterator[Value]:
    sizes = (1_000, form.of(100_000, 5_000))
    rounds = form.rounds(3)
    items = [lean_item(number, "galleries") for number in range(sizes[1] + rounds)]
    make_files(world, items)
    with daemon(world):
        deliver(world, items, [gallery(f"of {size}", items[:size]) for size in sizes])
        for number in range(rounds):
            yield Value("17a", many_galleries(world, items, form.of(10_000, 1_000), number))
            small, large = (one_more(world, items[sizes[1] + number], size) for size in sizes)
            note(f"one more member: {1000 * small:.0f} ms and {1000 * large:.0f} ms")
            yield Value("17b", large / small)


def gallery(name: str, members: list[dict[str, Any]]) -> dict[str, Any]:
    hash_ = hashlib.sha256(name.encode()).hexdigest()[:32]
    return {"type": "gallery", "hash": hash_, "title": name, "items": [item["hash"] for item in members]}


def deliver(world: Bench, items: list[dict[str, Any]], containers: list[dict[str, Any]]) -> float:
    """Seconds of the import, from pre-flight to done."""
    sync_id = put(world, items, containers)
    wait_until_imported(world)
    return seconds_of_job(world, sync_id)


def many_galleries(world: Bench, items: list[dict[str, Any]], count: int, number: int) -> float:
    """Galleries a second, whose members are in the library already."""
    some = [items[start : start + MEMBERS] for start in range(0, 10 * MEMBERS, MEMBERS)]
    made = [gallery(f"{number}/{one}", some[one % len(some)]) for one in range(count)]
    return count / deliver(world, [], made)


def one_more(world: Bench, item: dict[str, Any], size: int) -> float:
    """Seconds to import a list that adds one member to the gallery of this size."""
    return deliver(world, [], [gallery(f"of {size}", [item])])
