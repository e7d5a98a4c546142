"""A listener: connections beyond its limit, open files, and its end."""

import http.client
import os
import resource
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from ingestd import listener as listening
from ingestd.listener import Listener
from support.wait import until


def hello(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]


def inner(listener: Listener) -> Any:
    """The server of waitress."""
    assert listener._running is not None
    return listener._running[0]._server


def thread_of(listener: Listener) -> threading.Thread:
    assert listener._running is not None
    return listener._running[1]


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener("http", "127.0.0.1:0", hello)
    made.start()
    yield made
    made.stop()


def ask(address: str) -> bytes:
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read()
    finally:
        connection.close()


def test_thread_may_end_before_stop_has_pulled_the_trigger(listener: Listener) -> None:
    """Something else may wake the polling thread between the order to close and the pull that wakes it."""
    server, thread = inner(listener), thread_of(listener)
    real = server.trigger._physical_pull

    def pull() -> None:
        os.write(server.trigger.trigger, b"x")
        until(lambda: not thread.is_alive(), what="for the thread to end")
        real()

    server.trigger._physical_pull = pull
    listener.stop()
    assert not server._map


def test_request_that_outlives_the_listener_finds_its_pipe_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of a closed pipe may belong to another socket, and must not be written to."""
    begun, go_on = threading.Event(), threading.Event()

    def slow(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        begun.set()
        assert go_on.wait(30)
        return hello(environ, start_response)

    monkeypatch.setattr(listening, "DRAIN_SECONDS", 0.1)
    made = Listener("http", "127.0.0.1:0", slow, threads=1)
    made.start()
    server = inner(made)
    client = socket.create_connection((server.effective_host, server.effective_port))
    client.sendall(b"GET / HTTP/1.0\r\n\r\n")
    assert begun.wait(10)
    made.stop()
    os.fstat(server.trigger.trigger)
    go_on.set()
    until(lambda: not server.task_dispatcher.threads, what="for the request to end")
    client.close()
    server.trigger.close()


def test_listener_survives_more_connections_than_its_limit(listener: Listener) -> None:
    address, thread = listener.address, thread_of(listener)
    host, _, port = address.rpartition(":")
    clients = []
    for _ in range(listening.CONNECTION_LIMIT + 100):
        clients.append(socket.create_connection((host, int(port))))
        clients[-1].sendall(b"GET / HTTP/1.1\r\n")
    until(lambda: len(inner(listener)._map) >= listening.CONNECTION_LIMIT, what="for the limit to be reached")
    for client in clients:
        client.close()
    assert ask(address) == b"hello"
    assert thread.is_alive()


def test_limit_of_open_files_is_raised() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(before[1], listening.WANTED_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, before[1]))
    try:
        made = Listener("http", "127.0.0.1:0", hello)
        made.start()
        made.stop()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (wanted, before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_stop_closes_every_file(listener: Listener) -> None:
    before = set(os.listdir("/proc/self/fd"))
    made = Listener("http", "127.0.0.1:0", hello)
    made.start()
    assert ask(made.address) == b"hello"
    made.stop()
    assert set(os.listdir("/proc/self/fd")) == before


def test_listener_starts_where_a_sandbox_keeps_the_limit_of_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbid(_kind: int, _limits: tuple[int, int]) -> None:
        raise ValueError("not allowed to raise maximum limit")

    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, before[1]))
    try:
        monkeypatch.setattr(resource, "setrlimit", forbid)
        made = Listener("http", "127.0.0.1:0", hello)
        made.start()
        assert ask(made.address) == b"hello"
        made.stop()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 1024
    finally:
        monkeypatch.undo()
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("files", [64, 128, 256, 1024])
def test_idle_connections_to_two_listeners_leave_files_to_the_rest(files: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With any limit of open files, which the process cannot raise; idle connections have a temporary file each."""
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (files, files))
    pair = [Listener(section, "127.0.0.1:0", hello) for section in ("http", "metrics")]
    before = len(os.listdir("/proc/self/fd"))
    clients = []
    try:
        for made in pair:
            made.start()
            host, _, port = made.address.rpartition(":")
            for _ in range(300):
                clients.append(socket.create_connection((host, int(port))))
                clients[-1].sendall(b"POST / HTTP/1.1\r\nContent-Length: 60000\r\n\r\n" + b"x" * 40000)
        for made in pair:
            assert ask(made.address) == b"hello"
        opened = len(os.listdir("/proc/self/fd")) - before - len(clients)
        assert opened <= files * 5 / 8, f"{opened} files of {files}"
    finally:
        for client in clients:
            client.close()
        for made in pair:
            made.stop()
