"""A batch whose rows were brought into step with its manifest is planned by what is left to be decided."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from ingestd.pipeline import plan_steps
from ingestd.pipeline.context import Context
from ingestd.pipeline.staging import Staging
from support.world import World, cover, empty, md5, photo

SYNC_ID = "a09117d8-8013-4a85-8c57-b2ccdb3d36f6"
KEPT = "asset_hash, ordinal, cover_hash, entry_sha256, in_manifest, decision, reason, waiting_for, last_error"
LOST = photo("lost")
FIRST = [
    *map(photo, "abcdefgh"),
    LOST,
    cover("c1", "a"),
    cover("c2", "a"),
    cover("c3", "elsewhere"),
    photo("k", type="!"),
]
GALLERY = {"type": "gallery", "hash": md5("g"), "title": "G", "items": [md5("a"), md5("b")], "complete": True}
LATER: dict[str, list[Any]] = {
    "one changed": [{**FIRST[0], "title": "new"}, *FIRST[1:]],
    "none": [*FIRST, photo("a")],
    "more": [*FIRST, *map(photo, "mno")],
    "fewer": FIRST[4:],
    "moved": list(reversed(FIRST)),
    "other covers": [*FIRST[:10], *FIRST[11:], cover("c2", "b"), photo("n", cover_hash=md5("c9"))],
    "all changed": [{**one, "title": "new"} for one in FIRST if one["type"] == "photo"],
}


@pytest.fixture
def context(world: World) -> Context:
    return world.context(queue={"removal_limit": 1000})


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hashes of the items that are compared with their rows."""
    found: list[str] = []
    real = Staging.write

    def write(self: Staging, tx: Any, part: Any, forecasts: Any = None) -> Any:
        found.extend(entry.asset_hash for entry in part)
        return real(self, tx, part, forecasts)

    monkeypatch.setattr(Staging, "write", write)
    return found


@contextmanager
def in_full() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan_steps, "left", lambda *_arguments: None)
        yield


def put(world: World, items: Sequence[Any], **more: Any) -> str:
    sync_id = world.put(*items, sync_id=SYNC_ID, containers=[GALLERY], **more)
    (world.root / LOST["path"] / LOST["files"][0]["path"]).unlink(missing_ok=True)
    return sync_id


def delivered_again(world: World, context: Context, later: Sequence[Any], **more: Any) -> tuple[Any, ...]:
    """The events, rows and library of a batch that is delivered again."""
    empty(world)
    assert world.import_all(context, put(world, FIRST)) == ["done"]
    put(world, later, **more)
    world.scan(context)
    world.sql("INSERT INTO import_job (batch_id, state, manifest_sha256, queued_at, items_total)"
              " SELECT id, 'queued', manifest_sha256, UTC_TIMESTAMP(6), item_count FROM ingest_batch")  # fmt: skip
    assert world.run_next(context) == "done"
    assert world.tallies() == world.counted()
    events = [(kind, payload.get("counts"), payload.get("item_type_counts"), payload.get("tally"))
              for kind, payload in world.events(SYNC_ID)]  # fmt: skip
    removals = world.sql(
        "SELECT removed_files, removed_members, expected_files, expected_members FROM ingest_batch_removal"
    )
    return events, world.sql(f"SELECT {KEPT} FROM ingest_batch_item WHERE %s ORDER BY 1, 2", 1), removals


@pytest.mark.parametrize("day", [1, 2])
@pytest.mark.parametrize("later", LATER)
def test_the_result_is_that_of_a_plan_in_full(world: World, context: Context, later: str, day: int) -> None:
    with in_full():
        expected = delivered_again(world, context, LATER[later], day=day)
    assert delivered_again(world, context, LATER[later], day=day) == expected


def test_only_what_changed_is_compared(world: World, context: Context, compared: list[str]) -> None:
    """Together with what did not succeed, and with covers."""
    empty(world)
    assert world.import_all(context, put(world, FIRST)) == ["done"]
    put(world, LATER["one changed"])
    world.scan(context)
    compared.clear()
    world.sql(
        "INSERT INTO import_job (batch_id, state, queued_at) SELECT id, 'queued', UTC_TIMESTAMP(6) FROM ingest_batch"
    )
    assert world.run_next(context) == "done"
    assert sorted(compared) == sorted(["#12", *map(md5, ("a", "lost", "c1", "c2", "c3"))])


@pytest.mark.parametrize("staged", [None, "another one"])
def test_rows_that_may_not_be_in_step_are_all_compared(
    world: World, context: Context, compared: list[str], staged: str | None
) -> None:
    world.import_all(context, put(world, FIRST))
    compared.clear()
    world.sql("UPDATE ingest_batch SET plan_sha256 = NULL, staged_sha256 = %s", staged)
    world.sql(
        "INSERT INTO import_job (batch_id, state, queued_at) SELECT id, 'queued', UTC_TIMESTAMP(6) FROM ingest_batch"
    )
    assert world.run_next(context) == "done"
    assert len(compared) == len(FIRST)
