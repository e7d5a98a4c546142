"""Clients that never finish: they are closed for others, and what they send is not kept."""

import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ingestd import listener as listening
from ingestd.listener import CONNECTION_LIMIT, KEPT_BODY_BYTES, MAX_BODY_BYTES, MAX_HEADER_BYTES, Listener
from support.logged import Logged, logged_by

ANSWER_SECONDS = 15.0
"""on a busy machine; what must not happen is to wait for the end of slow clients, half a minute or more"""
CLIENTS = 200


def length(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answers with the announced length of the body, and the length that was kept."""
    text = f"{environ.get('CONTENT_LENGTH', '0')} {len(environ['wsgi.input'].read())}".encode()
    start_response("200 OK", [("Content-Length", str(len(text)))])
    return [text]


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Logged:
    return logged_by(listening, monkeypatch)


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener("http", "127.0.0.1:0", length)
    made.start()
    yield made
    made.stop()


def connect(listener: Listener) -> socket.socket:
    host, _, port = listener.address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=30)


def begun(listener: Listener, sent: bytes, count: int) -> list[socket.socket]:
    clients = []
    for _ in range(count):
        clients.append(connect(listener))
        clients[-1].sendall(sent)
    return clients


def answer(client: socket.socket) -> bytes:
    with client.makefile("rb") as stream:
        return stream.read()


def ask(listener: Listener, request: bytes) -> bytes:
    with connect(listener) as client:
        client.sendall(request)
        return answer(client)


UNFINISHED = [
    b"", b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nX: ", b"\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n",
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
]  # fmt: skip


@pytest.mark.parametrize("sent", UNFINISHED)
def test_listener_answers_while_all_its_connections_are_unfinished(
    sent: bytes, listener: Listener, monkeypatch: pytest.MonkeyPatch, logged: Logged
) -> None:
    """The last shape is a finished request on a connection that stays open."""
    monkeypatch.setattr(listening, "CONNECTION_LIMIT", 20)
    small = Listener("http", "127.0.0.1:0", length)
    small.start()
    clients = begun(small, sent, 40)
    try:
        began = time.monotonic()
        assert ask(small, b"GET / HTTP/1.0\r\n\r\n").endswith(b"0 0")
        assert time.monotonic() - began < ANSWER_SECONDS
        assert len(logged.of("connections_closed")) == 1, "one line a minute"
    finally:
        for client in clients:
            client.close()
        small.stop()


def test_request_that_is_being_answered_keeps_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "CONNECTION_LIMIT", 3)
    read, write = os.pipe()

    def slow(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/slow":
            os.read(read, 1)
        return length(environ, start_response)

    made = Listener("http", "127.0.0.1:0", slow)
    made.start()
    try:
        with connect(made) as waiting:
            waiting.sendall(b"GET /slow HTTP/1.0\r\n\r\n")
            others = begun(made, b"GET /", 20)
            assert ask(made, b"GET / HTTP/1.0\r\n\r\n").endswith(b"0 0")
            os.write(write, b"x")
            assert answer(waiting).endswith(b"0 0")
            for other in others:
                other.close()
    finally:
        made.stop()
        os.close(read)
        os.close(write)


def test_eleven_hundred_unfinished_requests_do_not_close_the_listener(listener: Listener) -> None:
    clients = begun(listener, b"GET / HTTP/1.1\r\nX-Slow: ", CONNECTION_LIMIT + 100)
    try:
        began = time.monotonic()
        assert ask(listener, b"GET / HTTP/1.0\r\n\r\n").endswith(b"0 0")
        assert time.monotonic() - began < ANSWER_SECONDS
    finally:
        for client in clients:
            client.close()


SIZED = b"POST / HTTP/1.0\r\nContent-Length: %d\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNK = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "announced", "kept"),
    [
        (SIZED % 5 + b"12345", 5, 5),
        (SIZED % 65536 + b"x" * 65536, 65536, 65536),
        (CHUNKED + CHUNK + b"0\r\n\r\n", 65536, 65536),
    ],
)  # fmt: skip
def test_body_within_the_limit_is_read(request_bytes: bytes, announced: int, kept: int, listener: Listener) -> None:
    assert ask(listener, request_bytes).endswith(f"{announced} {kept}".encode())


@pytest.mark.parametrize(
    ("request_bytes", "announced"),
    [
        (SIZED % 900_000 + b"x" * 900_000, 900_000),
        (CHUNKED + 3 * CHUNK + b"0\r\n\r\n", 196_608),
    ],
)  # fmt: skip
def test_larger_body_is_counted_and_not_kept(request_bytes: bytes, announced: int, listener: Listener) -> None:
    sizes = ask(listener, request_bytes).split(b"\r\n\r\n")[1].split()
    assert int(sizes[0]) == announced
    assert int(sizes[1]) <= KEPT_BODY_BYTES


def test_body_beyond_all_limits_is_refused_at_once(listener: Listener) -> None:
    assert b" 413 " in ask(listener, SIZED % (MAX_BODY_BYTES + 1))
    assert b" 431 " in ask(listener, b"GET / HTTP/1.0\r\nX: ".ljust(MAX_HEADER_BYTES, b"x"))


def test_unfinished_bodies_fill_no_memory(listener: Listener) -> None:
    before = resident()
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
    clients = begun(listener, head + b"x" * 500_000, CLIENTS)
    try:
        assert ask(listener, b"GET / HTTP/1.0\r\n\r\n").endswith(b"0 0")
        assert resident() - before < CLIENTS * 2**17, "each keeps far less than it has sent"
    finally:
        for client in clients:
            client.close()


def resident() -> int:
    """Bytes of memory that this process uses."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
