"""Unforeseen errors in different places of an import: one item fails if it is about one item, else none."""

from collections.abc import Callable
from typing import Any

import pytest

from ingestd.model import Scope
from ingestd.mount.reader import ItemReader
from ingestd.pipeline import forecast
from ingestd.pipeline.importer import chunk_writer, container_writer, prepared_chunk, suspects
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.store import library
from support.logged import logged_by
from support.scale import scaled
from support.world import World, cover, md5, photo, sample

NAMES = [f"n{number}" for number in range(10)]
Is = Callable[[Any], bool]
"""whether an argument concerns an item at fault"""


@pytest.fixture(autouse=True)
def _short_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suspects, "PAUSE", 0.01)


def raising(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, error: BaseException, when: Is) -> list[int]:
    """Lets a function raise when one of its arguments concerns an item at fault; counts how often it did."""
    real, raised = getattr(owner, name), []

    def faulty(*arguments: Any, **options: Any) -> Any:
        if any(map(when, arguments)):
            raised.append(1)
            raise error
        return real(*arguments, **options)

    monkeypatch.setattr(owner, name, faulty)
    return raised


def entries_of(argument: Any) -> list[str]:
    """The hashes that an argument of any of the functions below is about."""
    if isinstance(argument, str):
        return [argument]
    parts = getattr(argument, "items", None) or (argument if isinstance(argument, list) else [argument])
    parts = [getattr(part, "entry", part) for part in parts] if isinstance(parts, list | tuple) else []
    return [str(getattr(part, "asset_hash", None) or getattr(part, "hash", "")) for part in parts]


def surrogate() -> UnicodeEncodeError:
    return UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed")


def in_rows(argument: Any, hashes: set[str]) -> bool:
    return isinstance(argument, list) and any(row[1] in hashes for part in argument for row in part.rows)


PLACES: dict[str, tuple[Any, str, Exception]] = {
    "deciding": (prepared_chunk, "evaluate", TypeError("'<' not supported")),
    "preparing": (prepared_chunk, "_insert", RecursionError("maximum recursion depth exceeded")),
    "writing": (chunk_writer, "write_library", KeyError("no such key")),
    "inserting": (library, "insert_assets", BufferError("existing exports of data")),
    "encoding": (library, "insert_assets", surrogate()),
    "reading": (ItemReader, "_attempt", AssertionError("what was read")),
}


def inject(monkeypatch: pytest.MonkeyPatch, place: str, hashes: set[str]) -> list[int]:
    owner, name, error = PLACES[place]
    if owner is library:
        return raising(monkeypatch, owner, name, error, lambda argument: in_rows(argument, hashes))
    return raising(monkeypatch, owner, name, error, lambda argument: not hashes.isdisjoint(entries_of(argument)))


def bundles(world: World) -> dict[str, tuple[str, dict[str, str]]]:
    """A bundle for each place: its sync_id, and the hashes of its items by name. Another host has recorded them.

    So their manifests are not known here, and each run reads its items by itself.
    """
    made = {}
    for place in PLACES:
        hashes = {name: md5(f"{place} {name}") for name in NAMES}
        made[place] = world.put(*(photo(f"{place} {name}") for name in NAMES)), hashes
    world.scan(world.context())
    return made


@pytest.mark.soak
@pytest.mark.parametrize("at_fault", [{"n0", "n1", "n9"}, {"n4"}, {"n9"}, {"n7", "n8"}][: scaled(1, 4)])
def test_only_the_items_at_fault_fail(world: World, monkeypatch: pytest.MonkeyPatch, at_fault: set[str]) -> None:
    context = world.context(worker={"chunk_items": 8})
    for place, (sync_id, hashes) in bundles(world).items():
        with monkeypatch.context() as patch:
            inject(patch, place, {hashes[name] for name in at_fault})
            assert world.import_all(context, sync_id) == ["done"]
        failed = "failed:database_refused" if place == "encoding" else "failed:internal_error"
        expected = {hash_: failed if name in at_fault else "created" for name, hash_ in hashes.items()}
        assert world.decisions(sync_id) == expected, place
        kinds = [kind for kind, _ in world.events(sync_id)]
        assert (kinds.count("item_failed"), kinds.count("item_created")) == (len(at_fault), 10 - len(at_fault))
        assert world.status(sync_id) == "partial"


def test_an_error_of_every_item_fails_none_and_the_run_is_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = world.context(worker={"chunk_items": 8})
    for place, (sync_id, hashes) in bundles(world).items():
        with monkeypatch.context() as patch:
            raised = inject(patch, place, {*hashes.values()})
            assert world.import_all(context, sync_id) == ["failed"], place
        assert len(raised) < 30
        row = "SELECT status, retry_at IS NOT NULL, last_error FROM ingest_batch WHERE sync_id = %s"
        ((status, is_retried, error),) = world.sql(row, sync_id)
        assert (status, is_retried) == ("failed", 1)
        assert place == "encoding" or type(PLACES[place][2]).__name__ in error
        assert not [decision for decision in world.decisions(sync_id).values() if decision.startswith("failed")]
        assert world.import_all(context, sync_id) == ["done"]
        assert set(world.decisions(sync_id).values()) == {"created"}


@pytest.mark.soak
@pytest.mark.parametrize("times", [8, 1, 2, 3, 4, 5, 6, 7, 9][: scaled(1, 9)])
def test_an_error_that_goes_away_fails_nothing(world: World, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Not even the item that stood alone when it went away."""
    context = world.context(worker={"chunk_items": 8})
    for place, (sync_id, _) in bundles(world).items():
        owner, name, error = PLACES[place]
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, failing_at_first(getattr(owner, name), times, error))
            assert world.import_all(context, sync_id) == ["done"], place
        assert set(world.decisions(sync_id).values()) == {"created"}, place


def failing_at_first(real: Callable[..., Any], times: int, error: Exception) -> Callable[..., Any]:
    left = [times]

    def faulty(*arguments: Any, **options: Any) -> Any:
        left[0] -= 1
        if left[0] >= 0:
            raise error
        return real(*arguments, **options)

    return faulty


def test_the_error_of_an_item_names_type_and_place_and_its_traceback_is_logged(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync_id, context = world.put(*map(photo, NAMES)), world.context()
    logged = logged_by(suspects, monkeypatch)
    keys: list[dict[str, Any]] = []
    monkeypatch.setattr(logged, "error", lambda _event, **more: keys.append(more))
    inject(monkeypatch, "deciding", {md5("n4")})
    assert world.import_all(context, sync_id) == ["done"]
    error = world.one("SELECT last_error FROM ingest_batch_item WHERE decision = 'failed'")
    assert error.startswith("internal error: TypeError: '<' not supported (ingestd.pipeline.importer.prepared_chunk:")
    assert [type(made["exc_info"]) for made in keys] == [TypeError]
    assert sample(context, "item_failures_total", reason="internal_error") == 1


def test_an_item_that_failed_so_before_fails_again_when_it_is_tried_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync_id, context = world.put(*map(photo, NAMES)), world.context()
    inject(monkeypatch, "writing", {md5("n4")})
    assert world.import_all(context, sync_id) == ["done"]
    enqueue(context, QueueRequest(sync_id, "tester", scope=Scope.FAILED))
    assert world.run_next(context) == "done"
    assert world.status(sync_id) == "partial"


def test_a_bundle_of_one_item_fails_as_a_whole(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it is about the item is not known then."""
    sync_id, context = world.put(photo("n0")), world.context()
    with monkeypatch.context() as patch:
        inject(patch, "writing", {md5("n0")})
        assert world.import_all(context, sync_id) == ["failed"]
    assert world.import_all(context, sync_id) == ["done"]


def put_alone(world: World, kind: str, at_fault: str) -> str:
    """A bundle of one item, cover or container; its parent, or member, is imported already."""
    if kind == "item":
        return world.put(photo(at_fault))
    if kind == "cover":
        return world.put(cover(at_fault, "parent"))
    return world.put(containers=[{"type": "gallery", "hash": md5(at_fault), "title": "g", "items": [md5("parent")]}])


def fault(monkeypatch: pytest.MonkeyPatch, kind: str, *at_fault: str) -> None:
    hashes = set(map(md5, at_fault))
    owner, name = (container_writer, "write_rows") if kind == "container" else (chunk_writer, "write_library")
    raising(monkeypatch, owner, name, IndexError("odd"), lambda argument: not hashes.isdisjoint(entries_of(argument)))


@pytest.mark.parametrize("kind", ["item", "cover", "container"])
def test_a_bundle_of_one_part_costs_that_part_once_another_bundle_passed(
    world: World, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    context = world.context()
    assert world.import_all(context, world.put(photo("parent"))) == ["done"]
    assert world.import_all(context, put_alone(world, kind, "before")) == ["done"]
    fault(monkeypatch, kind, "bad")
    bad = put_alone(world, kind, "bad")
    assert world.import_all(context, bad) == ["failed"], "what passed before says nothing about now"
    assert world.import_all(context, bad) == ["failed"]
    assert world.import_all(context, put_alone(world, kind, "after")) == ["done"]
    assert world.import_all(context, bad) == ["done"]
    table = "ingest_batch_container" if kind == "container" else "ingest_batch_item"
    failed = world.sql(f"SELECT decision, reason FROM {table} WHERE decision = 'failed'")
    assert failed == [("failed", "internal_error")]
    assert (world.status(bad), world.one("SELECT COUNT(*) FROM ingest_batch WHERE retry_at IS NOT NULL")) == (
        "failed",
        0,
    )


@pytest.mark.parametrize("kind", ["item", "cover", "container"])
def test_a_defect_that_every_bundle_meets_fails_no_part(
    world: World, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    context, names = world.context(), ["x", "y", "z"]
    assert world.import_all(context, world.put(photo("parent"))) == ["done"]
    with monkeypatch.context() as patch:
        fault(patch, kind, *names)
        bundles_ = [put_alone(world, kind, name) for name in names]
        for _ in range(2):
            assert world.import_all(context, *bundles_) == ["failed"] * 3
    assert world.import_all(context, *bundles_) == ["done"] * 3
    assert [world.status(sync_id) for sync_id in bundles_] == ["imported"] * 3


def test_an_item_of_another_kind_that_passes_says_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    context = world.context()
    assert world.import_all(context, world.put(photo("parent"))) == ["done"]
    fault(monkeypatch, "cover", "bad")
    bad = put_alone(world, "cover", "bad")
    assert world.import_all(context, bad, world.put(photo("other")), bad) == ["failed", "done", "failed"]


def test_a_failure_that_a_run_overcame_is_forgotten(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    context, bad = world.context(), put_alone(world, "item", "bad")
    with monkeypatch.context() as patch:
        fault(patch, "item", "bad")
        assert world.import_all(context, bad) == ["failed"]
    assert world.import_all(context, bad, put_alone(world, "item", "other")) == ["done", "done"]
    fault(monkeypatch, "item", "bad")
    enqueue(context, QueueRequest(bad, "tester", scope=Scope.REIMPORT))
    assert world.run_next(context) == "failed"


def test_a_plan_forecasts_what_it_can(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The import decides again, so that the forecast of a failure does no harm."""
    sync_id, context = world.put(*map(photo, NAMES)), world.context()
    with monkeypatch.context() as patch:
        raising(patch, forecast, "evaluate", ValueError("odd"), lambda a: md5("n4") in entries_of(a))
        assert world.import_all(context, sync_id) == ["done"]
    assert set(world.decisions(sync_id).values()) == {"created"}
    plan = dict(world.events(sync_id))["preflight_finished"]
    assert (plan["counts"]["will_create"], plan["counts"]["will_fail"]) == (9, 1)


@pytest.mark.parametrize("kind", ["covers", "containers"])
def test_covers_and_containers_fail_alone_too(world: World, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    covers = [cover(f"c{name}", name) for name in NAMES]
    galleries = [{"type": "gallery", "hash": md5(f"g{name}"), "title": name, "items": [md5(name)]} for name in NAMES]
    sync_id, context = world.put(*map(photo, NAMES), *covers, containers=galleries), world.context()
    if kind == "covers":
        raising(monkeypatch, chunk_writer, "write_library", IndexError("odd"), lambda a: md5("cn3") in entries_of(a))
    else:
        raising(monkeypatch, container_writer, "write_rows", IndexError("odd"), lambda a: md5("gn3") in entries_of(a))
    assert world.import_all(context, sync_id) == ["done"]
    failed = [hash_ for hash_, decision in world.decisions(sync_id).items() if decision.startswith("failed")]
    assert failed == ([md5("cn3")] if kind == "covers" else [])
    rows = world.sql("SELECT hash, last_error FROM ingest_batch_container WHERE decision = 'failed' AND %s", 1)
    assert [hash_ for hash_, _ in rows] == ([md5("gn3")] if kind == "containers" else [])
    assert sample(context, "item_failures_total", reason="internal_error") == 1
    assert world.status(sync_id) == "partial"
