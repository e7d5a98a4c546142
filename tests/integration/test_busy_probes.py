"""A probe is answered in a moment while scrapes wait for a database that hangs."""

import http.client
import threading
import time

import pytest

from ingestd import metrics
from ingestd.app import Daemon
from support.disposable_db import disposable_world, frozen
from support.wait import until
from support.world import World


def ask(address: str, path: str) -> int:
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def in_progress(daemon: Daemon) -> int:
    """Requests that threads of the metrics listener work on."""
    assert daemon.metrics.listener is not None
    assert daemon.metrics.listener._running is not None
    return int(daemon.metrics.listener._running[0]._server.task_dispatcher.active_count)


def test_probe_does_not_wait_for_scrapes_of_a_frozen_database(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "PATIENCE_SECONDS", 1.0)
    with disposable_world(world) as made:
        daemon = Daemon(made.settings(metrics={"listen": "127.0.0.1:0"}))
        daemon.start()
        try:
            assert daemon.metrics.listener is not None
            address = daemon.metrics.listener.address
            until(lambda: ask(address, "/healthz") == 200, what="for the daemon")
            with frozen(made):
                scrapes = [threading.Thread(target=ask, args=(address, "/metrics")) for _ in range(2)]
                for scrape in scrapes:
                    scrape.start()
                until(lambda: in_progress(daemon) == 2, what="for both scrapes")
                began = time.monotonic()
                assert ask(address, "/healthz") == 200
                taken = time.monotonic() - began
                for scrape in scrapes:
                    scrape.join(30)
            assert taken < 0.7
        finally:
            daemon.stop()
