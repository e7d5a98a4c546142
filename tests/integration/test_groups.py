"""Jobs of several small bundles that one worker claims together: one transaction, with the result of one by one."""

from collections.abc import Callable
from typing import Any

import pytest

from ingestd.mount.access import Mount
from ingestd.pipeline import worker_pool
from ingestd.pipeline.context import Context
from ingestd.pipeline.preflight import preflight
from ingestd.pipeline.read_ahead import ReadAhead
from support.groups import IN_ANY_ORDER, next_id, noted, of_threads, put, queued, statuses
from support.statements import commits, questions
from support.workers import run_all
from support.world import World, cover, empty, md5, photo, sample

PRIOR = "00000000-0000-4000-8000-000000000001"
VOLATILE = ("job_id", "worker_id", "target_ids", "item_id")
COUNTED: list[tuple[str, dict[str, str]]] = [
    ("items_total", {"decision": "created"}), ("preflights_total", {"result": "ok"}),
    ("jobs_claimed_total", {}), ("jobs_finished_total", {"outcome": "done"}),
    ("job_duration_seconds_count", {"outcome": "done"}), ("job_queue_wait_seconds_count", {}),
    ("documents_read_bytes_total", {}),
]  # fmt: skip


@pytest.fixture
def context(world: World) -> Context:
    return of_threads(world, 1)


def events_of(world: World, sync_id: str) -> list[tuple[str, dict[str, Any]]]:
    """The events of a bundle, without what differs between two that are the same."""
    events = world.events(sync_id)
    return [(kind, {key: value for key, value in payload.items() if key not in VOLATILE}) for kind, payload in events]


def test_the_result_is_that_of_one_by_one(world: World, monkeypatch: pytest.MonkeyPatch, groups: list[int]) -> None:
    results = []
    sync_ids = [f"00000000-0000-4000-8000-00000000000{number}" for number in range(3)]
    for most in (1, 16):
        monkeypatch.setattr(worker_pool, "MAX_TOGETHER", most)
        empty(world)
        context = of_threads(world, 1)
        put(world, "a", photo("a2"), photo("a3"), sync_id=sync_ids[0])
        put(world, "b", sync_id=sync_ids[1], action="update", day=2)
        put(world, "c", photo("c2"), sync_id=sync_ids[2])
        run_all(queued(world, context))
        counted = [sample(context, name, **labels) for name, labels in COUNTED]
        written = [world.sql(query) for query in IN_ANY_ORDER]
        results.append([statuses(world, sync_ids), counted, *written, *(events_of(world, one) for one in sync_ids)])
        for name in (world.root / "sync").iterdir():
            name.unlink()
    assert groups == [3]
    assert results[0] == results[1]


def test_sixteen_bundles_take_the_statements_of_one(world: World, context: Context, groups: list[int]) -> None:
    put(world, "first")
    run_all(queued(world, context))
    for number in range(16):
        put(world, f"photo {number}")
    pool = queued(world, context)
    first, before = questions(world), (questions(world), commits(world))
    pool.claim_and_run(0)
    taken = questions(world) - before[0] - 2 * (before[0] - first), commits(world) - before[1]
    assert groups == [16]
    assert taken[0] <= 28
    assert taken[1] == 2


def known(world: World) -> str:
    return world.put(photo("known", title="again"), action="update", sync_id=next_id())


OBSTACLES: dict[str, Callable[[World], str]] = {
    "a known asset": known,
    "an asset of the group": lambda world: put(world, "a"),
    "a cover": lambda world: put(world, "x", cover("y", "x")),
    "a named cover": lambda world: world.put({**photo("x"), "cover_hash": md5("y")}, sync_id=next_id()),
    "a gallery": lambda world: put(world, "x", containers=[{"type": "gallery", "hash": md5("g"), "items": [md5("x")]}]),
    "a removal": lambda world: world.put(photo("known"), action="remove", sync_id=next_id()),
    "a repeated entry": lambda world: put(world, "x", photo("x", files=2)),
    "an invalid entry": lambda world: put(world, "x", {"type": "photo", "hash": "no"}),
    "many items": lambda world: world.put(*(photo(f"x {number}") for number in range(17)), sync_id=next_id()),
}


FOUND_LATE = ("a known asset", "an asset of the group", "an invalid entry")


@pytest.mark.parametrize("what", OBSTACLES)
def test_what_cannot_join_is_imported_alone(
    world: World, context: Context, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """In the order of the queue: what came before it, it, and what came after it."""
    claimed = list[int]()
    groups = noted(monkeypatch, claimed)
    put(world, "known", sync_id=PRIOR)
    run_all(queued(world, context))
    names = [put(world, "a"), put(world, "b"), OBSTACLES[what](world), put(world, "c"), put(world, "d")]
    run_all(queued(world, context))
    assert set(statuses(world, names)) <= {"imported", "partial"}
    assert world.status(names[2]) == ("partial" if what == "an invalid entry" else "imported")
    assert (sum(groups), sum(claimed)) == (4, 5 if what in FOUND_LATE else 4)
    assert all([kind for kind, _ in world.events(one)].count("job_finished") == 1 for one in names)
    assert [
        kind for (kind,) in world.sql("SELECT event_type FROM ingest_event WHERE event_type = 'job_released'")
    ] == []


def test_what_was_read_ahead_on_a_far_mount_is_read_once(
    world: World, context: Context, monkeypatch: pytest.MonkeyPatch, groups: list[int]
) -> None:
    monkeypatch.setattr(Mount, "is_remote", True)
    names = [put(world, name) for name in "abc"]
    pool = queued(world, context)
    ReadAhead(context).run_once()

    def never(*_arguments: Any, **_options: Any) -> Any:
        raise AssertionError("it was read already")

    monkeypatch.setattr(context.mount, "read_items", never)
    monkeypatch.setattr(context.mount, "read_announced", never)
    run_all(pool)
    assert (groups, statuses(world, names)) == ([3], ["imported"] * 3)


def test_on_a_far_mount_a_group_waits_for_nothing(
    world: World, context: Context, monkeypatch: pytest.MonkeyPatch, groups: list[int]
) -> None:
    monkeypatch.setattr(Mount, "is_remote", True)
    names = [put(world, name) for name in "abc"]
    run_all(queued(world, context))
    assert statuses(world, names) == ["imported"] * len(names)
    assert groups == []


def test_what_a_group_has_read_is_not_read_again(
    world: World, context: Context, monkeypatch: pytest.MonkeyPatch, groups: list[int]
) -> None:
    put(world, "known")
    run_all(queued(world, context))
    names = [put(world, "a"), put(world, "b"), put(world, "known", action="update")]
    pool, read = queued(world, context), context.mount.read_announced
    requested: list[int] = []

    def counting(names: Any, requests: Any, *more: Any) -> Any:
        requested.append(len(requests))
        return read(names, requests, *more)

    def never(*_arguments: Any, **_options: Any) -> Any:
        raise AssertionError("it was read already")

    monkeypatch.setattr(context.mount, "read_announced", counting)
    monkeypatch.setattr(context.mount, "read_items", never)
    run_all(pool)
    assert (groups, requested, statuses(world, names)) == ([2], [3], ["imported"] * 3)


def test_planned_bundles_do_not_join(world: World, context: Context, groups: list[int]) -> None:
    names = [put(world, name) for name in "abc"]
    world.scan(context)
    for name in names:
        preflight(context, name)
    run_all(queued(world, context))
    assert (groups, statuses(world, names)) == ([], ["imported"] * 3)


@pytest.mark.parametrize(("chunk_items", "ended"), [(1, []), (2, [0, 2]), (3, [2, 2])])
def test_no_transaction_has_more_items_than_it_may(
    world: World, groups: list[int], chunk_items: int, ended: list[int]
) -> None:
    """The second of five bundles has two items."""
    context = world.context(worker={"threads": 1, "chunk_items": chunk_items}, queue={"auto": ["create"]})
    names = [put(world, "a"), put(world, "b", photo("b2")), *(put(world, name) for name in "cde")]
    run_all(queued(world, context))
    assert statuses(world, names) == ["imported"] * 5
    assert groups == ended
