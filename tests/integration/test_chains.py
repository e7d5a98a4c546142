"""Jobs that wait for others: their small bundles are imported in one transaction, with the result of one by one."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from ingestd.pipeline import worker_pool
from ingestd.pipeline.context import Context
from ingestd.pipeline.importer.together import Together
from support.groups import IN_ANY_ORDER, of_threads, put, queued, statuses
from support.statements import commits, questions
from support.workers import run_all
from support.world import World, cover, empty, photo, sample

VOLATILE = ("job_id", "item_id", "target_ids")
LEDGER = (
    "SELECT sync_id, event_type, payload FROM ingest_event e JOIN ingest_batch b ON b.id = batch_id"
    " WHERE event_type <> 'scan' ORDER BY e.id"
)
JOBS = (
    "SELECT b.sync_id, state, claim_token, claimed_by, claimed_instance, heartbeat_us, stale_us, items_at_claim,"
    " writes, current_item_id, reset_count, release_count, isolate_items, claimed_at IS NULL, heartbeat_at IS NULL,"
    " finished_at IS NULL, b.started_at IS NULL, b.completed_at IS NULL, b.lacks_job FROM import_job j"
    " JOIN ingest_batch b ON b.id = batch_id ORDER BY j.id"
)
TARGETS = (
    "SELECT payload, i.target_ids FROM ingest_event e JOIN ingest_batch_item i ON i.batch_id = e.batch_id"
    " AND i.asset_hash = JSON_VALUE(payload, '$.hash') WHERE event_type LIKE 'item_%%' AND decision <> 'failed'"
)
COUNTED: list[tuple[str, dict[str, str]]] = [
    ("items_total", {"decision": "created"}), ("preflights_total", {"result": "ok"}),
    ("jobs_claimed_total", {}), ("jobs_finished_total", {"outcome": "done"}),
    ("job_duration_seconds_count", {"outcome": "done"}), ("job_queue_wait_seconds_count", {}),
]  # fmt: skip
Links = Callable[[World], None]


@pytest.fixture
def context(world: World) -> Context:
    return of_threads(world, 1)


def id_of(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012}"


def link(world: World, number: int, name: str, *more: Any, prior: int | None = None, **options: Any) -> str:
    """Bundle `number` of a chain, which follows the one before, or `prior`."""
    followed = number - 1 if prior is None else prior
    follows = {"prior_sync_id": id_of(followed)} if followed > 0 else {}
    return put(world, name, *more, **{"sync_id": id_of(number), "day": number, **follows, **options})


def chain(world: World, count: int) -> list[str]:
    """Bundles of which each follows the one before, newer ones later."""
    return [link(world, number, f"photo {number}") for number in range(1, count + 1)]


def in_order(world: World, *, of_each: bool) -> list[Any]:
    """The ledger, in its order or in that of each batch, without what differs between two runs."""
    events = [
        (sync_id, kind, {key: value for key, value in json.loads(payload).items() if key not in VOLATILE})
        for sync_id, kind, payload in world.sql(LEDGER)
    ]
    return sorted(events, key=lambda event: event[0]) if of_each else events


def outcome(world: World, links: Links, *, of_each: bool = False) -> list[Any]:
    """What is there after some bundles were imported."""
    empty(world)
    for name in (world.root / "sync").iterdir():
        name.unlink()
    context = of_threads(world, 1)
    links(world)
    run_all(queued(world, context))
    assert all(json.loads(payload)["target_ids"] == json.loads(ids) for payload, ids in world.sql(TARGETS))
    counted = [sample(context, name, **labels) for name, labels in COUNTED]
    return [in_order(world, of_each=of_each), counted, *map(world.sql, (JOBS, *IN_ANY_ORDER))]


def plain(world: World) -> None:
    for number in range(1, 6):
        link(world, number, f"a{number}", *(photo(f"b{number}") for _ in range(number % 2)))


def of_one_time(world: World) -> None:
    for number in range(1, 6):
        link(world, number, f"a{number}", day=1)


def versions_of_one_item(world: World) -> None:
    link(world, 1, "a")
    for number in range(2, 5):
        item = photo("a", title=f"version {number}", files=number % 2 + 1)
        world.put(item, sync_id=id_of(number), prior_sync_id=id_of(number - 1), action="update", day=number)


def with_a_cover(world: World) -> None:
    plain(world)
    link(world, 3, "x", cover("y", "x"))


def with_a_removal(world: World) -> None:
    plain(world)
    world.put(photo("a1"), sync_id=id_of(3), prior_sync_id=id_of(2), action="remove", day=3)


def with_an_invalid_item(world: World) -> None:
    plain(world)
    link(world, 3, "x", {"type": "photo", "hash": "no"})


def with_many_items(world: World) -> None:
    plain(world)
    link(world, 3, "x", *(photo(f"x{number}") for number in range(17)))


def without_a_file(world: World) -> None:
    plain(world)
    (world.root / photo("a3")["path"] / "0.jpg").unlink()


def with_an_old_link(world: World) -> None:
    """The third is the oldest: it does not wait."""
    plain(world)
    link(world, 3, "a3", day=1, completed_at="2026-03-01T00:00:00Z")


def with_a_missing_link(world: World) -> None:
    plain(world)
    (world.root / "sync" / f"{id_of(3)}.ready").unlink()


def in_a_circle(world: World) -> None:
    for number in range(1, 5):
        link(world, number, f"a{number}", prior=number - 1 or 4, day=1)


def with_a_common_asset(world: World) -> None:
    plain(world)
    link(world, 4, "a4", photo("b1", title="again"))


@pytest.mark.parametrize(
    ("links", "length"),
    [(plain, 5), (of_one_time, 5), (versions_of_one_item, 0), (with_a_cover, 2), (with_a_removal, 2),
     (with_an_invalid_item, 2), (with_many_items, 2), (without_a_file, 2), (in_a_circle, 4), (with_a_common_asset, 3)],
)  # fmt: skip
def test_the_result_is_that_of_one_by_one(
    world: World, monkeypatch: pytest.MonkeyPatch, groups: list[int], links: Links, length: int
) -> None:
    """The same rows, and the same events in the same order."""
    monkeypatch.setattr(worker_pool, "MAX_TOGETHER", 1)
    expected = outcome(world, links)
    assert groups == []
    monkeypatch.setattr(worker_pool, "MAX_TOGETHER", 16)
    for one, other in zip(outcome(world, links), expected, strict=True):
        assert one == other
    assert max(groups, default=0) == length


def two_chains(world: World) -> None:
    for number in range(1, 4):
        link(world, 2 * number - 1, f"a{number}", prior=2 * number - 3)
        link(world, 2 * number, f"b{number}", prior=2 * number - 2)


def a_tree(world: World) -> None:
    for number in range(1, 8):
        link(world, number, f"a{number}", prior=number // 2)


@pytest.mark.parametrize(
    ("links", "lengths"), [(two_chains, [6]), (a_tree, [7]), (with_an_old_link, [0, 4]), (with_a_missing_link, [4])]
)
def test_several_that_wait_follow_round_by_round(
    world: World, monkeypatch: pytest.MonkeyPatch, groups: list[int], links: Links, lengths: list[int]
) -> None:
    monkeypatch.setattr(worker_pool, "MAX_TOGETHER", 1)
    expected = outcome(world, links, of_each=True)
    monkeypatch.setattr(worker_pool, "MAX_TOGETHER", 16)
    assert outcome(world, links, of_each=True) == expected
    assert groups == lengths
    claimed = [sync_id for sync_id, kind, _ in world.sql(LEDGER) if kind == "job_claimed"]
    waited = [sync_id for sync_id, kind, _ in world.sql(LEDGER) if kind == "job_promoted"]
    assert claimed == [*(one for one in claimed if one not in waited), *waited]


def test_a_bundle_that_none_follows_is_read_by_its_own_run(
    world: World, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may take long, which says nothing about others."""
    versions_of_one_item(world)
    pool = queued(world, context)
    read = list[Any]()

    def reading(_self: Together, leases: Any, *_arguments: Any) -> Any:
        read.append(leases)
        return []

    monkeypatch.setattr(Together, "_members", reading)
    run_all(pool)
    assert (read, statuses(world, [id_of(number) for number in range(1, 5)])) == ([], ["imported"] * 4)


def test_a_chain_takes_the_statements_of_one(world: World, context: Context, groups: list[int]) -> None:
    link(world, 1, "first")
    run_all(queued(world, context))
    names = [link(world, number, f"photo {number}", day=min(number, 30)) for number in range(2, 34)]
    pool = queued(world, context)
    first, before = questions(world), (questions(world), commits(world))
    pool.claim_and_run(0)
    taken = questions(world) - before[0] - 2 * (before[0] - first), commits(world) - before[1]
    assert (groups, statuses(world, names)) == ([32], ["imported"] * 32)
    assert taken[0] <= 35
    assert taken[1] == 2
