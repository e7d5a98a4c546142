"""The commands run and migrate, and the installed program."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ingestd.app import Daemon
from ingestd.config import Settings
from ingestd.pipeline.context import Context
from ingestd.signals import Signals
from support.command import Result, Run
from support.wait import PATIENCE, until
from support.world import World, photo


def test_migrate(configured: World, run: Run, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setenv("INGESTD_MIGRATE__USER", "root")
    assert run("migrate") == (0, "", "ingestd: the schema is up to date\n")
    assert run("migrate", "--json") == (0, "[]\n", "")
    configured.sql("CREATE DATABASE fresh CHARACTER SET utf8mb4")
    request.addfinalizer(lambda: configured.sql("DROP DATABASE fresh"))
    monkeypatch.setenv("INGESTD_DATABASE__NAME", "fresh")
    result = run("migrate")
    assert (result.code, result.stderr) == (0, "")
    assert "0001_ingest" in result.stdout.splitlines()
    assert run("migrate").stdout == ""


def test_run_starts_the_daemon_with_the_settings(configured: World, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Settings] = []
    monkeypatch.setattr(Daemon, "__init__", lambda _, settings, _notifier: started.append(settings))
    monkeypatch.setattr(Daemon, "run", lambda _: None)
    assert run("run") == (0, "", "")
    assert started[0].mount.root == configured.root


def test_run_embedded_creates_and_migrates_a_private_database(
    world: World, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    started_with: list[Settings] = []

    def check(daemon: Daemon, _signals: Signals) -> None:
        settings = daemon.context.settings
        started_with.append(settings)
        assert checks_of(daemon.context) == {"paused": 0}
        daemon.context.db.close()

    def checks_of(context: Context) -> dict[str, Any]:
        def paused(tx: Any) -> int:
            with tx.connection.cursor() as cursor:
                cursor.execute("SELECT paused FROM ingest_control")
                return int(cursor.fetchone()[0])

        return {"paused": context.db.read(paused)}

    monkeypatch.setattr(Daemon, "run", check)
    result = run("run", "--embedded", tmp_path / "db")
    assert (result.code, result.stdout) == (0, "")
    (settings,) = started_with
    assert settings.database.user == "ingestd"
    assert f"INGESTD_DATABASE__UNIX_SOCKET={settings.database.unix_socket}" in result.stderr
    assert not Path(settings.database.unix_socket).exists()


def program(*arguments: str) -> Result:
    command = [sys.executable, "-m", "ingestd", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    return Result(done.returncode, done.stdout, done.stderr)


def test_a_successful_command_prints_only_data(configured: World, context: Context) -> None:
    sync_id = configured.put(photo("a"))
    scanned = program("scan", "--json")
    assert (scanned.code, scanned.stderr) == (0, "")
    assert [row["sync_id"] for row in scanned.json] == [sync_id]
    queued = program("queue", sync_id)
    assert (queued.code, queued.stderr) == (0, "")


def test_the_daemon_runs_until_sigterm(configured: World, tmp_path: Path) -> None:
    sync_id = configured.put(photo("a"))
    others = {"INGESTD_QUEUE__AUTO": '["create"]', "INGESTD_HTTP__LISTEN": "", "INGESTD_METRICS__LISTEN": ""}
    with (tmp_path / "log").open("w") as log:
        command = [sys.executable, "-m", "ingestd", "run"]
        daemon = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env={**os.environ, **others})
    try:
        until(lambda: configured.sql("SELECT 1 FROM ingest_batch WHERE sync_id = %s AND status = 'imported'", sync_id))
    finally:
        daemon.terminate()
        out, _ = daemon.communicate(timeout=PATIENCE)
    assert (daemon.returncode, out) == (0, b"")
    assert "event=started" in (tmp_path / "log").read_text()
