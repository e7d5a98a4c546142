"""HTTP requests while the database is frozen: they fail in time and do not block health checks or metrics."""

import http.client
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from ingestd.app import Daemon
from ingestd.web import read_database
from support.disposable_db import disposable_world, frozen
from support.wait import until
from support.world import World

HOST, TOKEN = "ingest.example", "a-token-of-olga-1"
PATIENCE = 25
CLIENTS = 20
"""More than there are HTTP threads."""
LISTS = ("/api/v1/batches", "/api/v1/batches?prefix=a", "/api/v1/jobs?state=done")


@dataclass(frozen=True, slots=True)
class Client:
    daemon: Daemon

    def http(self, path: str) -> tuple[int, float]:
        assert self.daemon.http is not None
        return timed(self.daemon.http.address, path)

    def metrics(self) -> tuple[int, float]:
        assert self.daemon.metrics.listener is not None
        return timed(self.daemon.metrics.listener.address, "/metrics")


def timed(address: str, path: str) -> tuple[int, float]:
    """The status of a response, and the seconds it took."""
    connection, start = http.client.HTTPConnection(address, timeout=60), time.monotonic()
    try:
        connection.request("GET", path, headers={"Host": HOST, "Authorization": f"Bearer {TOKEN}"})
        answer = connection.getresponse()
        answer.read()
        return answer.status, time.monotonic() - start
    finally:
        connection.close()


@pytest.fixture
def disposable_db(world: World) -> Iterator[World]:
    with disposable_world(world) as made:
        yield made


@pytest.fixture
def client(disposable_db: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setattr(read_database, "STATEMENT_SECONDS", 1.0)
    tokens = tmp_path / "tokens"
    tokens.write_text(f"olga:operator:{TOKEN}\n")
    http_section = {"listen": "127.0.0.1:0", "tokens_file": str(tokens), "allowed_hosts": [HOST]}
    daemon = Daemon(disposable_db.settings(http=http_section, metrics={"listen": "127.0.0.1:0"}))
    daemon.start()
    try:
        until(lambda: daemon.scanner.last_success)
        yield Client(daemon)
    finally:
        daemon.stop()


def test_reads_of_a_frozen_database_return_503(disposable_db: World, client: Client) -> None:
    assert client.http(LISTS[0])[0] == 200
    with frozen(disposable_db), ThreadPoolExecutor(len(LISTS)) as pool:
        looks = [pool.submit(client.http, path) for path in LISTS]
        while not all(look.done() for look in looks):
            (health, health_took), (metrics, metrics_took) = client.http("/healthz"), client.metrics()
            assert (health, metrics) == (200, 200)
            assert health_took < 2
            assert metrics_took < 5
        answers = [look.result() for look in looks]
        assert client.http("/readyz")[0] == 503
    assert [status for status, _ in answers] == [503] * len(LISTS)
    assert max(seconds for _, seconds in answers) < PATIENCE
    until(lambda: client.http(LISTS[0])[0] == 200)


def test_many_reads_of_a_frozen_database_do_not_block_health_checks(disposable_db: World, client: Client) -> None:
    assert client.http(LISTS[0])[0] == 200
    with frozen(disposable_db), ThreadPoolExecutor(CLIENTS) as pool:
        looks = [pool.submit(client.http, LISTS[0]) for _ in range(CLIENTS)]
        health, took = client.http("/healthz")
        assert (health, [look.result()[0] for look in looks]) == (200, [503] * CLIENTS)
        assert took < PATIENCE
        assert max(look.result()[1] for look in looks) < PATIENCE
        status, again = client.http(LISTS[0])
        assert (status, again < 1) == (503, True)
