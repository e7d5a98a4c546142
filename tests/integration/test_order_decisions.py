"""What the decisions and the ledger say of bundles that arrive late, and whose statement holds."""

from typing import Any

from support.world import World, cover, md5, photo


def gallery(*members: str, **more: Any) -> dict[str, Any]:
    return {"type": "gallery", "hash": md5("g"), "items": [md5(member) for member in members], **more}


def decided(world: World, sync_id: str) -> list[tuple[str, Any, Any]]:
    """The decisions about items and containers of a batch: event, reason, and which bundle's statement holds."""
    return [
        (kind, payload.get("reason"), payload.get("superseded_by"))
        for kind, payload in world.events(sync_id)
        if kind.startswith(("item_", "container_"))
    ]


def import_late(world: World, *bundles: tuple[int, dict[str, Any]]) -> tuple[str, ...]:
    """Imports bundles in this order, given by day and content, one after another; returns their sync_ids."""
    context = world.context()
    sync_ids = tuple(world.put(*more.pop("items", ()), day=day, **more) for day, more in bundles)
    for sync_id in sync_ids:
        world.import_all(context, sync_id)
    return sync_ids


def test_an_older_entry_names_the_bundle_that_holds(world: World) -> None:
    newer, older = import_late(world, (2, {"items": [photo("a", title="new")]}), (1, {"items": [photo("a")]}))
    assert decided(world, older) == [("item_skipped", "superseded", newer)]


def test_an_older_entry_whose_cover_was_applied_is_linked(world: World) -> None:
    newer, older = import_late(
        world, (2, {"items": [photo("a")]}), (1, {"items": [photo("a", title="old", cover_hash=md5("x"))]})
    )
    assert decided(world, older) == [("item_linked", None, newer)]
    assert world.one("SELECT sync_id FROM asset_cover") == older
    assert world.one("SELECT title FROM asset") == "a"


def test_an_older_entry_whose_cover_is_older_too_is_superseded(world: World) -> None:
    newer, older = import_late(
        world,
        (2, {"items": [photo("a", cover_hash=md5("y"))]}),
        (1, {"items": [photo("a", title="old", cover_hash=md5("x"))]}),
    )
    assert decided(world, older) == [("item_skipped", "superseded", newer)]
    assert world.one("SELECT cover_hash FROM asset_cover") == md5("y")


def test_an_older_entry_of_a_removed_asset_is_superseded_by_the_removal(world: World) -> None:
    removal, older = import_late(
        world, (2, {"items": [photo("a")], "action": "remove"}), (1, {"items": [photo("a", cover_hash=md5("x"))]})
    )
    assert decided(world, removal) == [("item_skipped", "tombstoned", None)]
    assert decided(world, older) == [("item_skipped", "superseded", removal)]


def test_an_older_cover_item_names_the_bundle_that_linked_another(world: World) -> None:
    newer, older = import_late(world, (2, {"items": [photo("a"), cover("x", "a")]}), (1, {"items": [cover("y", "a")]}))
    assert decided(world, older) == [("item_skipped", "superseded", newer)]


def test_a_cover_item_names_the_newer_bundle_that_unlinked_it(world: World) -> None:
    _, removal, older = import_late(
        world,
        (1, {"items": [photo("a")]}),
        (3, {"items": [cover("x", "a")], "action": "remove"}),
        (2, {"items": [cover("x", "a")]}),
    )
    assert decided(world, older) == [("item_skipped", "superseded", removal)]


def test_a_cover_item_names_the_bundle_that_linked_another_which_is_unlinked_by_now(world: World) -> None:
    newer, _, older = import_late(
        world,
        (3, {"items": [photo("a"), cover("x", "a")]}),
        (5, {"items": [cover("x", "a")], "action": "remove"}),
        (2, {"items": [cover("y", "a")]}),
    )
    assert decided(world, older) == [("item_skipped", "superseded", newer)]


def test_a_cover_item_counts_where_the_last_one_fails(world: World) -> None:
    missing = {"path": "gone", "files": [{"variant": "original", "path": "gone.jpg", "bytes": 1}]}
    sync_id = world.put(photo("a"), cover("x", "a"), cover("y", "a", **missing))
    (world.root / "gone/gone.jpg").unlink()
    assert world.import_all(world.context(), sync_id) == ["done"]
    assert decided(world, sync_id) == [
        ("item_created", None, None),
        ("item_skipped", "outranked", None),
        ("item_failed", "file_missing", None),
        ("item_linked", None, None),
    ]
    assert world.sql("SELECT items_done, items_total FROM import_job") == [(3, 3)]
    finished = [payload["tally"] for kind, payload in world.events(sync_id) if kind == "import_finished"]
    assert {name: count for name, count in finished[0].items() if count} == {"created": 1, "failed": 1, "linked": 1}


def test_an_older_list_names_the_bundle_that_holds(world: World) -> None:
    _, newer, older = import_late(
        world,
        (1, {"items": [photo("a")]}),
        (3, {"containers": [gallery("a", title="new", complete=True)]}),
        (2, {"containers": [gallery("a", title="old")]}),
    )
    assert decided(world, older) == [("container_skipped", "superseded", newer)]


def test_an_older_list_that_alone_gave_a_title_is_an_update(world: World) -> None:
    _, newer, older = import_late(
        world,
        (1, {"items": [photo("a")]}),
        (3, {"containers": [gallery("a", complete=True)]}),
        (2, {"containers": [gallery("a", title="old")]}),
    )
    assert decided(world, older) == [("container_updated", None, None)]
    assert world.sql("SELECT title, titled_by, sync_id FROM asset_gallery") == [("old", older, newer)]


def test_a_late_removal_of_a_gallery_names_the_bundle_that_holds(world: World) -> None:
    newer, removal = import_late(
        world,
        (3, {"items": [photo("a")], "containers": [gallery("a")]}),
        (2, {"containers": [gallery()], "action": "remove"}),
    )
    assert decided(world, removal) == [("container_skipped", "superseded", newer)]
