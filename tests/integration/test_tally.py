"""How many items of a batch were decided how: kept by the transactions that decide, and never away from the truth."""

from typing import Any

import pytest

from ingestd.model import Scope
from ingestd.pipeline.importer import completion
from ingestd.pipeline.preflight import preflight
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.store import item
from support.world import World, cover, photo


@pytest.fixture
def uncorrected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out the count at the end of a run, which would hide what its chunks did."""
    real = completion.finish

    def finish(*args: Any) -> Any:
        with monkeypatch.context() as patched:
            patched.setattr(item, "recount", lambda *_: None)
            return real(*args)

    monkeypatch.setattr(completion, "finish", finish)


def by_decision(world: World) -> dict[str, int]:
    return {f"{decision} {reason}".strip(): count for _, decision, reason, count in world.tallies()}


def test_each_chunk_moves_what_it_decides(world: World, uncorrected: None) -> None:
    context = world.context(worker={"chunk_items": 2})
    sync_id = world.put(photo("a"), photo("b"), photo("c"), cover("d", "a"), cover("e", "unknown"), {"type": "photo"})
    world.scan(context)
    preflight(context, sync_id)
    assert by_decision(world) == {
        "will_create": 3, "will_link": 1, "will_defer parent_missing": 1, "will_fail bad_entry": 1,
    }  # fmt: skip
    assert world.import_all(context, sync_id) == ["done"]
    assert by_decision(world) == {
        "created": 3, "linked": 1, "deferred parent_missing": 1, "failed bad_entry": 1,
    }  # fmt: skip
    assert world.tallies() == world.counted()


def test_a_repaired_item_moves_in_the_tally(world: World, uncorrected: None) -> None:
    context = world.context(mount={"settle_seconds": 0.1})
    lost = photo("lost")
    sync_id = world.put(photo("a"), lost)
    (world.root / lost["path"] / "0.jpg").unlink()
    assert world.import_all(context, sync_id) == ["done"]
    assert by_decision(world) == {"created": 1, "failed file_missing": 1}
    world.file(f"{lost['path']}/0.jpg", b"x" * 10)
    enqueue(context, QueueRequest(sync_id, "tester", scope=Scope.FAILED))
    assert world.run_next(context) == "done"
    assert by_decision(world) == {"created": 2}
    enqueue(context, QueueRequest(sync_id, "tester", scope=Scope.REIMPORT))
    assert by_decision(world) == {"created": 2}, "its run resets them"
    assert world.run_next(context) == "done"
    assert by_decision(world) == {"skipped unchanged": 2}


def test_an_item_refused_by_the_database_is_counted_alone(world: World, uncorrected: None) -> None:
    context = world.context()
    sync_id = world.put(photo("a"), photo("b"), photo("c", title="x" * 1000))
    world.sql("ALTER TABLE asset MODIFY title VARCHAR(10) NULL")
    try:
        assert world.import_all(context, sync_id) == ["done"]
    finally:
        world.sql("ALTER TABLE asset MODIFY title VARCHAR(1000) NULL")
    assert by_decision(world) == {"created": 2, "failed database_refused": 1}


def test_what_is_no_longer_listed_counts_nowhere(world: World) -> None:
    context = world.context()
    sync_id = world.put(photo("a"), photo("b"))
    assert world.import_all(context, sync_id) == ["done"]
    world.put(photo("a", title="new"), sync_id=sync_id)
    world.scan(context)
    assert by_decision(world) == {"pending": 1}


def test_a_wrong_count_is_corrected_at_the_end_of_a_run(world: World) -> None:
    context = world.context()
    sync_id = world.put(photo("a"))
    world.scan(context)
    preflight(context, sync_id)
    world.sql("UPDATE ingest_batch_tally SET items = items + 5")
    world.sql("INSERT INTO ingest_batch_tally SELECT batch_id, 'failed', 'poison', 3 FROM ingest_batch_tally")
    assert world.import_all(context, sync_id) == ["done"]
    assert by_decision(world) == {"created": 1}


def test_failed_and_deferred_items_are_found_by_index(world: World) -> None:
    context = world.context()
    sync_id = world.put(photo("a"), cover("e", "unknown"), {"type": "photo"})
    assert world.import_all(context, sync_id) == ["done"]
    assert world.sql("SELECT ordinal, needs_attention FROM ingest_batch_item ORDER BY ordinal") == [
        (0, None), (1, "deferred"), (2, "failed"),
    ]  # fmt: skip
