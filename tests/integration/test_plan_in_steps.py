"""A large batch is planned in many short transactions: a part of its items in each, and the plan in the last."""

from collections.abc import Callable, Iterator, Sequence, Sized
from contextlib import contextmanager
from typing import Any

import pytest

from ingestd.errors import LeaseLost, NotEligible
from ingestd.pipeline import plan_steps, preflight, staging
from ingestd.pipeline.claims import claim
from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.importer import opening
from ingestd.pipeline.staging import Staging
from ingestd.pipeline.sweeps import Sweeper
from ingestd.store import item
from support.imports import lean
from support.world import World, empty, md5, photo

STEP = 4
SYNC_ID = "a09117d8-8013-4a85-8c57-b2ccdb3d36f6"
ROWS = "SELECT COUNT(*) FROM ingest_batch_item"
NO_PLAN = "SELECT COUNT(*) FROM ingest_batch WHERE plan_sha256 IS NULL"
KEPT = "asset_hash, ordinal, cover_hash, entry_sha256, in_manifest, decision, reason, waiting_for, last_error"


@pytest.fixture
def context(world: World) -> Context:
    return world.context(worker={"chunk_items": STEP}, queue={"auto": ["create"]})


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "ENTRIES_PER_STEP", STEP)
    monkeypatch.setattr(plan_steps, "MAX_AT_ONCE", STEP)
    monkeypatch.setattr(opening, "may_have_new_items", lambda *_arguments: False)


@contextmanager
def at_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan_steps, "MAX_AT_ONCE", 1000)
        yield


@contextmanager
def before_each_step(look: Callable[[], object]) -> Iterator[None]:
    """Calls `look` ahead of each part that is written, in its transaction."""
    real = Staging.write

    def write(self: Staging, *arguments: Any, **more: Any) -> object:
        look()
        return real(self, *arguments, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Staging, "write", write)
        yield


def dies_at(step: int) -> Callable[[], None]:
    """The process loses its job at some step."""
    steps = iter(range(1, 1000))

    def look() -> None:
        if next(steps) == step:
            raise LeaseLost("killed")

    return look


def queue(world: World, context: Context) -> None:
    """Queues what is new without a plan, as the daemon does."""
    world.scan(context)
    assert Sweeper(context).queue_new() == 1


def kinds(world: World, sync_id: str) -> list[str]:
    return [kind for kind, _ in world.events(sync_id) if kind.startswith(("preflight", "import", "job"))]


@pytest.mark.parametrize("by_job", [True, False])
def test_each_part_is_committed_before_the_next(world: World, context: Context, by_job: bool) -> None:
    sync_id = world.put(*lean("n", 3 * STEP - 1))
    queue(world, context)
    seen = []
    with before_each_step(lambda: seen.append((world.one(ROWS), world.one(NO_PLAN)))):
        if by_job:
            assert world.run_next(context) == "done"
        else:
            assert preflight.preflight(context, sync_id)["counts"]["will_create"] == 3 * STEP - 1
    assert seen == [(0, 1), (STEP, 1), (2 * STEP, 1)]
    assert world.one(NO_PLAN) == 0
    assert world.tallies() == world.counted()


def test_the_events_are_those_of_a_plan_at_once(world: World, context: Context) -> None:
    sync_ids = [world.put(*lean(name, 3 * STEP), photo("bad", type="!"), day=1) for name in "ab"]
    with at_once():
        world.import_all(context, sync_ids[0])
    world.import_all(context, sync_ids[1])
    events = [[(kind, payload) for kind, payload in world.events(sync_id) if "flight" in kind] for sync_id in sync_ids]
    for _, payload in events[0] + events[1]:
        payload.pop("manifest_sha256", None)
    assert events[0] == events[1]
    assert [kind for kind, _ in events[0]] == ["preflight_started", "preflight_finished"]
    assert kinds(world, sync_ids[0]) == kinds(world, sync_ids[1])


@pytest.mark.parametrize("step", [1, 2, 3])
def test_after_a_crash_in_between_it_is_planned_again(world: World, context: Context, step: int) -> None:
    sync_id = world.put(*lean("n", 3 * STEP - 1))
    queue(world, context)
    with before_each_step(dies_at(step)):
        assert world.run_next(context) == "lost"
    assert (world.one(ROWS), world.one(NO_PLAN)) == ((step - 1) * STEP, 1)
    world.sql("UPDATE import_job SET state = 'queued', claim_token = claim_token + 1 WHERE %s", 1)
    assert world.run_next(context) == "done"
    assert world.status(sync_id) == "imported"
    assert set(world.decisions(sync_id).values()) == {"created"}
    assert kinds(world, sync_id).count("preflight_finished") == 1
    assert world.tallies() == world.counted()


def test_another_manifest_after_a_crash_leaves_only_what_it_lists(world: World, context: Context) -> None:
    """The next manifest is small, and not the first one that rows are made of."""
    sync_id = world.put(*lean("n", 3 * STEP))
    queue(world, context)
    with before_each_step(dies_at(3)):
        assert world.run_next(context) == "lost"
    world.sql("UPDATE import_job SET state = 'queued', claim_token = claim_token + 1 WHERE %s", 1)
    world.put(*lean("n", 2), *lean("m", 1), sync_id=sync_id)
    assert world.run_next(context) == "done"
    assert world.decisions(sync_id) == {md5("n0"): "created", md5("n1"): "created", md5("m0"): "created"}
    assert world.tallies() == world.counted()


FIRST = [photo(name) for name in "abcdefghijkl"]
LATER = {
    "moved": list(reversed(FIRST)),
    "fewer": FIRST[5:],
    "others": [*FIRST[:3], *(photo(name) for name in "mnopqrst"), *FIRST[3:7]],
    "changed": [{**one, "title": "new"} if number % 3 else one for number, one in enumerate(FIRST)],
    "twice": [*FIRST[2:6], *FIRST, *FIRST[4:8]],
    "other places": [*(photo(name) for name in "uvwxyz"), *FIRST[:6]],
}


def after(world: World, context: Context, later: Sequence[Any], *, is_imported: bool) -> tuple[Any, ...]:
    """The plan and the item rows of a batch that is delivered again."""
    sync_id = world.put(*FIRST, sync_id=SYNC_ID)
    world.scan(context)
    preflight.preflight(context, sync_id)
    if is_imported:
        world.import_all(context, sync_id)
    world.put(*later, sync_id=sync_id, day=2)
    plan = preflight.preflight(context, sync_id)
    assert world.tallies() == world.counted()
    return plan, world.sql(f"SELECT {KEPT} FROM ingest_batch_item WHERE %s ORDER BY 1, 2", 1)


@pytest.mark.parametrize("is_imported", [True, False])
@pytest.mark.parametrize("later", LATER)
def test_rows_and_plan_are_those_of_a_plan_at_once(
    world: World, context: Context, later: str, is_imported: bool
) -> None:
    with at_once():
        expected = after(world, context, LATER[later], is_imported=is_imported)
    empty(world)
    assert after(world, context, LATER[later], is_imported=is_imported) == expected
    listed = {row[0] for row in expected[1] if row[4]}
    assert listed == {one["hash"] for one in LATER[later]}


def test_rows_are_looked_up_a_part_at_a_time(world: World, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of a large batch would not fit into memory."""
    sync_id = world.put(*FIRST)
    world.import_all(context, sync_id)
    found: list[int] = []

    def counted(real: Callable[..., Sized]) -> Callable[..., Sized]:
        def read(*given: Any) -> Sized:
            rows = real(*given)
            found.append(len(rows))
            return rows

        return read

    monkeypatch.setattr(item, "existing", counted(item.existing))
    monkeypatch.setattr(item, "at", counted(item.at))
    world.put(*LATER["fewer"], sync_id=sync_id, day=2)
    preflight.preflight(context, sync_id)
    assert 0 < max(found) <= 2 * STEP


def test_a_plan_ends_when_a_job_of_the_batch_begins(
    world: World, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync_id = world.put(*lean("n", 3 * STEP))
    queue(world, context)
    real = plan_steps.stage

    def stage(*arguments: Any) -> None:
        assert claim(world.context(), "w/pid:1/1", str(this_instance())) is not None
        real(*arguments)

    monkeypatch.setattr(plan_steps, "stage", stage)
    with pytest.raises(NotEligible, match="is importing"):
        preflight.preflight(context, sync_id)
    assert (world.one(ROWS), world.one(NO_PLAN)) == (0, 1)


def test_what_was_staged_for_another_place_in_the_order_is_staged_again(
    world: World, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its prior arrives while it is planned, which makes it newer."""
    prior = world.put(photo("z"), ready=False)
    sync_id = world.put(*lean("n", 2 * STEP), prior_sync_id=prior)
    queue(world, context)
    real, times = plan_steps.stage, []

    def stage(*arguments: Any) -> None:
        times.append(1)
        if len(times) == 1:
            world.file(f"sync/{prior}.ready", b"")
            world.scan(world.context())
        real(*arguments)

    monkeypatch.setattr(plan_steps, "stage", stage)
    assert world.run_next(context) == "done"
    assert len(times) == 2
    assert kinds(world, sync_id).count("preflight_started") == 2
    assert kinds(world, sync_id).count("preflight_finished") == 1
    assert set(world.decisions(sync_id).values()) == {"created"}
