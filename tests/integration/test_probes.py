"""The listener of metrics: health for probes, HEAD, and the hosts that it is asked for."""

import errno
import http.client
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest

from ingestd.app import Daemon
from ingestd.hosts import AllowedHosts
from ingestd.mount import helper_pool
from ingestd.web.api.health import LACKING
from support import kept_helpers
from support.elsewhere import HOST, address, http_section
from support.wait import until
from support.watching import QUIET, watching
from support.world import World, photo

PATHS = ["/metrics", "/healthz", "/readyz"]


@pytest.fixture
def daemon(world: World, tmp_path: Path) -> Iterator[Daemon]:
    metrics = {"listen": "127.0.0.1:0", "allowed_hosts": ["Ingest-1.example:9640", "bare.example"]}
    with watching(world.settings(http=http_section(tmp_path), metrics=metrics, mount=QUIET)) as made:
        yield made


def ask(server: str, path: str, method: str = "GET", host: str | None = "localhost") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(server, timeout=10)
    try:
        connection.putrequest(method, path, skip_host=True)
        if host is not None:
            connection.putheader("Host", host)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def metrics_address(daemon: Daemon) -> str:
    assert daemon.metrics.listener is not None
    return daemon.metrics.listener.address


def test_head_is_answered_wherever_get_is(daemon: Daemon) -> None:
    for path in PATHS:
        assert ask(metrics_address(daemon), path, "GET")[0] == 200
        assert ask(metrics_address(daemon), path, "HEAD") == (200, b"")
    assert ask(metrics_address(daemon), "/nothing", "HEAD") == (404, b"")
    for path in ("/healthz", "/readyz", "/static/style.css"):
        assert ask(address(daemon), path, "HEAD", HOST) == (200, b"")
    for path in ("/", "/tasks", "/api/v1/jobs", "/openapi.json"):
        assert ask(address(daemon), path, "HEAD", HOST) == (401, b"")


def test_every_route_of_the_pages_that_answers_get_answers_head(daemon: Daemon) -> None:
    rules = [rule for rule in daemon.web.url_map.iter_rules() if "GET" in (rule.methods or ())]
    assert len(rules) > 10
    assert [rule.rule for rule in rules if "HEAD" not in (rule.methods or ())] == []


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "BREW"])
def test_other_methods_are_refused(daemon: Daemon, method: str) -> None:
    assert {ask(metrics_address(daemon), path, method)[0] for path in PATHS} == {405}


def test_metrics_and_health_answer_own_names_only(daemon: Daemon) -> None:
    port = metrics_address(daemon).rpartition(":")[2]
    ours = ["localhost", f"localhost:{port}", "LOCALHOST.", f"127.0.0.1:{port}", "127.0.0.1:80", "[::1]:9640",
            socket.gethostname(), "ingest.example:1",
            "ingest-1.example:9640", "INGEST-1.example.:9640", "bare.example"]  # fmt: skip
    foreign = ["evil.example", f"evil.example:{port}", "localhost.evil.example", "ingest-1.example",
               "ingest-1.example:1", "192.0.2.1", "127.0.0.1.evil.example", "", None]  # fmt: skip
    for path in PATHS:
        assert {host: ask(metrics_address(daemon), path, host=host)[0] for host in ours} == dict.fromkeys(ours, 200)
        found = {host: ask(metrics_address(daemon), path, host=host)[0] for host in foreign}
        assert found == dict.fromkeys(foreign, 421)


@pytest.mark.parametrize("host", ["ingest.example.", "INGEST.EXAMPLE", "Ingest.Example."])
def test_pages_answer_every_spelling_of_their_host(daemon: Daemon, host: str) -> None:
    assert ask(address(daemon), "/healthz", host=host)[0] == 200


@pytest.mark.parametrize(
    ("listen", "allowed", "refused"),
    [
        ("0.0.0.0:9640", ["192.0.2.7:9640", "10.0.0.1", "[2001:db8::1]:9640"], ["evil.example:9640", "0.0.0.0.evil"]),
        ("[::]:9640", ["192.0.2.7:9640", "[2001:db8::1]:9640"], ["evil.example"]),
        ("192.0.2.7:9640", ["192.0.2.7:9640", "192.0.2.7", "localhost:9640"], ["192.0.2.8:9640", "[2001:db8::1]"]),
        ("[2001:db8::1]:9640", ["[2001:DB8:0::1]:9640", "127.0.0.1"], ["192.0.2.7"]),
        ("ingest-1.example:9640", ["ingest-1.example:9640", "INGEST-1.example."], ["ingest-2.example:9640"]),
    ],
)
def test_scraping_by_the_address_it_listens_on_works(listen: str, allowed: list[str], refused: list[str]) -> None:
    hosts = AllowedHosts(listen, [])
    assert [host for host in [*allowed, *refused] if hosts.allow(host)] == allowed


def test_health_answers_while_every_connection_of_the_pages_is_unfinished(daemon: Daemon) -> None:
    host, _, port = address(daemon).rpartition(":")
    clients = []
    try:
        for _ in range(1100):
            clients.append(socket.create_connection((host, int(port))))
            clients[-1].sendall(b"GET /healthz HTTP/1.1\r\nHost: ingest.example\r\nX-Slow: ")
        until(lambda: ask(metrics_address(daemon), "/readyz")[0] == 200, seconds=5, what="for the probe")
        assert ask(address(daemon), "/healthz", host=HOST)[0] == 200
        assert ask(address(daemon), "/api/v1/jobs", host=HOST)[0] == 401
    finally:
        for client in clients:
            client.close()


@pytest.fixture
def polling(world: World, tmp_path: Path) -> Iterator[Daemon]:
    mount = {"watch": "poll", "poll_interval": 0.1}
    with watching(world.settings(metrics={"listen": "127.0.0.1:0"}, mount=mount)) as made:
        yield made


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EAGAIN, errno.ENOMEM])
def test_readiness_names_the_shortage_for_which_the_scanner_waits(
    world: World, polling: Daemon, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def readiness() -> list[str]:
        status, body = ask(metrics_address(polling), "/readyz")
        return [] if status == 200 else list(json.loads(body)["reasons"])

    until(lambda: readiness() == [])
    monkeypatch.setattr(helper_pool, "HelperProcess", Mock(side_effect=OSError(number, os.strerror(number))))
    monkeypatch.setattr(kept_helpers, "kept", [])
    monkeypatch.setattr(polling.context.mount._pool, "_take_idle", lambda: None)
    sync_id = world.put(photo("late"))
    until(lambda: readiness() == [LACKING], what=lambda: str(readiness()))
    monkeypatch.undo()
    until(
        lambda: world.sql("SELECT 1 FROM ingest_batch WHERE sync_id = %s", sync_id) and readiness() == [],
        what=lambda: str(readiness()),
    )
