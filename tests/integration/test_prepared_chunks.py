"""What a chunk was chunk from may have changed before it is written: the locked rows decide."""

from typing import Any

import pytest

from ingestd.pipeline.importer import chunk_writer
from support.steps import in_steps
from support.world import World, cover, md5, photo

OLD, NEW = "2026-04-01T00:00:00Z", "2026-04-02T00:00:00Z"


def overtaken(world: World, monkeypatch: pytest.MonkeyPatch, entry: dict[str, Any], by: str) -> list[str]:
    """Imports the bundle `by` while a chunk with `entry` is prepared but not written; its decision, and the title."""
    context, other = world.context(), world.context()
    mine = world.put(entry, completed_at="2026-04-01T12:00:00Z")
    world.scan(context)
    real, raced = chunk_writer.write, list[str]()

    def late(tx: Any, bundle: Any, chunk: Any, removed: Any, again: bool) -> Any:
        if not raced:
            raced.append("done")
            assert world.import_all(other, by) == raced
        return real(tx, bundle, chunk, removed, again)

    monkeypatch.setattr(chunk_writer, "write", late)
    with in_steps():
        assert world.import_all(context, mine) == ["done"]
    monkeypatch.undo()
    return [world.decisions(mine)[md5("a")], world.one("SELECT title FROM asset")]


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize(
    ("completed_at", "decision", "title"), [(OLD, "updated", "mine"), (NEW, "skipped:superseded", "theirs")]
)
def test_an_asset_written_after_preparation_is_decided_from_the_locked_row(
    world: World, monkeypatch: pytest.MonkeyPatch, known: bool, completed_at: str, decision: str, title: str
) -> None:
    """`known`: the asset has a row already when the chunk is chunk; otherwise our own INSERT meets theirs."""
    context = world.context()
    if known:
        first = world.put(photo("a", title="first"), completed_at="2026-03-01T00:00:00Z")
        world.scan(context)
        assert world.import_all(context, first) == ["done"]
    theirs = world.put(photo("a", title="theirs"), completed_at=completed_at)
    assert overtaken(world, monkeypatch, photo("a", title="mine"), theirs) == [decision, title]
    recorded = [kind for kind, _ in world.events(theirs)]
    assert recorded.count("item_updated" if known else "item_created") == 1


def test_covers_removed_before_their_assets_came_are_remembered(world: World) -> None:
    context = world.context()
    sync_id = world.put(cover("c", "unknown"), action="remove")
    world.scan(context)
    assert world.import_all(context, sync_id) == ["done"]
    assert world.sql("SELECT decision, reason FROM ingest_batch_item") == [("skipped", "tombstoned")]
    assert world.sql("SELECT asset_type, deleted_at IS NULL FROM asset") == [(None, 0)]
