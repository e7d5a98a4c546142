"""Secret files that other users can read or replace: doctor names them with a remedy, and the daemon warns at start."""

from pathlib import Path

import pytest

from ingestd.config import Settings, exposed_secrets
from support.command import Run
from support.process import daemons_of
from support.world import World

TOKENS = "olga:operator:a-token-of-olga-1\n"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.write_text(TOKENS)
    file.chmod(0o600)
    return file


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o440, 0o640])
def test_file_of_its_owner_and_group_is_private(mode: int, secret: Path) -> None:
    secret.chmod(mode)
    assert list(exposed_secrets(Settings(http={"tokens_file": str(secret)}))) == []


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o660, 0o666, 0o777, 0o444])
@pytest.mark.parametrize(
    ("section", "key"), [("http", "tokens_file"), ("database", "password_file"), ("migrate", "password_file")]
)
def test_file_open_to_others_is_found(section: str, key: str, mode: int, secret: Path) -> None:
    secret.chmod(mode)
    assert list(exposed_secrets(Settings.model_validate({section: {key: str(secret)}}))) == [secret]


def test_missing_file_is_not_reported_here(tmp_path: Path) -> None:
    for name in (str(tmp_path / "gone"), "credential", "", "a\0b"):
        assert list(exposed_secrets(Settings(http={"tokens_file": name}))) == []


def test_doctor_names_the_file_and_the_remedy(
    configured: World, run: Run, monkeypatch: pytest.MonkeyPatch, secret: Path
) -> None:
    monkeypatch.setenv("INGESTD_HTTP__TOKENS_FILE", str(secret))
    assert run("doctor").code == 0
    secret.chmod(0o644)
    result = run("doctor")
    assert result.code == 1
    lines = result.stdout.splitlines()
    place = lines.index(f"FAIL  secret file: other users can read or replace {secret}")
    assert lines[place + 1].strip() == f"chmod 600 {secret}"
    assert result.stdout.count("FAIL") == 1


def test_daemon_warns_at_start(world: World, tmp_path: Path, secret: Path) -> None:
    secret.chmod(0o644)
    with daemons_of(world, tmp_path) as daemons:
        process = daemons.start(http={"listen": "127.0.0.1:0", "tokens_file": str(secret)})
        process.wait_until_started()
        assert process.says("level=warning", "event=secret_exposed", str(secret))
        assert process.terminate(30) == 0


def test_daemon_names_the_line_of_a_short_token_at_start(world: World, tmp_path: Path, secret: Path) -> None:
    secret.write_text(f"{TOKENS}victor:viewer:hunter2\n")
    with daemons_of(world, tmp_path) as daemons:
        process = daemons.start(http={"listen": "127.0.0.1:0", "tokens_file": str(secret)})
        process.wait_until_started()
        assert process.says("event=token_ignored", "line=2")
        assert "hunter2" not in process.log
