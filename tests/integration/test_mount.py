"""Mount, helpers, reader and watcher on real folders: what hangs, dies or is replaced says nothing about a file."""

import fcntl
import os
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ingestd.config import MountSettings
from ingestd.errors import ManifestUnsettled, MountSilent, MountUnavailable
from ingestd.format.entry import Entry, File
from ingestd.model import Reason
from ingestd.mount import helper, items, wire
from ingestd.mount.access import Mount
from ingestd.mount.helper import unique_mount_id
from ingestd.mount.mountinfo import MountIdentity, mount_point
from ingestd.mount.reader import ItemReader
from ingestd.mount.records import ItemRequest, Listing, Reading
from ingestd.mount.replies import ReplyChannel
from ingestd.pipeline.identity import start_time
from ingestd.pipeline.watcher import Watcher
from support.items import request_for
from support.processes import helpers
from support.wait import until
from support.world import md5, new_sync_id

MEMORY = Path("/dev/shm")
SOON, LATE = 0.2, 60.0

MakeMount = Callable[..., Mount]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty assets root; a link, so that a test can put something else in its place."""
    (tmp_path / "real" / "sync").mkdir(parents=True)
    (tmp_path / "assets").symlink_to("real")
    return tmp_path / "assets"


@pytest.fixture
def make_mount(root: Path) -> Iterator[MakeMount]:
    made: list[Mount] = []

    def make(**settings: Any) -> Mount:
        made.append(Mount(MountSettings(**{"root": root, "require_mount": False, **settings})))
        return made[-1]

    yield make
    for mount in made:
        mount.close()
    assert not helpers(), "a helper outlived its mount"


def leave_out(reason: str) -> None:
    """Skips where something is missing; in CI nothing may be."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def other_file_system() -> Iterator[Path]:
    """A folder on a separate file system, for any user that runs the tests."""
    if not MEMORY.is_dir() or MEMORY.stat().st_dev == Path("/tmp").stat().st_dev:
        leave_out("needs /dev/shm as a file system of its own")
    folder = MEMORY / f"ingestd-test-{os.getpid()}"
    (folder / "sync").mkdir(parents=True)
    yield folder
    (folder / "sync").rmdir()
    folder.rmdir()


def void(_value: object) -> None:
    pass


def freeze_helpers(mount: Mount, deadline: float = SOON) -> set[int]:
    """Stops the present helpers, as a hanging mount does; `mount` gives up on them after `deadline` seconds."""
    for pid in helpers():
        os.kill(pid, signal.SIGSTOP)
    set_deadline(mount, deadline)
    return helpers()


def set_deadline(mount: Mount, seconds: float) -> None:
    mount.settings = mount.settings.model_copy(update={"deadline": seconds})


def replace_root(root: Path, target: Path | str) -> None:
    link = root.with_name("new")
    link.symlink_to(target)
    link.replace(root)


def entry(root: Path, name: str, *, files: tuple[File, ...] = ()) -> Entry:
    """An item whose folder is there, with a provenance document."""
    folder = root / "photo" / md5(name) / "source"
    folder.mkdir(parents=True)
    (folder / "source.json").write_text(f'{{"name": "{name}"}}')
    ordinal = len(list((root / "photo").iterdir()))
    return Entry(ordinal, "photo", md5(name), "0" * 64, path=f"photo/{md5(name)}", files=files)


def refuse_pause(_seconds: float) -> None:
    raise AssertionError("there is nothing to wait for")


# mountinfo

MOUNTINFO = b"""\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw
30 22 0:30 / /mnt rw - tmpfs tmpfs rw
31 30 0:31 / /mnt/with\\040space\\011tab\\134back rw,nosuid shared:5 master:2 - fuse.rclone rem\\040ote ro
32 30 0:32 / /mnt/s3 rw - nfs4 first rw
33 32 0:33 / /mnt/s3 rw - fuse.s3fs second rw
34 22 0:34 / /mnt/s3-sync rw - cifs other rw
35 22 0:35 / /mnt/gr\xc3\xb6\xc3\x9fe rw - 9p umlaut rw
36 22 0:36 / /mnt/bytes\xff\x0c\x85 rw - xfs odd rw
"""


@pytest.mark.parametrize(
    ("root", "mount_id", "fs_type", "remote"),
    [
        ("/", 22, "ext4", False),
        ("/srv/assets", 22, "ext4", False),
        ("/mnt", 30, "tmpfs", False),
        ("/mnt/other", 30, "tmpfs", False),
        ("/mnt/with space\ttab\\back/assets", 31, "fuse.rclone", True),
        ("/mnt/s3", 33, "fuse.s3fs", True),
        ("/mnt/s3/assets/../assets", 33, "fuse.s3fs", True),
        ("/mnt/s3-sync/assets", 34, "cifs", True),
        ("/mnt/s3x", 30, "tmpfs", False),
        ("/mnt/größe/assets", 35, "9p", True),
        (os.fsdecode(b"/mnt/bytes\xff\x0c\x85/assets"), 36, "xfs", False),
    ],
)
def test_mount_point_is_the_longest_then_latest_that_covers(
    root: str, mount_id: int, fs_type: str, remote: bool
) -> None:
    found = mount_point(Path(root), MOUNTINFO)
    assert (found.mount_id, found.fs_type, found.is_remote) == (mount_id, fs_type, remote)
    assert found.device == f"0:{mount_id}" or mount_id == 22


def test_mount_point_of_this_machine() -> None:
    assert mount_point(Path("/proc/self")).fs_type == "proc"


# the gate


def test_plain_root_is_refused_when_a_mount_is_required(make_mount: MakeMount) -> None:
    mount = make_mount(root=Path("/"), require_mount=True)
    with pytest.raises(MountUnavailable, match=r"nothing is mounted at /; .*mount\.require_mount"):
        mount.check()
    assert not mount.up
    assert make_mount(root=Path("/")).check().point.point == "/"


def test_mount_behind_a_link_counts(make_mount: MakeMount, root: Path, other_file_system: Path) -> None:
    replace_root(root, other_file_system)
    mount = make_mount(require_mount=True)
    assert mount.check().point.point == str(MEMORY)
    assert mount.up


def test_absent_root_is_unavailable_and_not_empty(make_mount: MakeMount, root: Path) -> None:
    mount = make_mount()
    mount.check()
    root.unlink()
    for ask in (mount.check, mount.list_sentinels, lambda: list(mount.read_items([ItemRequest(0, "photo/x", ())]))):
        with pytest.raises(MountUnavailable, match="No such file"):
            ask()
    assert not mount.up
    replace_root(root, "real")
    assert mount.check()
    assert mount.up
    assert mount.list_sentinels() == Listing([], [])


def test_recent_check_is_trusted_until_something_is_unavailable(make_mount: MakeMount, root: Path) -> None:
    mount = make_mount()
    mount.check()
    root.unlink()
    mount.check_cached(3600.0)
    with pytest.raises(MountUnavailable):
        mount.list_sentinels()
    with pytest.raises(MountUnavailable):
        mount.check_cached(3600.0)


def test_other_file_system_is_another_identity(make_mount: MakeMount, root: Path, other_file_system: Path) -> None:
    mount = make_mount()
    before = mount.check()
    mount.require_same(before)
    replace_root(root, other_file_system)
    with pytest.raises(MountUnavailable, match="replaced"):
        mount.require_same(before)
    replace_root(root, "real")
    mount.require_same(before)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_a_remounted_file_system_has_another_identity(make_mount: MakeMount, root: Path) -> None:
    if not unique_mount_id("/"):
        pytest.skip("this kernel gives a new mount the numbers of the one that went (Linux before 6.8)")
    mount = make_mount(require_mount=True)
    first = _mounted(root, mount.check)
    with pytest.raises(MountUnavailable, match="replaced"):
        _mounted(root, lambda: mount.require_same(first))


def _mounted(root: Path, ask: Callable[[], Any]) -> Any:
    point = root.resolve()
    try:
        done = subprocess.run(["mount", "-t", "tmpfs", "ingestd-test", str(point)], capture_output=True, check=False)
        if done.returncode:
            leave_out(f"mounting is not allowed here: {done.stderr.decode()}")
        return ask()
    finally:
        subprocess.run(["umount", str(point)], check=True)


# helpers


def test_silent_helper_is_replaced(make_mount: MakeMount) -> None:
    mount = make_mount()
    mount.check()
    frozen = freeze_helpers(mount)
    assert len(frozen) == 1
    with pytest.raises(MountUnavailable, match="does not answer: the deadline passed"):
        mount.list_sentinels()
    set_deadline(mount, LATE)
    assert mount.list_sentinels() == Listing([], [])
    assert len(helpers()) == 1
    assert not helpers() & frozen


def test_helper_that_takes_no_large_request_is_replaced(make_mount: MakeMount) -> None:
    mount = make_mount()
    mount.check()
    freeze_helpers(mount)
    wants = [ItemRequest(ordinal, f"photo/{md5(str(ordinal))}", (), with_documents=False) for ordinal in range(5000)]
    with pytest.raises(MountUnavailable, match="does not answer: the deadline passed"):
        list(mount.read_items(wants))
    set_deadline(mount, LATE)
    assert len(list(mount.read_items(wants))) == 5000


def test_dead_helper_is_replaced(make_mount: MakeMount) -> None:
    mount = make_mount()
    mount.check()
    (dead,) = helpers()
    os.kill(dead, signal.SIGKILL)
    until(lambda: dead not in helpers())
    with pytest.raises(MountUnavailable, match="does not answer"):
        mount.list_sentinels()
    mount.list_sentinels()
    assert helpers()
    assert dead not in helpers()


def test_closing_ends_waiting_callers(make_mount: MakeMount) -> None:
    mount = make_mount()
    mount.check()
    (frozen,) = freeze_helpers(mount, LATE)
    refused: list[str] = []

    def ask() -> None:
        try:
            mount.list_sentinels()
        except MountUnavailable as error:
            refused.append(str(error))

    waiting = threading.Thread(target=ask)
    waiting.start()
    try:
        until(lambda: has_unread_request(frozen), what="for the request")
        with pytest.raises(ManifestUnsettled, match=r"sync/"):
            mount.read_manifest(new_sync_id())
        assert frozen in helpers(), "two callers shared a helper"
    finally:
        mount.close()
        waiting.join(10.0)
    assert refused, "closing the mount left somebody waiting"


def has_unread_request(pid: int) -> bool:
    """Whether something waits at the standard input of a process."""
    with open(f"/proc/{pid}/fd/0", "rb") as pipe:
        return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder) > 0


def test_no_helper_can_be_started(make_mount: MakeMount, monkeypatch: pytest.MonkeyPatch) -> None:
    mount = make_mount()
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(MountUnavailable, match="no helper process can be started: No such file"):
        mount.check()
    monkeypatch.undo()
    mount.check()


def test_half_read_items_do_not_reach_the_next_caller(make_mount: MakeMount, root: Path) -> None:
    wants = [ItemRequest(e.ordinal, e.path or "", ()) for e in (entry(root, "a"), entry(root, "b"), entry(root, "c"))]
    mount = make_mount()
    readings = mount.read_items(wants)
    assert next(readings).ordinal == wants[0].ordinal
    assert isinstance(readings, Iterator)
    readings.close()  # type: ignore[attr-defined]
    assert [reading.ordinal for reading in mount.read_items(wants)] == [want.ordinal for want in wants]


PARENT = """
import sys, time
from pathlib import Path
from ingestd.mount.access import Mount
from ingestd.config import MountSettings
mount = Mount(MountSettings(root=Path(sys.argv[1]), require_mount=False))
mount.check()
print("checked", flush=True)
time.sleep(600)
"""


def test_helper_ends_with_its_parent(root: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT, str(root)], stdout=subprocess.PIPE) as parent:
        try:
            assert parent.stdout is not None
            assert parent.stdout.readline() == b"checked\n"
            (orphan,) = helpers(parent.pid)
        finally:
            parent.kill()
    until(lambda: start_time(orphan) is None, what="for the orphaned helper to end")


# the reader


def test_what_is_absent_is_looked_for_again_while_the_bundle_is_fresh(make_mount: MakeMount, root: Path) -> None:
    mount = make_mount()
    late = entry(root, "late", files=(File("original", "a.jpg"),))
    folder, hidden = root / str(late.path), root / "not-listed-yet"
    (folder / "a.jpg").touch()
    folder.rename(hidden)
    identity = mount.check()
    settled = ItemReader(mount, identity, refuse_pause).read([late])[late.ordinal]
    assert settled.reason is Reason.FILE_MISSING
    shows, deadline = [hidden], time.monotonic() + 60.0
    reader = ItemReader(mount, identity, lambda _s: void(shows.pop().rename(folder)), fresh_until=deadline)
    fresh = reader.read([late])[late.ordinal]
    assert (fresh.problem, len(fresh.documents)) == (None, 1)


def test_the_reader_reads_documents_and_reports_progress(make_mount: MakeMount, root: Path) -> None:
    mount = make_mount()
    entries = [entry(root, "a"), entry(root, "b")]
    progress: list[int] = []
    readings = ItemReader(mount, mount.check(), refuse_pause, progress.append).read(entries)
    assert [readings[e.ordinal].documents[0].text for e in entries] == [b'{"name": "a"}', b'{"name": "b"}']
    assert sum(progress) == 26


def test_reader_tries_again_until_it_passes(make_mount: MakeMount, root: Path) -> None:
    mount = make_mount(settle_seconds=LATE)
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) < 3:
            freeze_helpers(mount)
        else:
            set_deadline(mount, LATE)

    reader = ItemReader(mount, mount.check(), pause)
    freeze_helpers(mount)
    entries = [entry(root, "a"), entry(root, "b")]
    readings = reader.read(entries)
    assert [readings[e.ordinal].problem for e in entries] == [None, None]
    assert [readings[e.ordinal].documents[0].text for e in entries] == [b'{"name": "a"}', b'{"name": "b"}']
    assert pauses == sorted(pauses)
    assert len(pauses) == 3


def test_reader_gives_up_after_its_time(make_mount: MakeMount, root: Path) -> None:
    mount = make_mount(settle_seconds=SOON)
    reader = ItemReader(mount, mount.check(), lambda _seconds: void(freeze_helpers(mount)))
    freeze_helpers(mount)
    one = entry(root, "a")
    reading = reader.read([one])[one.ordinal]
    assert reading.reason is Reason.FILE_UNREADABLE
    assert "does not answer" in (reading.problem or "")


def test_silent_items_do_not_keep_the_others_from_being_read(
    make_mount: MakeMount, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mount = make_mount(settle_seconds=60.0)
    entries = [entry(root, name) for name in "abcd"]
    silent = {entries[0].ordinal, entries[2].ordinal}
    good = {entries[1].ordinal, entries[3].ordinal}
    read_items = mount.read_items
    arrived: set[int] = set()
    rounds: list[float] = []

    def read_until_silence(wants: list[ItemRequest], on_bytes: Callable[[int], None], _room: int) -> Iterator[Reading]:
        for want in wants:
            if want.ordinal in silent:
                raise MountSilent("silence")
            arrived.add(want.ordinal)
            yield from read_items([want], on_bytes)

    def pause(seconds: float) -> None:
        rounds.append(seconds)
        assert len(rounds) < 20, f"only {arrived} were read"
        if arrived >= good:
            silent.clear()

    monkeypatch.setattr(mount, "read_items", read_until_silence)
    readings = ItemReader(mount, mount.check(), pause).read(entries)
    assert [readings[e.ordinal].problem for e in entries] == [None] * 4


@pytest.mark.parametrize("workers", [1, 4])
def test_what_is_read_arrives_although_the_next_gives_no_answer(
    root: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    answered = threading.Event()
    wants = [ItemRequest(e.ordinal, e.path or "", ()) for e in (entry(root, name) for name in "abcd")]
    silent = wants[2].ordinal
    read_item = items.ItemReader.read

    def read_or_hang(self: items.ItemReader, want: ItemRequest) -> Reading:
        assert want.ordinal != silent or answered.wait(60.0)
        return read_item(self, want)

    monkeypatch.setattr(items.ItemReader, "read", read_or_hang)
    ours, theirs = os.pipe()
    request = request_for(str(root), wants, workers=workers)
    reading = threading.Thread(target=lambda: helper.read_items(request, ReplyChannel(theirs)))
    reading.start()
    try:
        first = next_ordinals(ours)
        answered.set()
        second = next_ordinals(ours)
    finally:
        answered.set()
        reading.join()
        os.close(ours)
        os.close(theirs)
    assert [first, second] == [[w.ordinal for w in wants[:2]], [w.ordinal for w in wants[2:]]]


def next_ordinals(fd: int) -> list[int]:
    """The items of the next readings; reports of progress are passed over."""
    reply: wire.Reply = wire.Progress(0)
    while isinstance(reply, wire.Progress):
        reply = wire.decode_reply(wire.receive(fd, time.monotonic() + 30.0) or b"")
    assert isinstance(reply, wire.Readings)
    return [reading.ordinal for reading in reply.readings]


def test_missing_file_is_the_items_fault(make_mount: MakeMount, root: Path) -> None:
    mount = make_mount()
    one = entry(root, "a", files=(File("original", "0.jpg", 10),))
    reading = ItemReader(mount, mount.check(), refuse_pause).read([one])[one.ordinal]
    assert reading.reason is Reason.FILE_MISSING


def test_missing_file_on_a_replaced_mount_is_not(make_mount: MakeMount, root: Path, other_file_system: Path) -> None:
    mount = make_mount()
    one = entry(root, "a", files=(File("original", "0.jpg", 1),))
    (root / (one.path or "") / "0.jpg").write_bytes(b"x")
    reader = ItemReader(mount, mount.check(), refuse_pause)
    assert reader.read([one])[one.ordinal].problem is None
    replace_root(root, other_file_system)
    with pytest.raises(MountUnavailable, match="replaced"):
        reader.read([one])


def test_reader_stops_trying_when_the_mount_is_replaced(
    make_mount: MakeMount, root: Path, other_file_system: Path
) -> None:
    mount = make_mount(settle_seconds=3600.0)
    one = entry(root, "a")

    def pause(_seconds: float) -> None:
        freeze_helpers(mount)
        replace_root(root, other_file_system)

    reader = ItemReader(mount, mount.check(), pause)
    freeze_helpers(mount)
    with pytest.raises(MountUnavailable, match="replaced"):
        reader.read([one])


def test_error_of_the_pause_ends_the_trying(make_mount: MakeMount, root: Path) -> None:
    mount = make_mount()
    one = entry(root, "a")
    reader = ItemReader(mount, mount.check(), refuse_pause)
    freeze_helpers(mount)
    with pytest.raises(AssertionError, match="nothing to wait for"):
        reader.read([one])


# the watcher


def test_the_watcher_restarts_when_the_mount_returns(make_mount: MakeMount, root: Path) -> None:
    mount = make_mount(watch="inotify")
    named: list[set[str]] = []
    armed: list[MountIdentity | None] = []
    watcher = Watcher(mount, named.append, lambda _name: False, lambda: armed.append(mount.identity))
    try:
        watcher.run_once()
        assert watcher.kind == "inotify"
        watcher.run_once()
        assert len(armed) == 1
        root.unlink()
        with pytest.raises(MountUnavailable):
            watcher.run_once()
        assert watcher.kind is None
        replace_root(root, "real")
        watcher.run_once()
        assert watcher.kind == "inotify"
        assert len(armed) == 2
        assert armed[0] == armed[1], "the test is void if the identity differs"
        sync_id = new_sync_id()
        (root / "sync" / f"{sync_id}.ready").touch()
        until(lambda: {sync_id} in named, what="for an event of the new watch")
    finally:
        watcher.stop()


def test_polling_names_what_is_new_only(make_mount: MakeMount, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mount = make_mount(watch="poll", poll_interval=0.01)
    sentinels, listings = mount.list_sentinels, []

    def counted() -> Listing:
        listings.append(sentinels())
        return listings[-1]

    monkeypatch.setattr(mount, "list_sentinels", counted)
    old, new = new_sync_id(), new_sync_id()
    (root / "sync" / f"{old}.ready").touch()
    named: list[set[str]] = []
    watcher = Watcher(mount, named.append, lambda _name: False)
    try:
        watcher.run_once()
        until(lambda: listings, what="for the first listing")
        root.unlink()
        replace_root(root, "real")
        (root / "sync" / f"{new}.ready").touch()
        until(lambda: named, what="for an event of polling")
        count = len(listings)
        until(lambda: len(listings) > count + 2, what="for further listings")
    finally:
        watcher.stop()
    assert named == [{new}]
