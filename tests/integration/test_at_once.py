"""A small bundle is imported in one transaction, with the same result as step by step."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from ingestd.errors import LeaseLost
from ingestd.model import Scope
from ingestd.pipeline.context import Context
from ingestd.pipeline.importer import at_once, chunk_writer
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.sweeps import Sweeper
from support.order_world import SYNC_ID, seen
from support.removals import run_automatically
from support.statements import commits, questions
from support.steps import in_steps
from support.world import World, cover, empty, md5, photo, sample

GALLERY = {"type": "gallery", "hash": md5("g"), "title": "G", "items": [md5("a"), md5("later")]}
NAMES = ("a", "b", "c", "d", "g", "n", "named", "o", "x", "y")
WRITTEN = (
    "SELECT asset_type, hash, title, path, entry_sha256, documents_sha256, synced_at, sync_id FROM asset ORDER BY id",
    "SELECT variant, path, bytes, sha256, synced_at, sync_id FROM asset_file ORDER BY asset_id, variant",
    "SELECT analysis_kind, document, synced_at, sync_id FROM asset_ai_run ORDER BY asset_id",
    "SELECT document, synced_at, sync_id FROM asset_source ORDER BY asset_id",
    "SELECT state, items_done, items_total, has_reset_items FROM import_job ORDER BY id",
    "SELECT decision, reason, items FROM ingest_batch_tally WHERE items > 0 ORDER BY batch_id, decision, reason",
    "SELECT ordinal, asset_type, asset_hash, decision, reason, waiting_for FROM ingest_batch_item ORDER BY id",
    "SELECT type, hash, decision FROM ingest_batch_container ORDER BY id",
)
VOLATILE = ("job_id", "worker_id", "target_ids", "item_id", "manifest_sha256")


def of_run(world: World, context: Context, sync_id: str) -> int:
    """How many transactions a run takes, and that it succeeds."""
    enqueue(context, QueueRequest(sync_id, "tester"))
    before = commits(world)
    assert world.run_next(context) == "done"
    return commits(world) - before


def rich(world: World, containers: Sequence[Any] = (GALLERY,), **options: Any) -> str:
    """A bundle with all that one can have."""
    for name in ("a", "b"):
        world.file(f"{photo(name)['path']}/source/source.json", b'{"a": 1}')
        world.file(f"{photo(name)['path']}/source/data/photo.meaning.json", b'{"b": 2}')
    items = (photo("a"), photo("b"), cover("c", "a"), cover("d", "elsewhere"))
    return world.put(*items, containers=list(containers), **options)


def events_of(world: World, sync_id: str) -> list[tuple[str, dict[str, Any]]]:
    """The events of a bundle, without what differs between two that are the same."""
    events = world.events(sync_id)
    return [(kind, {key: value for key, value in payload.items() if key not in VOLATILE}) for kind, payload in events]


def test_it_takes_two_transactions_with_its_claim(world: World) -> None:
    context = world.context()
    sync_id = rich(world)
    world.scan(context)
    assert of_run(world, context, sync_id) == 2
    assert world.status(sync_id) == "partial"
    assert sample(context, "items_total", decision="created") == 2
    assert sample(context, "preflights_total", result="ok") == 1


def test_a_first_import_takes_few_statements(world: World) -> None:
    """With its claim, and BEGIN and COMMIT of both transactions."""
    context = world.context(queue={"auto": ["create"]})
    for name in ("warm", "a"):
        world.file(f"{photo(name)['path']}/source/source.json", b'{"a": 1}')
        world.file(f"{photo(name)['path']}/source/data/photo.meaning.json", b'{"b": 2}')
        sync_id = world.put(photo(name))
        world.scan(context)
        assert Sweeper(context).queue_new() == 1
        first, before = questions(world), questions(world)
        assert world.run_next(context) == "done", sync_id
        taken = questions(world) - before - (before - first)
    assert taken <= 23


@pytest.mark.parametrize("containers", [[GALLERY], []])
def test_the_result_is_the_same_as_in_steps(world: World, containers: list[Any]) -> None:
    results = []
    for also_small in (False, True):
        empty(world)
        for name in (world.root / "sync").iterdir():
            name.unlink()
        context = world.context(queue={"auto": ["create", "update", "remove"]})
        sync_ids = []
        with in_steps(also_small=also_small):
            for bundle in bundles(world, containers):
                sync_ids.append(bundle())
                world.scan(context)
                run_automatically(world, context)
        results.append(
            [seen(world, NAMES), *map(world.sql, WRITTEN), *(events_of(world, sync_id) for sync_id in sync_ids)]
        )
    assert results[0] == results[1]


def bundles(world: World, containers: list[Any]) -> list[Callable[[], str]]:
    """Bundles one after another: new assets and covers, unchanged and changed ones, removals of known and unknown."""
    changed = {**photo("b"), "title": "Another one", "cover_hash": md5("named")}
    return [
        lambda: rich(world, containers, sync_id=SYNC_ID.format(1)),
        lambda: world.put(photo("a"), changed, photo("n"), cover("d", "b"), day=2, sync_id=SYNC_ID.format(2)),
        lambda: world.put(photo("b"), photo("o"), day=1, sync_id=SYNC_ID.format(3)),
        lambda: world.put(photo("x"), cover("c", "a"), action="remove", day=3, sync_id=SYNC_ID.format(4)),
        lambda: world.put(photo("b"), action="remove", day=4, sync_id=SYNC_ID.format(5)),
        lambda: world.put(photo("b"), photo("y"), action="update", day=5, sync_id=SYNC_ID.format(6)),
    ]


def test_what_fails_is_imported_in_steps(world: World) -> None:
    context = world.context()
    bad = photo("b", files=1)
    sync_id = world.put(photo("a"), bad)
    (world.root / bad["path"] / bad["files"][0]["path"]).unlink()
    world.scan(context)
    assert of_run(world, context, sync_id) > 2
    assert world.decisions(sync_id) == {md5("a"): "created", md5("b"): "failed:file_missing"}
    kinds = [kind for kind, _ in world.events(sync_id)]
    assert [kinds.count(kind) for kind in ("import_started", "item_created", "item_failed", "job_finished")] == [1] * 4


def test_a_run_of_some_items_takes_up_only_those(world: World) -> None:
    context = world.context()
    sync_id = world.put(photo("a"), cover("c", "later"))
    world.scan(context)
    of_run(world, context, sync_id)
    enqueue(context, QueueRequest(sync_id, "tester", scope=Scope.DEFERRED))
    assert world.run_next(context) == "done"
    kinds = [kind for kind, _ in world.events(sync_id)]
    assert kinds.count("item_created") == 1


def test_a_lost_lease_writes_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    context = world.context()
    sync_id = rich(world)
    world.scan(context)
    enqueue(context, QueueRequest(sync_id, "tester"))
    real = at_once.AtOnce._readings

    def losing(*arguments: Any) -> Any:
        world.sql("UPDATE import_job SET claim_token = claim_token + 1")
        return real(*arguments)

    monkeypatch.setattr(at_once.AtOnce, "_readings", losing)
    before = world.library()
    assert world.run_next(context) == "lost"
    assert world.library() == before


def test_a_lease_that_is_lost_while_it_writes_is_noticed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    context = world.context()
    sync_id = rich(world)
    world.scan(context)
    enqueue(context, QueueRequest(sync_id, "tester"))

    def lost(*_arguments: Any) -> None:
        raise LeaseLost("it was taken")

    monkeypatch.setattr(chunk_writer, "write_library", lost)
    assert world.run_next(context) == "lost"
    assert world.one("SELECT COUNT(*) FROM asset") == 0


def test_what_was_read_is_not_read_again_for_the_steps(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    context = world.context()
    bad = photo("b", files=1)
    sync_id = world.put(photo("a"), bad)
    (world.root / bad["path"] / bad["files"][0]["path"]).unlink()
    world.scan(context)
    asked: list[int] = []
    real = context.mount.read_items

    def read_items(items: list[Any], *more: Any, **options: Any) -> Any:
        asked.extend(item.ordinal for item in items)
        return real(items, *more, **options)

    monkeypatch.setattr(context.mount, "read_items", read_items)
    of_run(world, context, sync_id)
    assert sorted(asked) == [0, 1]
