"""Hosts that see different manifests under one sync_id, because what one of them sees is outdated, agree to differ."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ingestd.pipeline import sightings
from ingestd.pipeline.context import Context
from ingestd.pipeline.preflight import preflight
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.scanner import Scanner
from ingestd.pipeline.sweeps import Sweeper
from support.logged import logged_by
from support.scanning import kinds
from support.world import World, md5, photo

ROUNDS = 3
AUTO = {"auto": ("create",)}


class Host:
    """A daemon with a mount of its own, which shows what was delivered up to its last `update`."""

    def __init__(self, world: World, folder: Path, **mount: object) -> None:
        self._world, self._folder = world, folder
        (folder / "sync").mkdir(parents=True)
        self.context: Context = world.context(mount={"root": folder, **mount}, queue=AUTO)
        self.scanner = Scanner(self.context)

    def update(self) -> None:
        shutil.copytree(self._world.root, self._folder, dirs_exist_ok=True)

    def restart(self) -> None:
        self.scanner = Scanner(self.context)

    def round(self) -> None:
        """What it does in a minute."""
        self.scanner.scan()
        Sweeper(self.context).enqueue_new()
        self._world.run_next(self.context)


@pytest.fixture
def hosts(world: World, tmp_path: Path) -> list[Host]:
    return [Host(world, tmp_path / f"host-{number}") for number in range(3)]


def changes(world: World, sync_id: str) -> int:
    return kinds(world, sync_id).count("manifest_changed")


def deliver(world: World, name: str, *hosts: Host, sync_id: str | None = None) -> str:
    """Delivers a bundle with one item; only these hosts see it."""
    sync_id = world.put(photo(name), sync_id=sync_id)
    for host in hosts:
        host.update()
    return sync_id


def decided(world: World, sync_id: str) -> set[str]:
    return set(world.decisions(sync_id))


def test_an_outdated_host_changes_nothing_without_end(
    world: World, hosts: list[Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh, outdated = hosts[:2]
    logged = logged_by(sightings, monkeypatch)
    sync_id = deliver(world, "old", fresh, outdated)
    fresh.round()
    deliver(world, "new", fresh, sync_id=sync_id)
    for _ in range(2):
        for host in (fresh, outdated, fresh):
            host.round()
    before = kinds(world, sync_id)
    for _ in range(ROUNDS):
        for host in (fresh, outdated):
            host.restart()
            host.round()
            host.round()
    assert kinds(world, sync_id) == before
    assert changes(world, sync_id) == 1
    assert len(logged.of("manifest_not_recorded")) == 1
    outdated.update()
    for host in (outdated, fresh, outdated, fresh):
        host.round()
    assert decided(world, sync_id) == {md5("new")}, "it is up to date again"
    assert world.status(sync_id) == "imported"


def test_as_many_contents_as_hosts(world: World, hosts: list[Host]) -> None:
    sync_id = deliver(world, "0", *hosts)
    for number in (1, 2):
        deliver(world, str(number), *hosts[number:], sync_id=sync_id)
    for _ in range(3):
        for host in hosts:
            host.round()
    before = kinds(world, sync_id)
    for _ in range(ROUNDS):
        for host in hosts:
            host.round()
    assert kinds(world, sync_id) == before
    for host in hosts:
        host.update()
    for host in hosts * 2:
        host.round()
    assert decided(world, sync_id) == {md5("2")}


@pytest.mark.parametrize("seen_by", [(0,), (1,), (0, 1)])
def test_a_delivery_of_former_content_is_noticed(world: World, hosts: list[Host], seen_by: tuple[int, ...]) -> None:
    first, second = hosts[:2]
    sync_id = deliver(world, "old", first, second)
    first.round()
    for name in ("new", "old", "new", "old"):
        deliver(world, name, first, second, sync_id=sync_id)
        for number in seen_by:
            hosts[number].round()
        assert decided(world, sync_id) == {md5(name)}


def test_a_delivery_is_noticed_while_hosts_differ(world: World, hosts: list[Host]) -> None:
    fresh, outdated = hosts[:2]
    sync_id = deliver(world, "old", fresh, outdated)
    fresh.round()
    deliver(world, "new", fresh, sync_id=sync_id)
    for host in (fresh, outdated) * 3:
        host.round()
    deliver(world, "newest", fresh, outdated, sync_id=sync_id)
    outdated.round()
    assert decided(world, sync_id) == {md5("newest")}
    count = changes(world, sync_id)
    for host in (fresh, outdated) * 3:
        host.round()
    assert changes(world, sync_id) == count


def test_a_person_is_shown_what_the_host_sees(world: World, hosts: list[Host]) -> None:
    fresh, outdated = hosts[:2]
    sync_id = deliver(world, "old", fresh, outdated)
    fresh.scanner.scan()
    deliver(world, "new", fresh, sync_id=sync_id)
    for host in (fresh, outdated) * 3:
        host.scanner.scan()
    for host, name in ((fresh, "new"), (outdated, "old")):
        assert preflight(host.context, sync_id)["ok"]
        assert decided(world, sync_id) == {md5(name)}
    enqueue(fresh.context, QueueRequest(sync_id, "tester"))
    assert world.run_next(fresh.context) == "done"
    assert decided(world, sync_id) == {md5("new")}


def too_long(world: World, host: Host, sync_id: str) -> None:
    """The host has a lower limit for manifests."""


def missing(world: World, host: Host, sync_id: str) -> None:
    """The host sees the sentinel only."""
    (host.context.settings.mount.root / "sync" / f"{sync_id}.json").unlink()


def cut_off(world: World, host: Host, sync_id: str) -> None:
    (host.context.settings.mount.root / "sync" / f"{sync_id}.json").write_bytes(b"{")


@pytest.mark.parametrize("damage", [too_long, missing, cut_off])
def test_a_host_that_cannot_read_a_manifest_leaves_its_batch_alone(
    world: World, hosts: list[Host], tmp_path: Path, damage: Callable[[World, Host, str], None]
) -> None:
    able, unable = hosts[0], Host(world, tmp_path / "unable", settle_seconds=0.001, max_manifest_bytes=150)
    for host in (able, unable):
        host.scanner.scan()
    sync_id = deliver(world, "a", able, unable)
    damage(world, unable, sync_id)
    able.round()
    assert world.status(sync_id) == "imported"
    for _ in range(3):
        unable.scanner.scan()
        able.scanner.scan()
    before = kinds(world, sync_id)
    for _ in range(ROUNDS):
        unable.scanner.scan()
        able.scanner.scan()
    assert kinds(world, sync_id) == before
    assert world.status(sync_id) != "invalid"


def test_a_manifest_that_never_rests_is_recorded_less_and_less_often(world: World, hosts: list[Host]) -> None:
    host = hosts[0]
    sync_id = deliver(world, "a", host)
    host.scanner.scan()
    for number in range(3 * sightings.FREE_CHANGES):
        deliver(world, "ab"[number % 2 - 1], host, sync_id=sync_id)
        host.scanner.scan()
    assert changes(world, sync_id) == sightings.FREE_CHANGES + 1
    pauses = ((50, False), (70, True), (110, False), (130, True), (230, False), (250, True))
    for number, (seconds, is_noticed) in enumerate(pauses):
        deliver(world, f"c{number}", host, sync_id=sync_id)
        world.sql("UPDATE ingest_sighting SET changed_at = UTC_TIMESTAMP(6) - INTERVAL %s SECOND", seconds)
        assert (host.scanner.scan() == [sync_id]) is is_noticed
    world.sql("UPDATE ingest_sighting SET changed_at = UTC_TIMESTAMP(6) - INTERVAL 8 DAY")
    for number in range(sightings.FREE_CHANGES):
        deliver(world, f"d{number}", host, sync_id=sync_id)
        assert host.scanner.scan() == [sync_id], "after a quiet week the count begins again"
