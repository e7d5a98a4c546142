"""Items whose reads hang in the kernel, where no signal reaches them: they stop neither their bundle nor others."""

import pytest

from ingestd.mount import helper_pool
from ingestd.mount.access import Mount
from ingestd.mount.helper_pool import Use
from ingestd.pipeline import unsettled
from ingestd.pipeline.context import Context
from ingestd.pipeline.importer import grace
from ingestd.pipeline.worker_pool import HANGING_SECONDS
from support.faulty_fuse import FaultyFuse, Step
from support.reaped import until_reaped
from support.wait import until
from support.workers import is_imported, queued, run_all
from support.world import World, photo

DEADLINE = 1.0


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unsettled, "FIRST_PAUSE", 0.2)
    monkeypatch.setattr(unsettled, "MAX_PAUSE", 0.2)
    monkeypatch.setattr(grace, "IN_WORKER_SECONDS", 0.05)


@pytest.fixture
def context(world: World, faulty: FaultyFuse) -> Context:
    return world.context(mount={"root": str(faulty.point), "deadline": DEADLINE, "settle_seconds": 600.0})


def bundle(world: World, name: str, count: int) -> tuple[str, list[str]]:
    """A bundle of photos, and their folders."""
    items = [photo(f"{name} {number}") for number in range(count)]
    return world.put(*items), [item["path"] for item in items]


@pytest.mark.parametrize("step", ["read", "open", "lookup"])
@pytest.mark.parametrize(("hanging", "of"), [(1, 1), (3, 6), (40, 42)])
def test_they_delay_no_other_item_and_no_other_bundle(
    world: World, faulty: FaultyFuse, context: Context, step: Step, hanging: int, of: int
) -> None:
    (late, paths), (healthy, _) = bundle(world, "late", of), bundle(world, "healthy", 2)
    for path in paths[:hanging]:
        world.file(f"{path}/source/source.json", b"{}")
        faulty.hang(f"{path}/source/source.json" if step != "lookup" else f"{path}/0.jpg", step)
    pool = queued(world, context, late, healthy)
    until(
        lambda: is_imported(world, pool, healthy) and len(context.mount.hanging_items()) == hanging,
        what=lambda: f"{len(context.mount.hanging_items())} hang; {world.decisions(late)}; {world.events(late)}",
    )
    assert (world.status(late), list(world.decisions(late).values()).count("created")) == ("queued", of - hanging)
    assert context.mount._pool.hung(Use.ITEMS) <= 1 + hanging // 16, "one helper holds many reads that hang"
    faulty.clear()
    until(lambda: is_imported(world, pool, late), what=lambda: str(world.decisions(late)))
    until_reaped(context.mount)


def test_what_hangs_is_not_read_again_meanwhile(world: World, faulty: FaultyFuse, context: Context) -> None:
    late, (path,) = bundle(world, "late", 1)
    faulty.hang(f"{path}/0.jpg", "lookup")
    pool = queued(world, context, late)

    def was_released_often() -> bool:
        run_all(pool)
        return [kind for kind, _ in world.events(late)].count("job_released") >= 5

    until(was_released_often)
    assert context.mount._pool.hung(Use.ITEMS) == 1
    assert world.decisions(late) == {photo("late 0")["hash"]: "will_create"}


def test_a_bundle_may_hold_some_helpers_only(
    world: World, faulty: FaultyFuse, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(helper_pool, "MAX_OF_BUNDLE", 2)
    (late, paths), (healthy, _) = bundle(world, "late", 150), bundle(world, "healthy", 2)
    for path in paths:
        faulty.hang(f"{path}/0.jpg", "lookup")
    pool = queued(world, context, late, healthy)
    until(lambda: (run_all(pool), world.status(late))[1] == "failed")
    error = str(world.one("SELECT last_error FROM ingest_batch WHERE sync_id = %s", late))
    assert error.endswith(", so no more of its items are read; mount it again")
    assert set(world.decisions(late).values()) == {"will_create"}, "nothing counts against an item"
    assert world.one("SELECT retry_at IS NOT NULL FROM ingest_batch WHERE sync_id = %s", late)
    assert is_imported(world, pool, healthy)


def test_with_too_many_nothing_is_claimed_and_nothing_fails(
    world: World, faulty: FaultyFuse, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(helper_pool.MAX_ABANDONED, Use.ITEMS, 2)
    late = [bundle(world, f"late {number}", 1) for number in range(3)]
    healthy, _ = bundle(world, "healthy", 1)
    for _, (path,) in late:
        faulty.hang(f"{path}/0.jpg", "lookup")
    pool = queued(world, context, *(sync_id for sync_id, _ in late), healthy)
    assert run_all(pool) == HANGING_SECONDS
    assert context.mount.hanging_problem is not None
    assert "2 reads hang in the mount" in context.mount.hanging_problem
    before = world.one("SELECT COUNT(*) FROM ingest_event")
    assert run_all(pool) == HANGING_SECONDS
    assert world.one("SELECT COUNT(*) FROM ingest_event") == before, "nothing is claimed"
    assert {world.status(sync_id) for sync_id, _ in late} | {world.status(healthy)} == {"queued"}
    faulty.clear()
    until(lambda: all(is_imported(world, pool, sync_id) for sync_id in [healthy, *(one for one, _ in late)]))
    assert context.mount.hanging_problem is None


def test_a_run_that_meets_too_many_is_released(
    world: World, faulty: FaultyFuse, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may have begun to hang for another worker after its job was claimed."""
    (late, (path,)), (healthy, _) = bundle(world, "late", 1), bundle(world, "healthy", 1)
    pool = queued(world, context, late, healthy)
    monkeypatch.setitem(helper_pool.MAX_ABANDONED, Use.ITEMS, 1)
    monkeypatch.setattr(Mount, "hanging_problem", None)
    faulty.hang(f"{path}/0.jpg", "lookup")
    run_all(pool)
    assert (world.status(late), world.status(healthy)) == ("queued", "queued")
    released = [payload["reason"] for kind, payload in world.events(healthy) if kind == "job_released"]
    assert released == ["mount_unavailable"]
