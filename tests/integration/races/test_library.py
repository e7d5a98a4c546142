"""Two bundles for the same assets at the same moment."""

from typing import Any

from ingestd.pipeline.sweeps import Sweeper
from support.racing import Race, ask, runner, take
from support.scanning import kinds
from support.world import World, md5

ASSETS = 50


def items(number: int, title: str, *, backwards: bool) -> list[dict[str, Any]]:
    """The same assets for every title; each with a cover of that title."""
    listed = [
        {"type": "photo", "hash": md5(f"{number}/{i}"), "title": title, "cover_hash": md5(title)} for i in range(ASSETS)
    ]
    return listed[::-1] if backwards else listed


def story(world: World, older: str, newer: str) -> dict[str, list[tuple[str, str]]]:
    """The ledger events of each asset, in order: the bundle, and the event."""
    rows = world.sql(
        "SELECT JSON_VALUE(e.payload, '$.hash'), b.sync_id,"
        " CONCAT_WS(':', e.event_type, JSON_VALUE(e.payload, '$.reason'))"
        " FROM ingest_event e JOIN ingest_batch b ON b.id = e.batch_id"
        " WHERE b.sync_id IN (%s, %s) AND e.event_type LIKE 'item\\_%%' ORDER BY e.id",
        older,
        newer,
    )
    recorded: dict[str, list[tuple[str, str]]] = {}
    for hash_, sync_id, what in rows:
        recorded.setdefault(hash_, []).append(("older" if sync_id == older else "newer", what))
    return recorded


OLDER_FIRST = [("older", "item_created"), ("newer", "item_updated")]
NEWER_FIRST = [("newer", "item_created"), ("older", "item_skipped:superseded")]


def test_two_bundles_for_the_same_assets_leave_what_the_newer_one_says(world: World, race: Race) -> None:
    contexts = [world.context(worker={"chunk_items": 7}) for _ in range(2)]
    endings: set[str] = set()
    for number in range(10):
        bundles = {
            "older": world.put(*items(number, "old", backwards=number % 4 > 1), day=1),
            "newer": world.put(*items(number, "new", backwards=number % 3 > 1), action="update", day=2),
        }
        older, newer = bundles["older"], bundles["newer"]
        world.scan(contexts[0])
        for name in sorted(bundles, reverse=bool(number % 2)):
            ask(contexts[0], bundles[name])
        leases = [take(context, slot) for slot, context in enumerate(contexts)]
        assert race(*map(runner, contexts, leases)) == ["done", "done"]
        recorded = story(world, older, newer)
        assert len(recorded) == ASSETS
        for events in recorded.values():
            assert events in (OLDER_FIRST, NEWER_FIRST)
            endings.add(events[0][0])
        for sync_id in (older, newer):
            rows = {hash_: f"item_{decision}" for hash_, decision in world.decisions(sync_id).items()}
            name = "older" if sync_id == older else "newer"
            assert rows == {hash_: dict(events)[name] for hash_, events in recorded.items()}
        hashes = tuple(recorded)
        assert world.sql("SELECT DISTINCT title, sync_id, deleted_at FROM asset WHERE hash IN %s", hashes) == [
            ("new", newer, None)
        ]
        covers = "SELECT DISTINCT c.cover_hash, c.sync_id FROM asset_cover c JOIN asset a ON a.id = c.asset_id"
        assert world.sql(f"{covers} WHERE a.hash IN %s", hashes) == [(md5("new"), newer)]
    assert endings == {"older", "newer"}, "both orders were seen"


def test_a_cover_and_its_parent_at_the_same_moment_are_linked_in_the_end(world: World, race: Race) -> None:
    contexts = [world.context(queue={"revive_interval": 1e-6}, worker={"chunk_items": 2}) for _ in range(2)]
    deferred = linked = 0
    for number in range(12):
        names = [f"{number}/{i}" for i in range(6)]
        parents = world.put(*({"type": "photo", "hash": md5(name)} for name in names))
        covers = world.put(
            *(
                {"type": "cover", "hash": md5(f"c{name}"), "parent_hash": md5(name)}
                for name in names[:: 1 - 2 * (number % 2)]
            )
        )
        world.scan(contexts[0])
        for sync_id in (parents, covers):
            ask(contexts[0], sync_id)
        leases = [take(context, slot) for slot, context in enumerate(contexts)]
        assert race(*map(runner, contexts, leases)) == ["done", "done"]
        at_once = [decision.split(":")[0] for decision in world.decisions(covers).values()]
        deferred += at_once.count("deferred")
        linked += at_once.count("linked")
        while Sweeper(contexts[0]).revive():
            assert world.run_next(contexts[0]) == "done"
        assert set(world.decisions(covers).values()) == {"linked"}
        rows = world.sql(
            "SELECT a.hash, c.cover_hash FROM asset_cover c JOIN asset a ON a.id = c.asset_id"
            " WHERE c.deleted_at IS NULL AND a.hash IN %s",
            tuple(md5(name) for name in names),
        )
        assert dict(rows) == {md5(name): md5(f"c{name}") for name in names}
        assert world.status(covers) == "imported"
        assert kinds(world, covers).count("item_linked") == len(names)
    assert deferred, "the cover was sometimes first"
    assert deferred + linked == 12 * 6
