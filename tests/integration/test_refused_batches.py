"""Batches whose row the database refuses, and entries of sync/ that surprise: neither delays another bundle."""

import os
from collections.abc import Callable

import pytest

from ingestd.pipeline.scanner import Scanner
from support.scanning import recorded, write_sentinel
from support.world import World, photo

FIRST, LAST = "00000000-0000-4000-8000-000000000000", "ffffffff-ffff-4fff-bfff-ffffffffffff"
SIGNALS = {
    "values": "SQLSTATE '22003' SET MYSQL_ERRNO = 1264, MESSAGE_TEXT = 'Out of range'",
    "unlisted": "SQLSTATE 'HY000' SET MYSQL_ERRNO = 3999, MESSAGE_TEXT = 'an error that no list has'",
    "rights": "SQLSTATE '42000' SET MYSQL_ERRNO = 1142, MESSAGE_TEXT = 'command denied'",
}


@pytest.mark.parametrize("signal", SIGNALS.values(), ids=SIGNALS)
def test_a_batch_that_the_database_refuses_delays_no_other(world: World, signal: str) -> None:
    bad, good = world.put(photo("a"), sync_id=FIRST), world.put(photo("b"), sync_id=LAST)
    scanner = Scanner(world.context())
    world.sql(
        "CREATE TRIGGER refusal BEFORE INSERT ON ingest_batch FOR EACH ROW"
        f" IF NEW.sync_id = '{bad}' THEN SIGNAL {signal}; END IF"
    )
    assert scanner.scan() == [good]
    assert (scanner.stuck, scanner.unrecorded) == (1, 1)
    world.sql("DROP TRIGGER refusal")
    assert Scanner(world.context()).scan() == [bad]
    assert recorded(world) == [(good, "new"), (bad, "new")]


def make_fifo(world: World, sync_id: str) -> None:
    os.mkfifo(world.root / "sync" / f"{sync_id}.json")


def make_folder(world: World, sync_id: str) -> None:
    (world.root / "sync" / f"{sync_id}.json").mkdir()


def make_link(world: World, sync_id: str) -> None:
    (world.root / "sync" / f"{sync_id}.json").symlink_to("/etc/hostname")


def make_loop(world: World, sync_id: str) -> None:
    (world.root / "sync" / f"{sync_id}.json").symlink_to(f"{sync_id}.json")


def make_huge(world: World, sync_id: str) -> None:
    with world.file(f"sync/{sync_id}.json", b"").open("wb") as file:
        file.truncate(2**40)


@pytest.mark.parametrize("make", [make_fifo, make_folder, make_link, make_loop, make_huge])
def test_a_manifest_that_is_not_a_regular_file_delays_no_other(
    world: World, make: Callable[[World, str], None]
) -> None:
    write_sentinel(world, FIRST)
    make(world, FIRST)
    good = world.put(photo("b"), sync_id=LAST)
    Scanner(world.context()).scan()
    assert (good, "new") in recorded(world)


NAMES = [b"\xff\xfe.ready", b"x" * 249 + b".ready", "größe.ready".encode(), b".ready", b"\n.ready"]


@pytest.mark.parametrize("name", NAMES)
def test_a_surprising_name_stops_no_scan(world: World, name: bytes) -> None:
    good = world.put(photo("a"))
    folder = os.fsencode(world.root / "sync")
    os.close(os.open(os.path.join(folder, name), os.O_CREAT))
    os.mkdir(os.path.join(folder, b"folder.ready"))
    assert world.scan(world.context()) == [good]
