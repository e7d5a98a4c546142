"""Remote commands without the database, the mount or the daemon."""

import socket
from pathlib import Path

import pytest

from ingestd.app import Daemon
from ingestd.cli import remote
from support.command import Run
from support.elsewhere import UNKNOWN
from support.wait import until
from support.world import World, photo

# The driver leaves the socket of a connection that it could not make to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


def test_queue_prints_the_result_of_each_batch_without_the_mount(
    world: World, daemon: Daemon, run: Run, monkeypatch: pytest.MonkeyPatch, elsewhere: list[str]
) -> None:
    first, second = sorted((world.put(photo("a")), world.put(photo("b"))))
    run("scan", *elsewhere)
    assert run("queue", first, *elsewhere).code == 0
    monkeypatch.setattr(remote, "BUSY_SECONDS", 0.0)
    away = world.root.with_name("away")
    world.root.rename(away)
    try:
        queued = run("queue", first, second, *elsewhere)
    finally:
        away.rename(world.root)
    assert (queued.code, queued.stderr) == (69, "")
    assert [row["sync_id"] for row in queued.table] == [first, second]
    assert (queued.table[0]["error"], str(world.root) in queued.table[1]["error"]) == ("-", True)


def test_a_scan_waits_for_the_mount(
    world: World, daemon: Daemon, run: Run, monkeypatch: pytest.MonkeyPatch, elsewhere: list[str]
) -> None:
    sync_id = world.put(photo("a"))
    away = world.root.with_name("away")
    world.root.rename(away)
    until(lambda: not daemon.context.mount.up, what="for the mount to be missed")
    monkeypatch.setattr(remote, "GIVE_UP_SECONDS", 0.3)
    waiting = run("scan", *elsewhere)
    assert (waiting.code, waiting.stdout) == (69, "")
    assert "is queued; no host with a mount has taken it yet" in waiting.stderr
    monkeypatch.setattr(remote, "GIVE_UP_SECONDS", 60.0)
    away.rename(world.root)
    assert run("scan", *elsewhere).code == 0
    assert world.status(sync_id) == "new"
    assert world.sql("SELECT DISTINCT state FROM ingest_request") == [("done",)]


def test_an_unreachable_daemon_exits_with_69(run: Run, token: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    for command in (["scan"], ["queue", UNKNOWN, UNKNOWN], ["preflight", UNKNOWN], ["cancel", UNKNOWN]):
        code, out, err = run(*command, "--url", f"http://127.0.0.1:{port}", "--token-file", token)
        assert (code, out) == (69, "")
        assert err == f"ingestd: http://127.0.0.1:{port} is unreachable: Connection refused\n"
    for url in ("http://no.such.host.invalid", f"http://{'a' * 64}.example", "http://a..b"):
        assert run("scan", "--url", url, "--token-file", token).code == 69
