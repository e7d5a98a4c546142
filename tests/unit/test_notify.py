"""Messages to systemd: real datagrams to a socket in the file system, to an abstract one, or none."""

import os
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from ingestd import notify
from ingestd.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A socket like that of systemd, and its address in the notation of systemd."""
    address = str(tmp_path / "notify") if request.param == "path" else f"@ingestd-{uuid.uuid4()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(address.replace("@", "\0", 1))
        made.settimeout(5)
        yield made, address


def received(listener: socket.socket) -> list[str]:
    return listener.recv(4096).decode().splitlines()


def test_every_message(listener: tuple[socket.socket, str]) -> None:
    heard, address = listener
    notifier = Notifier(address, 30.0)
    assert notifier.is_wanted
    notifier.ready("running 1")
    assert received(heard) == ["READY=1", "STATUS=running 1"]
    notifier.status("waiting")
    assert received(heard) == ["STATUS=waiting"]
    notifier.alive()
    assert received(heard) == ["WATCHDOG=1"]
    notifier.stopping("stopping")
    assert received(heard) == ["STOPPING=1", "STATUS=stopping"]


def test_a_status_cannot_inject_other_variables(listener: tuple[socket.socket, str]) -> None:
    heard, address = listener
    Notifier(address).status("the mount\nREADY=1\r\nis \udcff away")
    assert received(heard) == ["STATUS=the mount READY=1 is ? away"]


def test_three_pings_are_sent_per_time_limit(
    listener: tuple[socket.socket, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    heard, address = listener
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(notify, "time", SimpleNamespace(monotonic=lambda: clock.now))
    notifier = Notifier(address, 30.0)
    pinged = []
    heard.setblocking(False)
    for _ in range(31):
        notifier.alive()
        try:
            pinged.append((clock.now, received(heard)))
        except BlockingIOError:
            pass
        clock.now += 1.0
    assert pinged == [(now, ["WATCHDOG=1"]) for now in (100.0, 110.0, 120.0, 130.0)]


def test_without_a_watchdog_there_are_no_pings(listener: tuple[socket.socket, str]) -> None:
    heard, address = listener
    Notifier(address).alive()
    heard.setblocking(False)
    with pytest.raises(BlockingIOError):
        heard.recv(1)


def test_without_systemd_all_is_a_no_op() -> None:
    notifier = Notifier()
    assert not notifier.is_wanted
    notifier.ready("x")
    notifier.status("x")
    notifier.alive()
    notifier.stopping("x")


def test_a_missing_or_full_socket_does_not_block(listener: tuple[socket.socket, str], tmp_path: Path) -> None:
    _, address = listener
    for _ in range(1000):
        Notifier(address).status("the queue is full long before")
    Notifier(str(tmp_path / "missing")).status("x")


def test_settings_come_from_the_environment_and_are_removed_from_it() -> None:
    environment = {
        "NOTIFY_SOCKET": "@systemd", "WATCHDOG_USEC": "300000000", "WATCHDOG_PID": str(os.getpid()), "HOME": "/",
    }  # fmt: skip
    notifier = Notifier.from_environment(environment)
    assert notifier.is_wanted
    assert notifier.watchdog == 300.0
    assert environment == {"HOME": "/"}


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"WATCHDOG_PID": "1"}, True),
        ({"WATCHDOG_USEC": "0"}, True),
        ({"WATCHDOG_USEC": "soon"}, True),
        ({"WATCHDOG_USEC": ""}, True),
        ({"NOTIFY_SOCKET": ""}, False),
    ],
)
def test_a_watchdog_that_is_not_for_this_process(changes: dict[str, str], wanted: bool) -> None:
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "1000000", **changes})
    assert notifier.is_wanted == wanted
    assert notifier.watchdog is None
