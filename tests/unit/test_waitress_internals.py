"""The parts of waitress that its documentation does not promise: a release that changes them fails here."""

import errno
import http.client
import inspect
import logging
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from waitress import task, wasyncore
from waitress.channel import HTTPChannel
from waitress.server import BaseWSGIServer, TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher
from waitress.trigger import trigger

from ingestd import waitress_internals
from ingestd.waitress_internals import ACCEPT_PAUSE, Server
from support.wait import until

SETUP = Path(__file__).resolve().parents[2] / "setup.cfg"


def hello(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]


def parameters(function: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(function).parameters)


@pytest.fixture
def running() -> Iterator[tuple[Server, threading.Thread]]:
    server = Server(hello, socket.create_server(("127.0.0.1", 0)), threads=1, ident=None)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield server, thread
    server.stop(thread, 3.0)


def test_waitress_is_pinned_below_the_next_major_version() -> None:
    limit = re.search(r"^ +waitress>=.*<(\d+)$", SETUP.read_text(encoding="utf-8"), re.MULTILINE)
    assert limit is not None
    assert int(version("waitress").split(".")[0]) == int(limit[1]) - 1


def test_functions_have_the_expected_parameters() -> None:
    assert parameters(wasyncore.poll2) == ["timeout", "map"]
    assert parameters(wasyncore.loop)[:3] == ["timeout", "use_poll", "map"]
    assert parameters(wasyncore.dispatcher.close) == ["self"]
    assert parameters(ThreadedTaskDispatcher.shutdown) == ["self", "cancel_pending", "timeout"]
    assert parameters(trigger.pull_trigger) == ["self", "thunk"]
    assert task.ThreadedTaskDispatcher.queue_logger is logging.getLogger("waitress.queue")


def test_server_calls_the_loop_of_its_attribute() -> None:
    assert BaseWSGIServer.asyncore is wasyncore
    call = re.sub(r"\s+", "", inspect.getsource(BaseWSGIServer.run))
    assert "self.asyncore.loop(timeout=self.adj.asyncore_loop_timeout,map=self._map,use_poll=" in call


def test_server_has_the_expected_attributes(running: tuple[Server, threading.Thread]) -> None:
    server, _ = running
    inner = server._server
    assert isinstance(inner, TcpWSGIServer)
    assert server.address == "{}:{}".format(*inner.socket.getsockname())
    assert isinstance(inner.trigger, trigger)
    assert isinstance(inner.task_dispatcher.threads, set)
    assert set(inner._map.values()) == {inner, inner.trigger}


def test_connections_are_in_the_map_and_count_their_unsent_bytes(running: tuple[Server, threading.Thread]) -> None:
    server, _ = running
    connection = http.client.HTTPConnection(server.address, timeout=10)
    connection.request("GET", "/")
    assert connection.getresponse().read() == b"hello"
    (channel,) = server._server.active_channels.values()
    assert isinstance(channel, HTTPChannel)
    assert channel in server._server._map.values()
    until(lambda: channel.total_outbufs_len == 0, what="for the response to be sent")
    connection.close()


def test_trigger_runs_a_function_in_the_polling_thread(running: tuple[Server, threading.Thread]) -> None:
    server, thread = running
    ran_in: list[threading.Thread] = []
    server._server.trigger.pull_trigger(lambda: ran_in.append(threading.current_thread()))
    until(lambda: ran_in, what="for the function to run")
    assert ran_in == [thread]


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_without_a_descriptor_it_pauses_and_accepts_later(
    running: tuple[Server, threading.Thread], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    server, _ = running
    accept, tries = server._accept, []
    lines: list[str] = []
    monkeypatch.setattr(waitress_internals.log, "warning", lambda _event, reason: lines.append(reason), raising=False)

    def refuse() -> Any:
        tries.append(number)
        raise OSError(number, os.strerror(number))

    server._accept = refuse
    host, port = server.address.rsplit(":", 1)
    with closing(http.client.HTTPConnection(host, int(port), timeout=10.0)) as client:
        client.request("GET", "/")
        until(lambda: len(tries) >= 3, what="for tries")
        began, before = time.monotonic(), len(tries)
        until(lambda: len(tries) >= before + 2, what="for further tries")
        assert time.monotonic() - began >= ACCEPT_PAUSE
        server._accept = accept
        assert client.getresponse().read() == b"hello"
    assert lines == [os.strerror(number)]
