"""Several short manifests are read with one request; one that is slow or hangs does not delay the others of it."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestd.errors import ManifestIsLong, MountSilent, SentinelMissing
from ingestd.mount import manifest_exchange
from ingestd.mount.access import Mount
from ingestd.mount.manifest_exchange import ManifestExchange
from ingestd.mount.manifests import LONG
from support.faulty_fuse import LOOKUP, OPEN, READ, FaultyFuse, faulty_fuse
from support.processes import helpers
from support.real_mount import MakeMount
from support.world import manifest_of, new_sync_id, photo

COUNT = 8


@pytest.fixture
def sync_ids(tmp_path: Path) -> list[str]:
    (tmp_path / "source/sync").mkdir(parents=True)
    return [put(tmp_path / "source", new_sync_id()) for _ in range(COUNT)]


@pytest.fixture
def far(tmp_path: Path, sync_ids: list[str]) -> Iterator[FaultyFuse]:
    assert sync_ids
    with faulty_fuse(tmp_path / "source", tmp_path / "mnt") as made:
        yield made


def put(root: Path, sync_id: str, size: int = 0) -> str:
    data = json.dumps(manifest_of(sync_id, [photo("a")])) + " " * size
    (root / "sync" / f"{sync_id}.json").write_text(data)
    (root / "sync" / f"{sync_id}.ready").touch()
    return sync_id


def digest(root: Path, sync_id: str) -> str:
    return hashlib.sha256((root / "sync" / f"{sync_id}.json").read_bytes()).hexdigest()


def request(mount: Mount, sync_ids: list[str], slow: list[None] | None = None) -> ManifestExchange:
    return mount.request_manifests([(one, None) for one in sync_ids], lambda: (slow or []).append(None))


def read(mount: Mount, sync_id: str, exchange: ManifestExchange, deadline: float = 20.0) -> str | None:
    return mount.read_manifest(sync_id, deadline=deadline, only_short=True, within=exchange).sha256


def test_one_helper_is_asked_once_and_opens_the_folder_once(
    far: FaultyFuse, sync_ids: list[str], make_mount: MakeMount
) -> None:
    mount = make_mount(root=far.point)
    mount.check()
    far.operations.clear()
    exchange = request(mount, sync_ids)
    assert len({read(mount, sync_id, exchange) for sync_id in sync_ids}) == COUNT
    asked = far.operations
    assert asked[LOOKUP] == 2 * COUNT + 1, "each sentinel, each manifest, and the folder"
    assert asked[OPEN] == asked[READ] == COUNT
    assert len(helpers()) == 1


def test_each_has_its_own_outcome(tmp_path: Path, sync_ids: list[str], make_mount: MakeMount) -> None:
    root = tmp_path / "source"
    absent, long = new_sync_id(), put(root, new_sync_id(), LONG)
    mount, wanted = make_mount(root=root), [sync_ids[0], absent, long, sync_ids[1]]
    exchange = request(mount, wanted)
    first = read(mount, wanted[0], exchange)
    with pytest.raises(SentinelMissing):
        read(mount, absent, exchange)
    with pytest.raises(ManifestIsLong):
        read(mount, long, exchange)
    assert first != read(mount, wanted[3], exchange)
    assert len(helpers()) == 1, "none of that is the fault of a helper"


def test_one_that_hangs_leaves_the_others_to_their_readers(
    far: FaultyFuse, sync_ids: list[str], make_mount: MakeMount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest_exchange, "SILENT_SECONDS", 0.2)
    far.hang(f"sync/{sync_ids[1]}.json")
    mount, slow = make_mount(root=far.point), [None]
    exchange = request(mount, sync_ids, slow)
    read(mount, sync_ids[0], exchange)
    with pytest.raises(MountSilent):
        read(mount, sync_ids[1], exchange, deadline=0.5)
    assert slow == [None, None], "they were left while that one was still waited for"
    assert len({read(mount, sync_id, exchange) for sync_id in sync_ids[2:]}) == COUNT - 2
    far.clear()


def test_one_that_takes_long_is_read_and_the_others_are_left(
    far: FaultyFuse, sync_ids: list[str], make_mount: MakeMount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest_exchange, "SILENT_SECONDS", 0.2)
    far.slow(f"sync/{sync_ids[0]}.json", 0.5)
    mount, slow = make_mount(root=far.point), [None]
    exchange = request(mount, sync_ids, slow)
    first = read(mount, sync_ids[0], exchange)
    assert slow == [None, None]
    found = {sync_id: read(mount, sync_id, exchange) for sync_id in reversed(sync_ids[1:])}
    assert found | {sync_ids[0]: first} == {sync_id: digest(far.source, sync_id) for sync_id in sync_ids}


def test_manifests_are_not_confused_in_another_order(
    tmp_path: Path, sync_ids: list[str], make_mount: MakeMount
) -> None:
    mount = make_mount(root=tmp_path / "source")
    exchange = request(mount, sync_ids)
    first, third = read(mount, sync_ids[0], exchange), read(mount, sync_ids[2], exchange)
    exchange.close()
    assert {first, third} == {mount.read_manifest(sync_id).sha256 for sync_id in (sync_ids[0], sync_ids[2])}


def test_one_that_comes_in_drips_does_not_hold_up_the_others(
    far: FaultyFuse, sync_ids: list[str], make_mount: MakeMount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest_exchange, "SLOW_SECONDS", 0.0)
    mount, slow = make_mount(root=far.point), [None]
    exchange = request(mount, sync_ids, slow)
    first = read(mount, sync_ids[0], exchange)
    assert slow == [None, None]
    assert read(mount, sync_ids[1], exchange) != first
