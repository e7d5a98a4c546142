"""A process that lacks threads or descriptors for a while: what could not be read then is read afterwards."""

import errno
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ingestd.errors import DatabaseUnavailable, MountUnavailable, Shortage
from ingestd.mount import access
from ingestd.pipeline.scanner import Scanner
from support.hanging import Hanging
from support.scanning import recorded
from support.wait import until
from support.world import World, photo


class Scarce(threading.Thread):
    """Threads of which some cannot be started."""

    left = 0

    def start(self) -> None:
        if Scarce.left > 0:
            Scarce.left -= 1
            raise RuntimeError("can't start new thread")
        super().start()


@pytest.mark.parametrize("failures", [1, 5, 40])
def test_bundles_are_read_once_threads_can_be_started_again(
    world: World, monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    scanner = Scanner(world.context())
    scanner.scan()
    bundles = {world.put(photo(str(number))) for number in range(12)}
    monkeypatch.setattr("ingestd.pipeline.reads.threading.Thread", Scarce)
    Scarce.left = failures
    scanner.name(bundles)
    for _ in range(failures + 1):
        with suppress(MountUnavailable):
            scanner.run_once()
    assert Scarce.left == 0
    assert {sync_id for sync_id, _ in recorded(world)} == bundles
    assert scanner.unrecorded == 0


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EMFILE, "Too many open files"),
        DatabaseUnavailable("it is away"),
        MemoryError(),
        RuntimeError("no"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_while_the_mount_is_checked_costs_no_reader(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    context = world.context(mount={"deadline": 0.1})
    scanner, hanging = Scanner(context), Hanging(monkeypatch, context)
    scanner.scan()
    bundles = {world.put(photo(str(number))) for number in range(6)}
    hanging.names.update(bundles)
    real, main = context.mount.check, threading.get_ident()

    def check() -> Any:
        if threading.get_ident() != main:
            raise error
        return real()

    monkeypatch.setattr(context.mount, "check", check)
    scanner.name(bundles)
    for _ in bundles:
        try:
            scanner.run_once()
        except (DatabaseUnavailable, Shortage):
            scanner.name(bundles)
    hanging.release()
    monkeypatch.setattr(context.mount, "check", real)

    def read_all() -> bool:
        scanner.name(bundles)
        with suppress(DatabaseUnavailable, Shortage):  # of a reading that met the error before
            scanner.run_once()
        return {sync_id for sync_id, _ in recorded(world)} == bundles

    until(read_all)


def test_too_few_descriptors_are_an_outage(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    mount = world.context().mount

    def refuse(_root: Path) -> Any:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(access, "mount_point", refuse)
    with pytest.raises(MountUnavailable, match="Too many open files"):
        mount.check()
