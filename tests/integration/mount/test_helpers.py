"""Helpers that hang or die are replaced, and harm no other caller."""

import fcntl
import gc
import os
import shutil
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

import ingestd
from ingestd.errors import ManifestUnsettled, MountSilent, MountUnavailable, OtherRelease
from ingestd.mount import access, helper_pool, helper_process, wire
from ingestd.mount.access import Mount
from ingestd.mount.helper_pool import Use
from ingestd.mount.helper_process import HelperProcess, close_all
from ingestd.mount.records import ItemRequest, Listing
from ingestd.pipeline.identity import start_time
from support.processes import helpers
from support.real_mount import LATE, SOON, MakeMount, entry, freeze_helpers, set_deadline
from support.uncovered import NOT_MEASURED
from support.wait import until
from support.world import md5, new_sync_id


def test_silent_helper_is_replaced(make_mount: MakeMount) -> None:
    mount = make_mount()
    mount.check()
    frozen = freeze_helpers(mount)
    assert len(frozen) == 1
    with pytest.raises(MountUnavailable, match="does not answer: the deadline passed"):
        mount.list_sentinels()
    set_deadline(mount, LATE)
    assert mount.list_sentinels() == Listing()
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


def test_idle_helpers_that_something_ended_are_not_used(make_mount: MakeMount) -> None:
    """The kernel ends helpers first when memory runs out: that says nothing about the mount."""
    mount = make_mount()
    with ExitStack() as borrowed:
        for _ in range(4):
            helper = borrowed.enter_context(mount._pool.borrow(Use.CHECK))
            helper.send(wire.InspectRoot(mount._root), LATE)
            helper.receive(LATE)
    dead = helpers()
    assert len(dead) == 4
    for pid in dead:
        os.kill(pid, signal.SIGKILL)
    # Its command is gone before it has ended.
    until(lambda: all(has_ended(pid) for pid in dead), what="for them to end")
    mount.check()
    assert mount.list_sentinels() == Listing()
    assert len(helpers()) == 1


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


MANY = [ItemRequest(ordinal, f"photo/{md5(str(ordinal))}", ()) for ordinal in range(5000)]
READS: dict[str, Callable[[Mount], object]] = {
    "check": lambda mount: mount.check(),
    "listing": lambda mount: mount.list_sentinels(),
    "manifest": lambda mount: mount.read_manifest(new_sync_id()),
    "items": lambda mount: list(mount.read_items(MANY)),
}


@pytest.mark.parametrize("read", READS)
def test_after_another_release_was_installed_the_mount_counts_as_absent(
    make_mount: MakeMount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: str
) -> None:
    for name, value in NOT_MEASURED.items():
        monkeypatch.setenv(name, value)  # the copy is not the package whose coverage counts
    newer = tmp_path / "newer" / "ingestd"
    shutil.copytree(Path(ingestd.__file__).parent, newer, ignore=shutil.ignore_patterns("sql", "__pycache__"))
    (newer / "__init__.py").write_text('__version__ = "99.0"')
    mount = make_mount()
    set_deadline(mount, LATE)
    mount.check()
    first = f"import sys; sys.path.insert(0, {str(newer.parent)!r})\n"
    monkeypatch.setattr(helper_process, "HELPER", first + helper_process.HELPER)
    with (
        mount._pool.borrow(Use.CHECK),
        pytest.raises(OtherRelease, match=r"was installed .* restart ingestd"),
    ):
        READS[read](mount)
    with pytest.raises(OtherRelease):
        mount.check()
    assert not mount.up
    assert "restart ingestd" in mount.problem


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


def test_a_killed_helper_that_ends_late_is_reaped(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine that is so busy that a killed process needs a while to end."""
    late = HelperProcess(lambda: False)
    pid = late._process.pid
    os.kill(pid, signal.SIGSTOP)
    monkeypatch.setattr(late._process, "kill", lambda: None)
    close_all([late])
    del late
    monkeypatch.undo()
    gc.collect()
    os.kill(pid, signal.SIGKILL)
    until(lambda: has_ended(pid), what="for it to end")
    close_all([HelperProcess(lambda: False)])
    assert not Path(f"/proc/{pid}").exists()


def test_frozen_helpers_cost_one_deadline_together(make_mount: MakeMount, monkeypatch: pytest.MonkeyPatch) -> None:
    mount = make_mount()
    with ExitStack() as borrowed:
        for _ in range(4):
            borrowed.enter_context(mount._pool.borrow(Use.CHECK))
    monkeypatch.setattr(access, "CHECK_SECONDS", SOON)
    freeze_helpers(mount, LATE)
    with pytest.raises(MountSilent):
        mount.check()
    monkeypatch.setattr(access, "CHECK_SECONDS", LATE)
    assert mount.check()


def has_ended(pid: int) -> bool:
    """Whether a child has ended; nothing has asked for its status yet."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def borrow_together(mount: Mount, count: int) -> set[int]:
    """Has so many helpers in use at a time; returns those that are left afterwards."""
    with ExitStack() as borrowed:
        pids = {borrowed.enter_context(mount._pool.borrow(Use.CHECK))._process.pid for _ in range(count)}
        # The kernel lets a parent go on before it shows the command of its new process.
        until(lambda: pids <= helpers(), what="for their commands to be known")
    return helpers()


def test_helpers_that_nothing_needs_end_but_for_one(make_mount: MakeMount, monkeypatch: pytest.MonkeyPatch) -> None:
    mount = make_mount()
    assert len(borrow_together(mount, 4)) == 4, "a moment later they may be needed again"
    monkeypatch.setattr(helper_pool, "IDLE_SECONDS", 0.0)
    mount.check()
    (last,) = helpers()
    mount.check()
    assert helpers() == {last}
    monkeypatch.undo()
    assert len(borrow_together(mount, 3)) == 3


def test_whether_the_mount_is_remote_is_known_from_the_last_check(
    make_mount: MakeMount, monkeypatch: pytest.MonkeyPatch
) -> None:
    mount = make_mount()
    mount.check()
    looks: list[Path] = []
    monkeypatch.setattr(access, "mount_point", looks.append)
    assert not mount.is_remote
    assert looks == [], "it is asked for with every bundle"


def test_one_that_is_about_to_be_put_back_is_used_again(make_mount: MakeMount, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RETURN_SECONDS", "MAX_RETURN_SECONDS"):
        monkeypatch.setattr(helper_pool, name, LATE)
    mount, is_used, may_end = make_mount(), threading.Event(), threading.Event()

    def use() -> None:
        with mount._helper(Use.CHECK):
            is_used.set()
            may_end.wait(LATE)

    using, checking = threading.Thread(target=use), threading.Thread(target=mount.check)
    using.start()
    is_used.wait(LATE)
    checking.start()
    until(lambda: bool(mount._pool._returned._waiters))  # type: ignore[attr-defined]
    may_end.set()
    for thread in (using, checking):
        thread.join()
    assert mount.up
    assert len(helpers()) == 1


def test_the_more_are_in_use_the_longer_one_is_waited_for(
    make_mount: MakeMount, monkeypatch: pytest.MonkeyPatch
) -> None:
    mount, waits = make_mount(), list[float]()
    monkeypatch.setattr(mount._pool._returned, "wait_for", lambda _is_back, seconds: waits.append(seconds))
    with ExitStack() as used:
        for _ in range(10):
            used.enter_context(mount._helper(Use.CHECK))
    assert waits == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 0.14, 0.16, 0.16])


def test_another_one_is_started_where_one_stays_in_use(make_mount: MakeMount) -> None:
    mount = make_mount()
    with mount._helper(Use.CHECK):
        mount.check()
        assert len(helpers()) == 2
    with suppress(ZeroDivisionError), mount._helper(Use.CHECK):
        raise ZeroDivisionError
    assert mount._pool._busy == 0
