"""One listening socket: how it ends."""

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


def test_the_end_may_come_before_the_one_who_asked_for_it_is_done_asking(listener: Listener) -> None:
    """Something else may wake the thread that waits, between the asking and the waking."""
    server, thread = listener._server, listener._thread
    real = server.trigger._physical_pull

    def pull() -> None:
        os.write(server.trigger.trigger, b"x")
        until(lambda: thread is None or not thread.is_alive(), what="for the thread to end")
        real()

    server.trigger._physical_pull = pull
    listener.stop()
    assert not server._map


def test_a_request_that_outlives_the_end_finds_its_pipe_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closed, its number could by then be that of anybody's socket, which must be sent nothing."""
    begun, go_on = threading.Event(), threading.Event()

    def slow(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        begun.set()
        assert go_on.wait(30)
        return hello(environ, start_response)

    monkeypatch.setattr(listening, "DRAIN_SECONDS", 0.1)
    made = Listener("http", "127.0.0.1:0", slow, threads=1)
    made.start()
    server = made._server
    client = socket.create_connection((server.effective_host, server.effective_port))
    client.sendall(b"GET / HTTP/1.0\r\n\r\n")
    assert begun.wait(10)
    made.stop()
    os.fstat(server.trigger.trigger)
    go_on.set()
    until(lambda: not server.task_dispatcher.threads, what="for the request to end")
    client.close()
    server.trigger.close()


def test_connections_above_the_limit_do_not_stop_the_listener(listener: Listener) -> None:
    address, thread = listener.address, listener._thread
    host, _, port = address.rpartition(":")
    clients = []
    for _ in range(listening.CONNECTION_LIMIT + 100):
        clients.append(socket.create_connection((host, int(port))))
        clients[-1].sendall(b"GET / HTTP/1.1\r\n")
    until(lambda: len(listener._server._map) >= listening.CONNECTION_LIMIT, what="for the limit to be reached")
    for one in clients:
        one.close()
    assert ask(address) == b"hello"
    assert thread is not None
    assert thread.is_alive()


def test_the_limit_of_open_files_is_raised() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(before[1], 4 * listening.CONNECTION_LIMIT)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, before[1]))
    try:
        made = Listener("http", "127.0.0.1:0", hello)
        made.start()
        made.stop()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (wanted, before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_stop_closes_all_descriptors(listener: Listener) -> None:
    before = set(os.listdir("/proc/self/fd"))
    made = Listener("http", "127.0.0.1:0", hello)
    made.start()
    assert ask(made.address) == b"hello"
    made.stop()
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_sandbox_may_forbid_raising_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
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
