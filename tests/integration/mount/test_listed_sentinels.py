"""On a far mount a sentinel that was just listed is not looked up once more; in all other cases it is."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ingestd.errors import ManifestUnsettled, SentinelMissing
from ingestd.mount import requests
from ingestd.mount.access import Mount
from support.faulty_fuse import LOOKUP, OPEN, READ, FaultyFuse, faulty_fuse
from support.real_mount import MakeMount
from support.world import manifest_of, new_sync_id, photo


@pytest.fixture
def far(tmp_path: Path) -> Iterator[FaultyFuse]:
    (tmp_path / "source/sync").mkdir(parents=True)
    with faulty_fuse(tmp_path / "source", tmp_path / "mnt") as made:
        made.valid = 1
        yield made


@pytest.fixture
def mount(far: FaultyFuse, make_mount: MakeMount) -> Mount:
    made = make_mount(root=far.point)
    made.check()
    return made


def delivered(far: FaultyFuse, make_sentinel: Callable[[Path], object] = Path.touch) -> str:
    sync_id = new_sync_id()
    sync = far.source / "sync"
    (sync / f"{sync_id}.json").write_text(json.dumps(manifest_of(sync_id, [photo("a", files=0)])))
    make_sentinel(sync / f"{sync_id}.ready")
    return sync_id


def test_a_manifest_that_is_listed_takes_three_operations(far: FaultyFuse, mount: Mount) -> None:
    first, second = delivered(far), delivered(far)
    assert mount.list_sentinels().sync_ids == {first, second}
    mount.read_manifest(first, as_listed=True)  # looks up the folder
    far.operations.clear()
    assert mount.read_manifest(second, as_listed=True).manifest is not None
    assert (far.operations[LOOKUP], far.operations[OPEN], far.operations[READ]) == (1, 1, 1)


def test_several_that_are_listed_are_read_with_one_request_although_the_listing_ages(
    far: FaultyFuse, mount: Mount, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [delivered(far) for _ in range(3)]
    mount.list_sentinels()
    together = mount.request_manifests([(name, None) for name in names], lambda: None)
    monkeypatch.setattr(requests, "LISTED_SECONDS", -1.0)
    assert all(mount.read_manifest(name, only_short=True, as_listed=True, within=together).manifest for name in names)
    assert far.operations[OPEN] == len(names)


def test_what_was_listed_long_ago_is_looked_up(far: FaultyFuse, mount: Mount, monkeypatch: pytest.MonkeyPatch) -> None:
    sync_id = delivered(far)
    mount.list_sentinels()
    (far.source / f"sync/{sync_id}.ready").unlink()
    monkeypatch.setattr(requests, "LISTED_SECONDS", -1.0)
    with pytest.raises(SentinelMissing):
        mount.read_manifest(sync_id, as_listed=True)


def test_what_the_last_listing_does_not_show_is_looked_up(far: FaultyFuse, mount: Mount) -> None:
    gone, late = delivered(far), delivered(far, lambda _path: None)
    mount.list_sentinels()
    (far.source / f"sync/{gone}.ready").unlink()
    mount.list_sentinels()
    for sync_id in (gone, late):
        with pytest.raises(SentinelMissing):
            mount.read_manifest(sync_id, as_listed=True)


@pytest.mark.parametrize("others", [False, True])
def test_what_is_not_a_file_hands_nothing_over(far: FaultyFuse, mount: Mount, others: bool) -> None:
    sync_id = delivered(far, Path.mkdir)
    for _ in range(100 * others):
        delivered(far)
    assert sync_id in mount.list_sentinels().sync_ids
    with pytest.raises(ManifestUnsettled, match="is not a regular file"):
        mount.read_manifest(sync_id, as_listed=True)


def test_on_a_near_mount_it_is_looked_up(tmp_path: Path, make_mount: MakeMount) -> None:
    mount = make_mount()
    sync_id, sync = new_sync_id(), mount.settings.root / "sync"
    sync.mkdir(exist_ok=True)
    (sync / f"{sync_id}.json").write_text(json.dumps(manifest_of(sync_id, [photo("a", files=0)])))
    (sync / f"{sync_id}.ready").touch()
    mount.list_sentinels()
    (sync / f"{sync_id}.ready").unlink()
    with pytest.raises(SentinelMissing):
        mount.read_manifest(sync_id, as_listed=True)


def test_a_run_looks_for_the_sentinel(far: FaultyFuse, mount: Mount) -> None:
    sync_id = delivered(far)
    mount.list_sentinels()
    (far.source / f"sync/{sync_id}.ready").unlink()
    far.valid = 0
    with pytest.raises(SentinelMissing):
        mount.read_manifest(sync_id)
