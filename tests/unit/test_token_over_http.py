"""A token that crosses a network unencrypted is announced with a warning."""

from pathlib import Path

import pytest

from ingestd.cli.client import as_url
from support.command import UNKNOWN, Run, commands

OVERHEARD = ["http://ingest.example", "http://192.0.2.7:8640/", "http://[2001:db8::1]/ingest", "http://0.0.0.0:1",
             "http://localhost.example", "HTTP://ingest.example"]  # fmt: skip
PRIVATE = ["https://ingest.example", "https://192.0.2.7/", "http://localhost:8640", "http://127.0.0.1:8640",
           "http://[::1]:8640", "http://127.9.9.9", "HTTPS://ingest.example"]  # fmt: skip


@pytest.mark.parametrize("url", OVERHEARD)
def test_plain_http_to_another_host_can_be_overheard(url: str) -> None:
    assert as_url(url).is_overheard


@pytest.mark.parametrize("url", PRIVATE)
def test_tls_and_loopback_cannot(url: str) -> None:
    assert not as_url(url).is_overheard


@pytest.mark.parametrize("command", [("scan",), ("preflight", UNKNOWN), ("queue", UNKNOWN), ("cancel", UNKNOWN)])
def test_commands_warn_once_and_go_on(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    token = tmp_path / "token"
    token.write_text("a-token-of-olga-1")
    with commands(monkeypatch, capsys) as run:
        assert_warned(run, command, token, "http://0.0.0.0:1", times=1)
        assert_warned(run, command, token, "http://127.0.0.1:1", times=0)


def assert_warned(run: Run, command: tuple[str, ...], token: Path, url: str, *, times: int) -> None:
    result = run(*command, "--url", url, "--token-file", token)
    assert (result.code, result.stdout) == (69, ""), "there is no daemon"
    assert result.stderr.count("warning: the token is sent to http://0.0.0.0:1 unencrypted") == times
    assert "a-token-of-olga-1" not in result.stderr
