"""The scanner: what it records, ignores and rejects, and requested scans."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import CapturingLogger

from ingestd.config import DatabaseSettings
from ingestd.errors import DatabaseUnavailable, MountUnavailable
from ingestd.mount import listing_receiver
from ingestd.mount.mountinfo import mount_point
from ingestd.mount.records import Listing
from ingestd.pipeline import ignored_names
from ingestd.pipeline.context import Context
from ingestd.pipeline.ignored_names import MAX_WARNINGS
from ingestd.pipeline.preflight import preflight
from ingestd.pipeline.scanner import Scanner
from support.scanning import Clock, Reads, kinds, last_error, recorded, write_sentinel
from support.world import World, manifest_of, new_sync_id, photo

# The driver leaves the socket of a connection that it could not make to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


# ignored files and unusable bundles


def test_sentinels_not_named_after_a_uuid_are_ignored(world: World) -> None:
    sync_id = new_sync_id()
    upper = "A09117D8-8013-4A85-8C57-B2CCDB3D36F6"
    for name in (
        "",
        "readme",
        upper,
        f"{sync_id}\n",
        f"{sync_id}.json",
        f" {sync_id}",
        f"{{{sync_id}}}",
        "\u0661" * 36,
    ):
        world.file(f"sync/{name}.ready", b"")
        world.file(f"sync/{name}.json", json.dumps(manifest_of(name, [photo("a")])).encode())
    good = world.put(photo("a"))
    context = world.context()
    assert world.scan(context) == [good]
    assert recorded(world) == [(good, "new")]


def test_many_ignored_sentinels_do_not_flood_the_log(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    logger = CapturingLogger()
    monkeypatch.setattr(ignored_names, "log", logger)
    for number in range(MAX_WARNINGS + 5):
        world.file(f"sync/odd-{number}.ready", b"")
    Scanner(world.context()).scan()
    assert [call.args for call in logger.calls].count(("sentinel_ignored",)) == MAX_WARNINGS
    assert [call.kwargs["count"] for call in logger.calls if call.args == ("sentinels_ignored",)] == [5]


def test_ignored_names_beyond_those_that_are_kept_are_counted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    logger = CapturingLogger()
    monkeypatch.setattr(ignored_names, "log", logger)
    monkeypatch.setattr(ignored_names, "MAX_INVALID", 30)
    monkeypatch.setattr(listing_receiver, "MAX_INVALID", 30)
    for number in range(50):
        world.file(f"sync/odd-{number}.ready", b"")
    scanner = Scanner(world.context())
    for _ in range(2):
        scanner.scan()
    assert len(logger.calls) == MAX_WARNINGS + 1
    assert logger.calls[-1].kwargs["count"] == 50 - MAX_WARNINGS


def test_a_sentinel_with_a_wrong_name_is_logged_once_unless_the_right_one_is_there(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = CapturingLogger()
    monkeypatch.setattr(ignored_names, "log", logger)
    waiting, done = world.put(photo("a"), ready=False), world.put(photo("b"))
    for name in (f"{waiting}.READY", f"{done}.ready.txt", f"{done.upper()}.ready", "notes.txt"):
        world.file(f"sync/{name}", b"")
    scanner = Scanner(world.context())
    for _ in range(2):
        scanner.scan()
    assert [call.kwargs["name"] for call in logger.calls] == [f"{waiting}.READY"]
    assert "SYNC_ID.ready" in logger.calls[0].kwargs["reason"]


def test_a_manifest_without_its_sentinel_is_not_recorded_yet(world: World) -> None:
    scanner = Scanner(world.context())
    sync_id = world.put(photo("a"), ready=False)
    scanner.run_once()
    assert recorded(world) == []
    # The watcher names a bundle also when only its manifest was written.
    scanner.name({sync_id})
    scanner.run_once()
    assert recorded(world) == []
    write_sentinel(world, sync_id)
    scanner.name({sync_id})
    scanner.run_once()
    assert recorded(world) == [(sync_id, "new")]


def test_a_bundle_from_the_future_is_invalid(world: World) -> None:
    context = world.context()
    sync_id = world.put(photo("a"), completed_at="2999-01-01T00:00:00Z")
    # Within mount.max_future all clocks are right.
    now, soon = world.sql(
        "SELECT DATE_FORMAT(UTC_TIMESTAMP(), '%%Y-%%m-%%dT%%TZ'),"
        " DATE_FORMAT(UTC_TIMESTAMP() + INTERVAL 50 MINUTE, '%%Y-%%m-%%dT%%TZ') WHERE %s",
        1,
    )[0]
    near = [world.put(photo("b"), completed_at=at) for at in (now, soon)]
    assert sorted(world.scan(context)) == sorted([sync_id, *near])
    assert [world.status(each) for each in near] == ["new", "new"]
    assert world.status(sync_id) == "invalid"
    assert "2999-01-01T00:00:00Z is more than 3600 s ahead of the database's clock" in last_error(world, sync_id)
    assert kinds(world, sync_id) == ["scan", "batch_invalid"]
    world.put(photo("a"), sync_id=sync_id)
    assert world.scan(context) == [sync_id]
    assert world.status(sync_id) == "new"


# the mount


@pytest.mark.parametrize("absent", ["no folder", "no sync folder", "no mount"])
def test_an_absent_mount_is_not_an_empty_one(world: World, absent: str) -> None:
    if absent == "no mount" and mount_point(world.root).point != "/":
        pytest.skip("the folder for temporary files is a mount of its own")
    require = {"require_mount": absent == "no mount", "rescan_interval": 0.001}
    settling = new_sync_id()
    write_sentinel(world, settling)
    context = world.context(mount={**require, "require_mount": False})
    scanner = Scanner(context)
    scanner.run_once()
    assert scanner.unrecorded == 1
    last_success = scanner.last_success
    sync_id = world.put(photo("a"))
    away = world.root.with_name("away")
    hidden = world.root / "sync" if absent == "no sync folder" else world.root
    if absent == "no mount":
        context = world.context(mount=require)
        scanner = Scanner(context)
        last_success = None
    else:
        hidden.rename(away)
    scanner.name({sync_id})
    for _ in range(2):
        scanner.demand_full()
        with pytest.raises(MountUnavailable):
            scanner.run_once()
    with pytest.raises(MountUnavailable):
        scanner.scan()
    assert recorded(world) == []
    assert scanner.last_success == last_success
    if absent == "no mount":
        return
    away.rename(hidden)
    assert scanner.unrecorded == 1, "what it waited for is not forgotten"
    scanner.run_once()
    assert recorded(world) == [(sync_id, "new")], "what was named meanwhile is not forgotten either"
    assert scanner.last_success is not None


# who wakes it


def test_a_named_bundle_is_read_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    notified: list[int] = []
    context = world.context(mount={"rescan_interval": 1000.0})
    scanner, reads = Scanner(context, on_recorded=lambda: notified.append(1)), Reads(monkeypatch, context)
    scanner.run_once()
    named, unnamed = world.put(photo("a")), world.put(photo("b"))
    assert scanner.run_once() > 100
    assert recorded(world) == [], "no full scan is due"
    scanner.name({named})
    assert scanner.run_once() > 100
    assert recorded(world) == [(named, "new")]
    assert len(notified) == 1
    reads.take()
    scanner.run_once()
    assert reads.take() == [], "it was named once"
    world.put(photo("other"), sync_id=named)
    scanner.name([named])
    scanner.run_once()
    assert kinds(world, named) == ["scan", "manifest_changed"]
    scanner.demand_full()
    scanner.run_once()
    assert recorded(world) == [(named, "new"), (unnamed, "new")]


def test_what_another_process_recorded_is_not_recorded_twice(world: World) -> None:
    first, second = Scanner(world.context()), Scanner(world.context())
    first.run_once()
    second.run_once()
    sync_id = world.put(photo("a"))
    assert first.scan() == [sync_id]
    assert second.scan() == []
    context = world.context()
    plan = preflight(context, sync_id)
    assert plan["ok"] == 1
    assert first.scan() == second.scan() == []
    assert world.status(sync_id) == "ready"


# full scans that somebody demands


class Middle:
    """Does something once, in the middle of a full scan: when the hand-over folder has just been listed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, context: Context, do: Callable[[], None]) -> None:
        self._do: Callable[[], None] | None = do
        self._real = context.mount.list_sentinels
        monkeypatch.setattr(context.mount, "list_sentinels", self._listed)

    def _listed(self, *arguments: Any, **named: Any) -> Listing:
        listing, do, self._do = self._real(*arguments, **named), self._do, None
        if do is not None:
            do()
        return listing


def test_a_full_scan_demanded_while_one_runs_is_not_lost(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    context = world.context(mount={"rescan_interval": 1000.0})
    scanner, late = Scanner(context), []

    def demand() -> None:
        late.append(world.put(photo("late")))
        scanner.demand_full()

    Middle(monkeypatch, context, demand)
    assert scanner.run_once() == 0, "the next round is due at once"
    assert recorded(world) == []
    assert scanner.run_once() > 100
    assert recorded(world) == [(late[0], "new")]


def test_a_demanded_scan_that_fails_is_tried_again(world: World, clock: Clock) -> None:
    scanner = Scanner(world.context(mount={"rescan_interval": 1000.0}))
    scanner.run_once()
    away = world.root.with_name("away")
    sync_id = world.put(photo("a"))
    world.root.rename(away)
    scanner.demand_full()
    with pytest.raises(MountUnavailable):
        scanner.run_once()
    away.rename(world.root)
    scanner.run_once()
    assert recorded(world) == [(sync_id, "new")]


def test_a_scan_without_the_database_fails_before_anything_is_listed(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = DatabaseSettings(unix_socket=str(tmp_path / "nowhere"))
    context = world.context_of(world.settings().model_copy(update={"database": nowhere}))
    scanner = Scanner(context)
    Middle(monkeypatch, context, lambda: pytest.fail("the folder was listed"))
    with pytest.raises(DatabaseUnavailable):
        scanner.run_once()
