"""The scanner: what settles, what is invalid, what was delivered again, what says nothing; and who wakes it."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ingestd.app import make_context
from ingestd.config import DatabaseSettings
from ingestd.errors import DatabaseUnavailable, MountUnavailable
from ingestd.mount.mountinfo import mount_point
from ingestd.mount.records import Listing
from ingestd.pipeline import delivery, rotation, settling
from ingestd.pipeline import scanner as scanner_module
from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.importer import chunk_writer
from ingestd.pipeline.preflight import preflight
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.scanner import Scanner
from ingestd.pipeline.watcher import Watcher
from ingestd.pipeline.worker_pool import claim
from support.wait import until
from support.world import World, manifest_of, md5, new_sync_id, photo

# The driver leaves the socket of a connection that it could not make to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

SETTLE = 300.0


class Clock:
    """The scanner's clock, in the test's hand."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    for module in (scanner_module, settling):
        monkeypatch.setattr(module, "time", made)
    return made


class Reads:
    """Which manifests a context's mount is asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, context: Context) -> None:
        self.names: list[str] = []
        real = context.mount.read_manifest

        def noting(sync_id: str, *more: Any) -> bytes:
            self.names.append(sync_id)
            return real(sync_id, *more)

        monkeypatch.setattr(context.mount, "read_manifest", noting)

    def take(self) -> list[str]:
        names, self.names = self.names, []
        return names


def recorded(world: World) -> list[tuple[str, str]]:
    return [(sync_id, status) for sync_id, status in world.sql("SELECT sync_id, status FROM ingest_batch ORDER BY id")]


def kinds(world: World, sync_id: str) -> list[str]:
    return [kind for kind, _ in world.events(sync_id)]


def last_error(world: World, sync_id: str) -> str:
    return str(world.one("SELECT last_error FROM ingest_batch WHERE sync_id = %s", sync_id))


def write_manifest(world: World, sync_id: str, *items: dict[str, Any], part: float = 1.0, **envelope: Any) -> None:
    data = json.dumps(manifest_of(sync_id, list(items), **envelope)).encode()
    world.file(f"sync/{sync_id}.json", data[: int(len(data) * part)])


def write_sentinel(world: World, sync_id: str) -> Path:
    return world.file(f"sync/{sync_id}.ready", b"")


# waiting for a manifest


@pytest.mark.parametrize("part", [0.0, 0.5, 0.99])
def test_a_half_written_manifest_is_waited_for_with_growing_pauses(
    world: World, clock: Clock, monkeypatch: pytest.MonkeyPatch, part: float
) -> None:
    context = world.context()
    scanner, reads = Scanner(context), Reads(monkeypatch, context)
    sync_id = new_sync_id()
    write_manifest(world, sync_id, photo("a"), part=part)
    write_sentinel(world, sync_id)
    pauses = []
    for _ in range(8):
        pauses.append(scanner.run_once())
        assert reads.take() == [sync_id]
        assert recorded(world) == []
        assert scanner.unrecorded == 1
        clock.now += pauses[-1]
    assert pauses == sorted(pauses)
    assert pauses[0] < 1
    assert pauses[-1] > 10
    write_manifest(world, sync_id, photo("a"))
    scanner.run_once()
    assert recorded(world) == [(sync_id, "new")]
    assert scanner.unrecorded == 0
    assert kinds(world, sync_id) == ["scan"], "the waiting left no trace"
    assert reads.take() == [sync_id]


def test_an_incomplete_manifest_is_not_read_before_its_retry_is_due(
    world: World, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = world.context()
    scanner, reads = Scanner(context), Reads(monkeypatch, context)
    write_sentinel(world, new_sync_id())
    pause = scanner.run_once()
    reads.take()
    clock.now += pause * 0.9
    assert scanner.run_once() == pytest.approx(pause * 0.1)
    scanner.demand_full()
    scanner.run_once()
    assert reads.take() == [], "a full scan leaves its pause alone"


def settle(scanner: Scanner, clock: Clock, world: World) -> float:
    """Runs the scanner by its own clock until something is recorded; returns how long that took."""
    began = clock.now
    while not recorded(world):
        assert clock.now - began <= 2 * SETTLE
        clock.now += scanner.run_once()
    return clock.now - began


def test_a_missing_manifest_becomes_invalid_only_after_settling_and_valid_when_it_comes(
    world: World, clock: Clock
) -> None:
    scanner = Scanner(world.context(mount={"settle_seconds": SETTLE}))
    sync_id = new_sync_id()
    write_sentinel(world, sync_id)
    assert settle(scanner, clock, world) >= SETTLE
    assert recorded(world) == [(sync_id, "invalid")]
    assert "the manifest cannot be read" in last_error(world, sync_id)
    assert f"sync/{sync_id}.json" in last_error(world, sync_id)
    assert "No such file" in last_error(world, sync_id)
    assert "waited 300 s" in last_error(world, sync_id)
    assert kinds(world, sync_id) == ["scan", "batch_invalid"]
    assert world.events(sync_id)[1][1]["error"] == last_error(world, sync_id)
    assert scanner.unrecorded == 0
    clock.now += SETTLE
    scanner.run_once()
    assert kinds(world, sync_id) == ["scan", "batch_invalid"], "it is said once"
    write_manifest(world, sync_id, photo("a"))
    scanner.demand_full()
    scanner.run_once()
    assert recorded(world) == [(sync_id, "new")]
    assert kinds(world, sync_id)[2:] == ["manifest_changed"]
    assert world.one("SELECT last_error FROM ingest_batch") is None


def test_a_truncated_manifest_says_that_it_is_truncated(world: World, clock: Clock) -> None:
    scanner = Scanner(world.context(mount={"settle_seconds": SETTLE}))
    sync_id = new_sync_id()
    write_manifest(world, sync_id, photo("a"), part=0.7)
    write_sentinel(world, sync_id)
    assert settle(scanner, clock, world) >= SETTLE
    assert "JSON" in last_error(world, sync_id)
    write_manifest(world, sync_id, photo("a"))
    scanner.name({sync_id})
    scanner.run_once()
    assert recorded(world) == [(sync_id, "new")]


def test_a_sentinel_that_goes_while_waited_for_is_forgotten(world: World, clock: Clock) -> None:
    scanner = Scanner(world.context(mount={"settle_seconds": SETTLE}))
    sentinel = write_sentinel(world, new_sync_id())
    scanner.run_once()
    assert scanner.unrecorded == 1
    sentinel.unlink()
    scanner.demand_full()
    scanner.run_once()
    assert scanner.unrecorded == 0
    clock.now += 2 * SETTLE
    scanner.run_once()
    assert recorded(world) == []


def test_a_known_batch_keeps_its_status_while_its_manifest_is_rewritten(world: World, clock: Clock) -> None:
    scanner = Scanner(world.context(mount={"settle_seconds": SETTLE}))
    sync_id = world.put(photo("a"))
    scanner.run_once()
    write_manifest(world, sync_id, photo("b"), part=0.5)
    scanner.name({sync_id})
    began = clock.now
    while clock.now - began < 2 * SETTLE:
        clock.now += max(0.1, scanner.run_once())
        assert recorded(world) == [(sync_id, "new")]
    assert kinds(world, sync_id) == ["scan"]
    write_manifest(world, sync_id, photo("b"))
    scanner.name({sync_id})
    scanner.run_once()
    assert kinds(world, sync_id) == ["scan", "manifest_changed"]


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


# delivered again


def test_a_redelivery_is_noticed_by_the_rotation_alone(
    world: World, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "BYTES_PER_TURN", 1)
    notified: list[int] = []
    context = world.context()
    scanner, reads = Scanner(context, on_recorded=lambda: notified.append(1)), Reads(monkeypatch, context)
    sync_ids = sorted(world.put(photo(str(i)), status="completed" if i else "uploading") for i in range(5))
    scanner.run_once()
    assert reads.take()[:5] == sync_ids
    invalid = str(world.one("SELECT sync_id FROM ingest_batch WHERE status = 'invalid'"))
    finished = next(sync_id for sync_id in sync_ids if sync_id != invalid)
    enqueue(context, QueueRequest(finished, "tester"))
    assert world.run_next(context) == "done"
    reads.take()
    notified.clear()
    before = {sync_id: world.one("SELECT manifest_sha256 FROM ingest_batch WHERE sync_id = %s", sync_id)
              for sync_id in sync_ids}  # fmt: skip
    for sync_id in sync_ids:
        if sync_id in (invalid, finished):
            write_manifest(world, sync_id, photo("another"))
    turns: list[str] = []
    for _ in range(9):
        clock.now += 60.0
        scanner.run_once()
        turns += (round_ := reads.take())
        assert len(round_) == 1, "each round has a small budget"
    assert set(turns) == set(sync_ids), "each has its turn"
    for sync_id in (invalid, finished):
        assert world.status(sync_id) == "new"
        after = world.one("SELECT manifest_sha256 FROM ingest_batch WHERE sync_id = %s", sync_id)
        assert world.events(sync_id)[-1] == (
            "manifest_changed", {"phase": "scan", "from_sha256": before[sync_id], "to_sha256": after},
        )  # fmt: skip
        assert after != before[sync_id]
        assert kinds(world, sync_id).count("manifest_changed") == 1
    assert len(notified) == 2
    others = set(sync_ids) - {invalid, finished}
    assert {tuple(kinds(world, sync_id)) for sync_id in others} == {("scan",)}


def test_what_a_redelivery_does_to_the_items(world: World) -> None:
    context = world.context()
    sync_id = world.put(photo("same"), photo("changed"), photo("gone"))
    world.import_all(context, sync_id)
    world.put(photo("new"), photo("changed", title="other"), photo("same"), sync_id=sync_id)
    assert world.scan(context) == [sync_id]
    assert world.status(sync_id) == "new"
    assert world.decisions(sync_id) == {md5("new"): "pending", md5("changed"): "pending", md5("same"): "created"}
    listed = world.sql("SELECT asset_hash, in_manifest FROM ingest_batch_item WHERE decision = 'created' ORDER BY 2")
    assert listed == [(md5("gone"), 0), (md5("same"), 1)]
    assert world.scan(context) == []
    enqueue(context, QueueRequest(sync_id, "tester"))
    assert world.run_next(context) == "done"
    assert world.decisions(sync_id) == {md5("new"): "created", md5("changed"): "updated", md5("same"): "created"}
    assert world.status(sync_id) == "imported"


def test_a_manifest_that_changes_while_its_job_runs_is_left_for_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, other = world.context(), world.context()
    sync_id = world.put(photo("a"))
    world.scan(context)
    enqueue(context, QueueRequest(sync_id, "tester"))
    scanner = Scanner(other)
    real, meanwhile = chunk_writer.write, []

    def changing(*args: Any) -> Any:
        world.put(photo("b"), sync_id=sync_id)
        scanner.name({sync_id})
        scanner.run_once()
        meanwhile.append((scanner.scan(), world.status(sync_id), kinds(world, sync_id)[-1]))
        return real(*args)

    monkeypatch.setattr(chunk_writer, "write", changing)
    assert world.run_next(context) == "done"
    assert meanwhile == [([], "importing", "import_started")]
    assert world.status(sync_id) == "imported"
    assert world.decisions(sync_id) == {md5("a"): "created"}
    assert scanner.scan() == [sync_id]
    assert world.status(sync_id) == "new"
    assert world.decisions(sync_id) == {md5("b"): "pending"}
    assert kinds(world, sync_id)[-1] == "manifest_changed"


def test_a_manifest_that_changes_while_its_job_is_queued_is_imported_as_it_is_then(world: World) -> None:
    context = world.context()
    sync_id = world.put(photo("a"))
    world.scan(context)
    enqueue(context, QueueRequest(sync_id, "tester"))
    world.put(photo("b"), sync_id=sync_id)
    assert world.scan(context) == [sync_id]
    assert world.status(sync_id) == "queued", "its job is still there"
    world.put(photo("c"), sync_id=sync_id)
    lease = claim(context, "test/pid:1/0", str(this_instance()))
    assert lease is not None
    assert world.scan(context) == [], "its job runs: it will see for itself"
    world.sql("UPDATE import_job SET state = 'queued'")
    assert world.run_next(context) == "done"
    assert world.decisions(sync_id) == {md5("c"): "created"}
    changes = [payload["phase"] for kind, payload in world.events(sync_id) if kind == "manifest_changed"]
    assert changes == ["scan", "import"]


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

    def _listed(self) -> Listing:
        listing, do, self._do = self._real(), self._do, None
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
    context = make_context(world.settings().model_copy(update={"database": nowhere}))
    world.contexts.append(context)
    scanner = Scanner(context)
    Middle(monkeypatch, context, lambda: pytest.fail("the folder was listed"))
    with pytest.raises(DatabaseUnavailable):
        scanner.run_once()


# the watcher


@pytest.fixture(params=["inotify", "poll"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Watching:
    """An armed watcher, and what it said."""

    def __init__(self, world: World, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.named: list[set[str]] = []
        self.armed = 0
        mount = world.context(mount={"watch": kind, "poll_interval": 0.05}).mount
        self.awaited: set[str] = set()
        self.watcher = Watcher(mount, self.named.append, self.awaited.__contains__, self._arm)
        self._listed, real = threading.Event(), mount.list_sentinels

        def listing() -> Listing:
            try:
                return real()
            finally:
                self._listed.set()

        monkeypatch.setattr(mount, "list_sentinels", listing)

    def arm(self) -> None:
        """Arms it, and lets the emitter that polls see what is there already: that is for the scanner to find."""
        self.watcher.run_once()
        assert self.watcher.kind != "poll" or self._listed.wait(10)

    def _arm(self) -> None:
        self.armed += 1

    def forget_listing(self) -> None:
        self._listed.clear()

    def heard_of(self, sync_id: str) -> None:
        """Waits until it was named; forgets it."""
        until(lambda: any(sync_id in names for names in self.named), what=f"for a hint of {sync_id}")
        self.named.clear()

    @property
    def all_named(self) -> set[str]:
        return set().union(*self.named)


@pytest.fixture
def watching(world: World, kind: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watching]:
    made = Watching(world, kind, monkeypatch)
    made.arm()
    assert made.watcher.kind == kind
    assert made.armed == 1
    yield made
    made.watcher.stop()
    assert made.watcher.kind is None


def write_aside(folder: Path, sync_id: str) -> None:
    (folder / f".{sync_id}.ready.tmp").write_bytes(b"")
    (folder / f".{sync_id}.ready.tmp").rename(folder / f"{sync_id}.ready")


def write_elsewhere(folder: Path, sync_id: str) -> None:
    (folder.parent / "new").write_bytes(b"")
    (folder.parent / "new").rename(folder / f"{sync_id}.ready")


def write_in_place(folder: Path, sync_id: str) -> None:
    (folder / f"{sync_id}.ready").write_bytes(b"done")


def rename_another(folder: Path, sync_id: str) -> None:
    before = folder / f"{new_sync_id()}.ready"
    before.write_bytes(b"")
    before.rename(folder / f"{sync_id}.ready")


def link(folder: Path, sync_id: str) -> None:
    (folder.parent / "target").write_bytes(b"")
    (folder / f"{sync_id}.ready").hardlink_to(folder.parent / "target")


@pytest.mark.parametrize("hand_over", [write_in_place, write_aside, write_elsewhere, rename_another, link])
def test_a_new_sentinel_is_hinted_at_however_it_came(
    world: World, watching: Watching, hand_over: Callable[[Path, str], None]
) -> None:
    sync_id = new_sync_id()
    hand_over(world.root / "sync", sync_id)
    watching.heard_of(sync_id)


def test_other_files_give_no_hint(world: World, watching: Watching) -> None:
    for name in ("notes.txt", "upper.ready", "A09117D8-8013-4A85-8C57-B2CCDB3D36F6.ready", f"{new_sync_id()}.ready~"):
        world.file(f"sync/{name}", b"")
    # Events come in order: what is heard now comes after all those.
    sync_id = new_sync_id()
    write_sentinel(world, sync_id)
    until(lambda: sync_id in watching.all_named)
    assert watching.all_named == {sync_id}


def test_a_hint_wakes_a_scanner_that_records_the_bundle(world: World, watching: Watching) -> None:
    scanner = Scanner(world.context(mount={"rescan_interval": 1000.0}))
    scanner.run_once()
    sync_id = world.put(photo("a"))
    until(lambda: sync_id in watching.all_named)
    scanner.name(watching.all_named)
    scanner.run_once()
    assert recorded(world) == [(sync_id, "new")]


def test_a_mount_that_went_and_came_back_is_watched_again(world: World, watching: Watching) -> None:
    away = world.root.with_name("away")
    world.root.rename(away)
    with pytest.raises(MountUnavailable):
        watching.watcher.run_once()
    assert watching.watcher.kind is None
    watching.forget_listing()
    away.rename(world.root)
    watching.arm()
    assert watching.armed == 2, "files that arrived meanwhile gave no event: a full scan is needed"
    watching.watcher.run_once()
    assert watching.armed == 2
    sync_id = new_sync_id()
    write_sentinel(world, sync_id)
    watching.heard_of(sync_id)


def test_a_rewritten_manifest_is_hinted_at_when_it_is_closed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    watching = Watching(world, "inotify", monkeypatch)
    sync_id = world.put(photo("a"))
    watching.awaited.add(sync_id)
    watching.arm()
    try:
        with (world.root / "sync" / f"{sync_id}.json").open("ab") as manifest:
            manifest.write(b" ")
            manifest.flush()
            other = new_sync_id()
            write_sentinel(world, other)
            until(lambda: other in watching.all_named)
            assert sync_id not in watching.all_named, "not before it is whole"
        watching.heard_of(sync_id)
    finally:
        watching.watcher.stop()


def test_a_manifest_before_its_sentinel_gives_no_hint(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    watching = Watching(world, "inotify", monkeypatch)
    watching.arm()
    try:
        early, sync_id = world.put(photo("a"), ready=False), new_sync_id()
        write_sentinel(world, sync_id)
        until(lambda: sync_id in watching.all_named)
        assert early not in watching.all_named
    finally:
        watching.watcher.stop()


def test_a_manifest_is_awaited_once_it_was_read_and_while_it_settles(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    scanner = Scanner(world.context())
    sync_id, settling = world.put(photo("a")), new_sync_id()
    write_sentinel(world, settling)
    real, while_read = delivery.read, []

    def reading(context: Context, name: str) -> delivery.Delivery:
        while_read.append(scanner.awaits(name))
        return real(context, name)

    monkeypatch.setattr(delivery, "read", reading)
    assert not scanner.awaits(sync_id)
    scanner.scan()
    assert len(while_read) >= 2
    assert all(while_read)
    assert scanner.awaits(sync_id)
    assert scanner.awaits(settling)
    assert not scanner.awaits(new_sync_id())
