"""Exit statuses and messages of failing commands, and hostile text on a terminal."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click import Context

from ingestd import cli
from ingestd.mount.mountinfo import MountPoint
from ingestd.store.queries import jobs
from support.command import UNKNOWN, Run
from support.world import World, photo

HOSTILE = "a\x1b[31mb\nc\td\x9be\u202ef"
UNPRINTABLE = set("\x1b\x9b\u202e\t")


@pytest.mark.parametrize(
    "arguments",
    [["scan"], ["status"], ["batches"], ["jobs"], ["pause"], ["migrate"], ["queue", UNKNOWN, UNKNOWN],
     ["cancel", UNKNOWN], ["status", UNKNOWN]],
)  # fmt: skip
def test_an_unreachable_database_exits_with_69(
    configured: World, run: Run, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INGESTD_DATABASE__UNIX_SOCKET", "/nowhere/mariadb.sock")
    code, out, err = run(*arguments)
    assert (code, out) == (69, "")
    assert err.startswith("ingestd: the database at /nowhere/mariadb.sock is out of reach: ")
    assert err.count("\n") == 1


def test_an_absent_mount_exits_with_69(configured: World, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    sync_id = configured.put(photo("a"))
    run("scan")
    monkeypatch.setenv("INGESTD_MOUNT__ROOT", "/nowhere")
    code, out, err = run("scan")
    assert (code, out, err.count("\n")) == (69, "", 1)
    assert err.startswith("ingestd: ")
    assert run("status", sync_id).code == 0, "status needs no mount"
    monkeypatch.setenv("INGESTD_MOUNT__ROOT", str(configured.root))
    monkeypatch.setenv("INGESTD_MOUNT__REQUIRE_MOUNT", "true")
    monkeypatch.setattr("ingestd.mount.access.mount_point", lambda *_: MountPoint(1, "0:1", "/", "ext4"))
    assert run("scan").code == 69


def test_all_configuration_errors_are_reported_at_once(
    configured: World, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "ingestd.toml"
    file.write_text("[worker]\nthreads = 0\nspeed = 9\n")
    monkeypatch.setenv("INGESTD_SPEED", "9")
    code, out, err = run("--config", file, "status")
    assert (code, out) == (78, "")
    assert all(key in err for key in ("worker.threads", "worker.speed", "INGESTD_SPEED", str(file)))
    assert run("--config", tmp_path / "nowhere.toml", "doctor").code == 78


def test_a_refused_account_is_a_configuration_error(
    configured: World, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INGESTD_DATABASE__USER", "stranger")
    code, out, err = run("status")
    assert (code, out, err.count("\n")) == (78, "", 1)
    assert "refuses the account of [database] user: Access denied for user 'stranger'" in err


def test_help_and_version_need_no_configuration(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGESTD_NONSENSE", "1")
    assert run("--version").code == 0
    for command in cli.cli.list_commands(Context(cli.cli)):
        result = run(command, "--help")
        assert (result.code, result.stderr) == (0, "")
        assert re.match(rf"Usage: .*ingestd {command} ", result.stdout)


def test_an_interrupted_command_exits_with_130(configured: World, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(jobs, "active", interrupted)
    assert run("jobs") == (130, "", "\ningestd: interrupted\n")


@pytest.fixture
def hostile(configured: World, run: Run) -> str:
    """A batch; every printed text that may come from outside is hostile."""
    sync_id = configured.put(photo("a"))
    run("scan")
    run("queue", sync_id)
    configured.sql("UPDATE import_job SET last_error = %s, claimed_by = %s, requested_by = %s", *[HOSTILE] * 3)
    configured.sql("UPDATE ingest_batch SET source_host = %s, last_error = %s, type = %s", *[HOSTILE] * 3)
    configured.sql("UPDATE ingest_batch_item SET last_error = %s", HOSTILE)
    run("pause", "--reason", HOSTILE)
    return sync_id


@pytest.mark.parametrize("command", ["status", "status ID", "status ID --items", "batches", "jobs"])
def test_hostile_text_is_escaped(run: Run, hostile: str, command: str) -> None:
    arguments = command.replace("ID", hostile).split()
    result = run(*arguments)
    assert "a\\x1b[31mb\\nc\\td\\x9be\\u202ef" in result.stdout
    assert not UNPRINTABLE & set(result.stdout)
    assert HOSTILE in strings(run(*arguments, "--json").json)


def strings(value: Any) -> Iterator[str]:
    """All strings in a JSON value."""
    if isinstance(value, str):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from strings(part)


def test_hostile_text_in_messages_is_escaped(configured: World, run: Run) -> None:
    sync_id = configured.put(photo("a"), status=HOSTILE)
    scanned = run("scan")
    for result in (scanned, run("preflight", sync_id), run("queue", sync_id), run("status", "\x1b[1m")):
        shown = result.stdout + result.stderr
        assert "\\x1b" in shown
        assert not UNPRINTABLE & set(shown)
