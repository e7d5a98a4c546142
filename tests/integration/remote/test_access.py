"""Tokens, hosts, options and certificates of remote commands."""

import ssl
from pathlib import Path

import pytest

from ingestd.app import Daemon
from support.certificates import self_signed
from support.command import Run
from support.elsewhere import HOST, UNKNOWN, address
from support.proxy import reverse_proxy
from support.world import World, photo

# access


def test_a_refused_token_or_host_says_what_to_check(
    world: World, daemon: Daemon, run: Run, elsewhere: list[str], token: Path
) -> None:
    token.write_text("a-token-of-victor")
    views = run("scan", *elsewhere)
    assert (views.code, views.stdout) == (78, "")
    assert "victor is a viewer; only operators may change anything; check that the token" in views.stderr
    token.write_text("unknown-token")
    unknown = run("queue", UNKNOWN, *elsewhere)
    assert (unknown.code, unknown.stdout) == (78, "")
    assert "tokens_file" in unknown.stderr
    token.write_text("a-token-of-olga-1")
    direct = run("cancel", UNKNOWN, "--url", f"http://{address(daemon)}", "--token-file", token)
    assert (direct.code, direct.stdout) == (78, "")
    assert "allowed_hosts" in direct.stderr


@pytest.mark.parametrize(
    "content", [None, b"", b"\n", b"t\xc3\xb6ken", b"two\nlines", b"\xff\xfe", b"a\x00b", "folder"]
)
def test_a_token_file_without_a_token_is_a_configuration_error(
    run: Run, tmp_path: Path, content: bytes | str | None
) -> None:
    file = tmp_path / "secret"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is not None:
        file.mkdir()
    result = run("scan", "--url", "http://127.0.0.1:1", "--token-file", file)
    assert (result.code, result.stdout) == (78, "")
    assert str(file) in result.stderr
    assert "two" not in result.stderr


@pytest.mark.parametrize(
    "options",
    [
        ["--url", "http://h"], ["--token-file", "f"], *(
            ["--url", url, "--token-file", "f"]
            for url in ("", "h", "h:80", "ftp://h", "http://", "http://:80", "http://u:p@h", "http://h:x", "http://h:99999",
                        "http://h?a=b", "http://h/#a", "http://[::1", "http://h/a b", "http://h\n", "http://hü")
        ),
    ],
)  # fmt: skip
def test_wrong_options_are_a_usage_error(run: Run, options: list[str]) -> None:
    result = run("cancel", UNKNOWN, *options)
    assert (result.code, result.stdout) == (2, "")
    assert "Usage: " in result.stderr


def test_batches_are_queued_oldest_first_remotely(world: World, daemon: Daemon, run: Run, elsewhere: list[str]) -> None:
    newest, middle, oldest = (world.put(photo(str(day)), day=day) for day in (3, 2, 1))
    assert run("scan", *elsewhere).code == 0
    result = run("queue", newest, middle, UNKNOWN, oldest, *elsewhere, "--json").json
    assert [row["sync_id"] for row in result] == [newest, middle, UNKNOWN, oldest]
    assert result[3]["job_id"] < result[1]["job_id"] < result[0]["job_id"]


# TLS


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate for 127.0.0.1, and its key."""
    return self_signed(tmp_path / "proxy.pem", "127.0.0.1")


def test_the_certificate_must_be_trusted(
    world: World, daemon: Daemon, run: Run, monkeypatch: pytest.MonkeyPatch, token: Path, certificate: Path
) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    with reverse_proxy(address(daemon), HOST, tls) as proxy:
        options = ["--url", proxy.url, "--token-file", token]
        refused = run("scan", *options)
        assert (refused.code, refused.stdout, proxy.seen) == (78, "", [])
        assert "has a certificate that is not trusted: self-signed certificate" in refused.stderr
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert run("scan", *options) == (0, "", "ingestd: nothing new\n")
        assert run("scan", "--url", proxy.url.replace("https", "http"), "--token-file", token).code in (1, 69)
    with reverse_proxy(address(daemon), HOST) as proxy:
        wrong = run("scan", "--url", proxy.url.replace("http", "https"), "--token-file", token)
        assert (wrong.code, wrong.stdout) == (69, "")
