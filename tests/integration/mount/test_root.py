"""The root of the mount: absent, replaced, or another file system."""

import os
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ingestd.errors import MountUnavailable
from ingestd.mount import wire
from ingestd.mount.access import Mount
from ingestd.mount.helper import inspect_root
from ingestd.mount.mountinfo import MountIdentity
from ingestd.mount.records import ItemRequest, Listing
from support.missing import give_up
from support.real_mount import MEMORY, MakeMount, replace_root, void
from support.wait import until


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
    assert mount.list_sentinels() == Listing()


def test_recent_check_is_trusted_until_something_is_unavailable(make_mount: MakeMount, root: Path) -> None:
    mount = make_mount()
    mount.check()
    root.unlink()
    mount.check_cached(3600.0)
    with pytest.raises(MountUnavailable):
        mount.list_sentinels()
    with pytest.raises(MountUnavailable):
        mount.check_cached(3600.0)


def _is_away(root: Path) -> None:
    root.unlink()


def _is_a_file(root: Path) -> None:
    (root.parent / "a file").touch()
    replace_root(root, "a file")


def _points_to_nothing(root: Path) -> None:
    replace_root(root, "nothing there")


def _points_to_itself(root: Path) -> None:
    replace_root(root, root)


@pytest.mark.parametrize("vanish", [_is_away, _is_a_file, _points_to_nothing, _points_to_itself])
def test_an_absent_mount_is_not_asked_each_time(
    make_mount: MakeMount, root: Path, vanish: Callable[[Path], None]
) -> None:
    mount = make_mount()
    vanish(root)
    _assert_asked_seldom(mount)
    replace_root(root, "real")
    until(lambda: is_there(mount), what="for a check of the mount")


def test_a_mount_that_is_not_approved_is_not_asked_each_time(make_mount: MakeMount) -> None:
    mount = make_mount()

    def refuse(_identity: object) -> None:
        raise MountUnavailable("another one is mounted")

    mount.approve = refuse
    _assert_asked_seldom(mount)
    mount.approve = void
    until(lambda: is_there(mount), what="for a check of the mount")


def _assert_asked_seldom(mount: Mount) -> None:
    checks: list[None] = []
    identify = mount.identify
    mount.identify = lambda: checks.append(None) or identify()  # type: ignore[func-returns-value,method-assign]
    for _ in range(50):
        with pytest.raises(MountUnavailable):
            mount.check_cached(3600.0)
    assert len(checks) < 10


@pytest.mark.parametrize("is_absent", [False, True])
def test_many_that_ask_at_once_wait_for_one_check(make_mount: MakeMount, root: Path, is_absent: bool) -> None:
    """As all workers of a daemon do when it starts, which took a helper for each."""
    mount, started, checks = make_mount(), threading.Barrier(8), list[None]()
    identify = mount.identify
    if is_absent:
        root.unlink()

    def counted() -> MountIdentity:
        checks.append(None)
        return identify()

    mount.identify = counted  # type: ignore[method-assign]

    def ask() -> bool:
        started.wait()
        return is_there(mount)

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: ask(), range(8)))
    assert found == 8 * [not is_absent]
    assert len(checks) == 1


def is_there(mount: Mount) -> bool:
    with suppress(MountUnavailable):
        mount.check_cached(3600.0)
    return mount.up


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
    found = inspect_root("/")
    assert isinstance(found, wire.RootInfo)
    if not found.unique_id:
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
            give_up(f"mounting is not allowed here: {done.stderr.decode()}")
        return ask()
    finally:
        subprocess.run(["umount", str(point)], check=True)
