"""A manifest counts only if it was read in the mount that was checked; then the read itself was a check."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ingestd.errors import MountReplaced, MountUnavailable
from ingestd.mount import access, checked_root
from ingestd.mount.access import Mount
from ingestd.mount.helper_pool import HelperPool, Use
from support.real_mount import MakeMount
from support.world import manifest_of, new_sync_id, photo


@pytest.fixture
def mount(make_mount: MakeMount, monkeypatch: pytest.MonkeyPatch) -> Mount:
    made = make_mount()
    (made.settings.root / "sync").mkdir(exist_ok=True)
    made.check()
    monkeypatch.setattr(checked_root, "CONFIRM_SECONDS", -1.0)
    return made


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[Use]:
    """How often the mount was asked what it is."""
    uses, borrow = list[Use](), HelperPool.borrow

    def borrowing(pool: HelperPool, use: Use, *more: str) -> object:
        uses.extend([use] * (use is Use.CHECK))
        return borrow(pool, use, *more)

    monkeypatch.setattr(HelperPool, "borrow", borrowing)
    return uses


def delivered(root: Path) -> str:
    sync_id = new_sync_id()
    (root / f"sync/{sync_id}.json").write_text(json.dumps(manifest_of(sync_id, [photo("a", files=0)])))
    (root / f"sync/{sync_id}.ready").touch()
    return sync_id


def test_a_read_is_a_check(mount: Mount, checks: list[Use]) -> None:
    before, sync_id = mount._checked_at, delivered(mount.settings.root)
    assert mount.read_manifest(sync_id).manifest is not None
    assert mount._checked_at > before
    assert checks == []


def test_a_file_of_another_mount_has_the_mount_checked(mount: Mount, checks: list[Use]) -> None:
    sync_id = delivered(mount.settings.root)
    assert mount.identity is not None
    mount.identity = replace(mount.identity, unique_id=1)
    with pytest.raises(MountUnavailable, match="was mounted again"):
        mount.read_manifest(sync_id)
    assert checks == [Use.CHECK]
    assert mount.read_manifest(sync_id).manifest is not None


def test_what_was_covered_since_the_check_is_noticed(mount: Mount, monkeypatch: pytest.MonkeyPatch) -> None:
    sync_id = delivered(mount.settings.root)
    assert mount.identity is not None
    other = replace(mount.identity.point, fs_type="fuse.other", source="another")
    monkeypatch.setattr(access, "mount_point", lambda *_: other)
    with pytest.raises(MountReplaced):
        mount.read_manifest(sync_id)


def test_a_lost_mount_is_checked_however_much_can_be_read(mount: Mount, checks: list[Use]) -> None:
    sync_id = delivered(mount.settings.root)
    mount.lose("it was refused")
    mount.read_manifest(sync_id)
    assert (mount.up, checks) == (True, [Use.CHECK])


def test_where_the_kernel_has_no_such_number_a_check_may_be_a_second_old(
    mount: Mount, checks: list[Use], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, first = mount.settings.root, mount.identity
    assert first is not None
    monkeypatch.setattr(mount, "identity", replace(first, unique_id=0))
    mount._confirm(0, replace(first, unique_id=0))
    assert checks == []
    monkeypatch.setattr(checked_root, "RECHECK_SECONDS", -1.0)
    mount._confirm(0, first)
    assert checks == [Use.CHECK]
    assert root.exists()


def test_what_cannot_be_read_in_a_mount_that_is_gone_says_nothing(mount: Mount) -> None:
    mount._checked_at = 0.0
    mount.settings.root.rename(mount.settings.root.with_name("away"))
    with pytest.raises(MountUnavailable):
        mount.read_manifest(new_sync_id())
