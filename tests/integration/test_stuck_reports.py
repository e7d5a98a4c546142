"""Several hosts and one report of a stuck bundle: it stays while a host is stuck, whatever the others list."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from ingestd.pipeline import stuck
from ingestd.pipeline.scanner import Scanner
from support.scanning import Clock
from support.world import World, photo

STUCK = "00000000-0000-4000-8000-000000000000"


class Host(NamedTuple):
    name: str
    scanner: Scanner


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> Callable[[Host], list[str]]:
    """Makes a full scan on one host; returns what it found."""

    def scan(host: Host) -> list[str]:
        monkeypatch.setattr(stuck, "host", lambda: host.name)
        return host.scanner.scan()

    return scan


@pytest.fixture
def hosts(world: World, tmp_path: Path) -> Iterator[tuple[Host, Host]]:
    """A host that lists a bundle which the server refuses, and one that lists nothing."""
    world.sql(
        "CREATE TRIGGER refuse_all BEFORE INSERT ON ingest_batch FOR EACH ROW"
        " SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not this one'"
    )
    (tmp_path / "other" / "sync").mkdir(parents=True)
    world.put(photo("bad"), sync_id=STUCK)
    empty = world.context(mount={"root": tmp_path / "other"})
    yield Host("flux-1", Scanner(world.context())), Host("flux-2", Scanner(empty))
    world.sql("DROP TRIGGER IF EXISTS refuse_all")


def reports(world: World) -> list[tuple[str, str]]:
    return world.sql("SELECT sync_id, reported_by FROM ingest_stuck")


def age(world: World, interval: str) -> None:
    world.sql(f"UPDATE ingest_stuck SET seen_at = UTC_TIMESTAMP(6) - INTERVAL {interval}")


def test_a_host_that_does_not_list_it_leaves_the_report_of_another(
    world: World, hosts: tuple[Host, Host], on: Callable[[Host], list[str]]
) -> None:
    for host in (*hosts, *hosts):
        on(host)
    assert reports(world) == [(STUCK, "flux-1")]
    assert [host.scanner.stuck for host in hosts] == [1, 0]


def test_each_try_confirms_the_report(
    world: World, hosts: tuple[Host, Host], on: Callable[[Host], list[str]], clock: Clock
) -> None:
    first, other = hosts
    on(first)
    age(world, "2 HOUR")
    clock.now += 1000
    on(first)
    on(other)
    assert reports(world) == [(STUCK, "flux-1")]


@pytest.mark.parametrize("interval", ["2 HOUR", "-1 YEAR"])
def test_a_report_that_is_not_confirmed_ends_and_comes_back_with_its_cause(
    world: World, hosts: tuple[Host, Host], on: Callable[[Host], list[str]], clock: Clock, interval: str
) -> None:
    first, other = hosts
    on(first)
    age(world, interval)
    on(other)
    assert reports(world) == []
    clock.now += 1000
    on(first)
    assert reports(world) == [(STUCK, "flux-1")]


def test_the_host_that_reported_it_ends_it_with_its_sentinel(
    world: World, hosts: tuple[Host, Host], on: Callable[[Host], list[str]]
) -> None:
    first, _other = hosts
    on(first)
    (world.root / "sync" / f"{STUCK}.ready").unlink()
    on(first)
    assert reports(world) == []
