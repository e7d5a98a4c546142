"""A job whose bundle cannot be read at present is set aside: it keeps no worker, and runs once that can be read."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from ingestd.pipeline import claim_pace, unsettled
from ingestd.pipeline.cancelling import cancel
from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.importer import grace
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.worker_pool import WorkerPool, is_open
from support.faulty_fuse import FaultyFuse
from support.faulty_helper import MARKED, inject
from support.troubles import (
    LATE,
    OF_ITEMS,
    TROUBLES,
    Trouble,
    bundle,
    cut_short,
    document_error,
    make_context,
    make_quick,
    sentinel_away,
)
from support.wait import until
from support.workers import is_imported, queued, run_all
from support.world import World, cover, photo


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    make_quick(monkeypatch)


@pytest.fixture
def context(world: World, faulty: FaultyFuse) -> Context:
    return make_context(world, faulty, LATE)


@pytest.mark.parametrize("trouble", TROUBLES)
def test_the_next_job_runs_meanwhile(world: World, faulty: FaultyFuse, context: Context, trouble: Trouble) -> None:
    late, healthy = bundle(world, "b"), bundle(world, "healthy")
    world.scan(context)
    for sync_id in (late, healthy):
        enqueue(context, QueueRequest(sync_id, "tester"))
    heal = trouble(world, faulty, late)
    pool = WorkerPool(context, this_instance())
    run_all(pool)
    assert (world.status(late), world.status(healthy)) == ("queued", "imported")
    reason = world.one("SELECT last_error FROM ingest_batch WHERE sync_id = %s", late)
    assert str(reason).startswith("waiting, and tried again: ")
    released = [payload["reason"] for kind, payload in world.events(late) if kind == "job_released"]
    assert set(released) == {grace.ITEMS if trouble in OF_ITEMS else grace.MANIFEST}
    heal()
    until(lambda: is_imported(world, pool, late), what=lambda: str(world.decisions(late)))
    assert world.one("SELECT COUNT(*) FROM import_job") == 2
    assert world.one("SELECT last_error FROM ingest_batch WHERE sync_id = %s", late) is None


@pytest.mark.parametrize("trouble", [cut_short, sentinel_away, document_error])
def test_it_is_given_up_after_settling(world: World, faulty: FaultyFuse, trouble: Trouble) -> None:
    context = make_context(world, faulty, 0.7)
    late = bundle(world, "b")
    world.scan(context)
    enqueue(context, QueueRequest(late, "tester"))
    trouble(world, faulty, late)
    pool = WorkerPool(context, this_instance())

    def has_ended() -> bool:
        run_all(pool)
        return bool(world.one("SELECT state IN ('done', 'failed') FROM import_job"))

    until(has_ended, what="for the end of the job")
    kinds = [kind for kind, _ in world.events(late)]
    assert 1 <= kinds.count("job_released") < 10
    assert world.status(late) in ("invalid", "partial")
    assert context.unsettled.now() == []


def test_what_is_set_aside_can_be_cancelled(world: World, faulty: FaultyFuse, context: Context) -> None:
    late = bundle(world, "b")
    world.scan(context)
    enqueue(context, QueueRequest(late, "tester"))
    sentinel_away(world, faulty, late)
    run_all(WorkerPool(context, this_instance()))
    assert cancel(context, late, "olivia").state == "cancelled"


def test_each_item_has_the_whole_time_since_the_last_progress(world: World, faulty: FaultyFuse) -> None:
    context = make_context(world, faulty, 30.0)
    late = bundle(world, "b")
    world.scan(context)
    job_id = enqueue(context, QueueRequest(late, "tester")).job.id
    first, second = (f"{photo(name)['path']}/source/source.json" for name in ("b", "b too"))
    pool = WorkerPool(context, this_instance())
    faulty.fail(first)
    faulty.fail(second)
    run_all(pool)
    until(lambda: run_all(pool) and (context.unsettled.waited(job_id, grace.ITEMS) or 0.0) > 0.5)
    del faulty.faults[first]
    until(lambda: decided(world, pool, late) == 1, what=lambda: str(world.decisions(late)))
    assert (context.unsettled.waited(job_id, grace.ITEMS) or 0.0) < 0.5


def decided(world: World, pool: WorkerPool, sync_id: str) -> int:
    run_all(pool)
    return list(world.decisions(sync_id).values()).count("created")


@pytest.mark.parametrize("beside", ["failed", "two failed", "deferred", "failed cover"])
def test_it_is_given_up_also_beside_items_that_are_tried_again_each_time(
    world: World, faulty: FaultyFuse, beside: str
) -> None:
    context = make_context(world, faulty, 1.2)
    others = {
        "failed": [photo("a")], "two failed": [photo("a"), photo("z")],
        "deferred": [cover("lost", "nowhere")], "failed cover": [photo("p"), cover("a", "p")],
    }[beside]  # fmt: skip
    late = world.put(photo("b"), *others)
    for item in others:
        for file in (world.root / item.get("path", "nowhere")).glob("*.jpg"):
            file.write_bytes(b"longer than the manifest says")
    world.file(f"{photo('b')['path']}/source/source.json", b"{}")
    pool = queued(world, context, late)
    document_error(world, faulty, late)
    until(
        lambda: (run_all(pool), world.one("SELECT state FROM import_job"))[1] == "done",
        what=lambda: str(world.events(late)),
    )
    assert world.decisions(late)[photo("b")["hash"]] == "failed:file_unreadable"
    assert [kind for kind, _ in world.events(late)].count("job_released") < 15


def test_it_is_given_up_where_two_causes_take_turns(world: World, faulty: FaultyFuse) -> None:
    context = make_context(world, faulty, 1.2)
    late = bundle(world, "b")
    pool = queued(world, context, late)
    document_error(world, faulty, late)
    heal: list[Callable[[], object]] = []

    def has_ended() -> bool:
        run_all(pool)
        heal.pop()() if heal else heal.append(sentinel_away(world, faulty, late))
        return world.one("SELECT state FROM import_job") in ("done", "failed")

    until(has_ended, what=lambda: str(world.events(late)))


@pytest.mark.parametrize("trouble", [document_error, sentinel_away])
def test_an_outage_of_the_mount_does_not_use_up_its_time(world: World, faulty: FaultyFuse, trouble: Trouble) -> None:
    context = make_context(world, faulty, 3.0)
    late = bundle(world, "b")
    pool = queued(world, context, late)
    heal = trouble(world, faulty, late)
    run_all(pool)
    away = world.root.rename(world.root.with_name("away"))
    until(lambda: not is_open(context))
    over = time.monotonic() + 3.2
    until(lambda: pool.claim_and_run(0) > 0 and time.monotonic() > over)
    away.rename(world.root)
    until(lambda: is_open(context))
    run_all(pool)
    assert world.status(late) == "queued"
    heal()
    until(lambda: is_imported(world, pool, late))


def test_what_is_set_aside_makes_claims_no_slower(world: World, faulty: FaultyFuse, context: Context) -> None:
    """Also while its release takes longer than its pause."""
    late, healthy = bundle(world, "b"), bundle(world, "healthy")
    pool = queued(world, context, late, healthy)
    document_error(world, faulty, late)
    real = context.unsettled.add

    def add_long_before(*arguments: Any, **options: Any) -> None:
        real(*arguments, **options)
        context.unsettled.add = real  # type: ignore[method-assign]
        until(lambda: not context.unsettled.now())

    context.unsettled.add = add_long_before  # type: ignore[method-assign]
    assert pool.claim_and_run(0) == 0.0
    until(lambda: pool.claim_and_run(0) == 0.0 and world.status(healthy) == "imported", seconds=10)


def test_while_claims_are_slow_it_does_not_take_the_place_of_others(
    world: World, faulty: FaultyFuse, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim_pace, "FIRST_PAUSE", 0.1)
    late = [bundle(world, f"b{number}") for number in range(8)]
    healthy = bundle(world, "healthy")
    pool = queued(world, context, *late, healthy)
    for number in range(8):
        faulty.fail(f"{photo(f'b{number}')['path']}/source/source.json")
    pool._pace.released(time.monotonic())
    until(lambda: pool.claim_and_run(0) < 1.0 and world.status(healthy) == "imported", seconds=10)
    kinds = [kind for sync_id in late for kind, _ in world.events(sync_id)]
    assert kinds.count("job_claimed") <= 16


@pytest.mark.parametrize("count", [1, 6])
def test_those_that_may_always_be_tried_leave_every_other_claim_to_others(
    world: World, faulty: FaultyFuse, context: Context, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(unsettled, "FIRST_PAUSE", 0.0)
    monkeypatch.setattr(unsettled, "MAX_PAUSE", 0.0)
    late = [bundle(world, f"b{number}") for number in range(count)]
    pool = queued(world, context, *late)
    for number in range(count):
        faulty.fail(f"{photo(f'b{number}')['path']}/source/source.json")
    until(lambda: pool.claim_and_run(0) == 0.0 and len(context.unsettled.known()) == count)
    healthy = bundle(world, "healthy")
    queued(world, context, healthy)
    for _ in range(2):
        assert pool.claim_and_run(0) == 0.0
    assert world.status(healthy) == "imported"


@pytest.mark.parametrize("word", ["{}", '"raise"', '"memory"', '"hang"', '"kill"'])
def test_it_is_given_up_beside_an_item_that_is_read_alone(
    world: World, faulty: FaultyFuse, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    inject(monkeypatch, MARKED)
    mount = {"root": str(faulty.point), "settle_seconds": 1.2, "deadline": 0.5}
    context = world.context(mount=mount)
    late = world.put(photo("b"), photo("c"))
    world.file(f"{photo('b')['path']}/source/source.json", b"{}")
    world.file(f"{photo('c')['path']}/source/source.json", word.encode())
    pool = queued(world, context, late)
    document_error(world, faulty, late)
    until(lambda: pool.claim_and_run(0) and world.one("SELECT state FROM import_job") == "done")
    assert [kind for kind, _ in world.events(late)].count("job_released") < 25
