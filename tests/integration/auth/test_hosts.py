"""Hosts and sites that are let in, and the addresses a daemon may listen on."""

from pathlib import Path
from typing import Any

import pytest

from ingestd.config import Settings
from ingestd.errors import ConfigError
from ingestd.web import make_listener
from support.door import ACTS, HEALTH, HOSTS, LOOKS, NOWHERE, Door, every_act

# hosts and sites


@pytest.mark.parametrize(("method", "path"), LOOKS + ACTS + HEALTH + NOWHERE)
def test_a_foreign_host_is_answered_nowhere(door: Door, method: str, path: str) -> None:
    for host in ("evil.example", f"{HOSTS[0]}:80", f"{HOSTS[0]}.evil.example", f"evil.example, {HOSTS[0]}", "", None):
        assert door.ask(method, path, "operators-op-token", Host=host) == 421
    assert door.requests == []


@pytest.mark.parametrize("host", [*HOSTS, "INGESTD.Test"])
def test_every_allowed_host_is_answered(door: Door, host: str) -> None:
    assert door.ask("GET", "/api/v1/jobs", "operators-op-token", Host=host) == 200


CROSS_SITE: list[dict[str, str]] = [
    {"Sec_Fetch_Site": "cross-site"},
    {"Sec_Fetch_Site": "same-site"},
    {"Sec_Fetch_Site": "odd"},
    {"Sec_Fetch_Site": ""},
    {"Sec_Fetch_Site": "cross-site", "Origin": f"https://{HOSTS[0]}"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": HOSTS[0]},
    {"Origin": f"ftp://{HOSTS[0]}"},
    {"Origin": f"https://{HOSTS[0]}.evil.example"},
]
SAME_SITE: list[dict[str, str]] = [
    {},
    {"Sec_Fetch_Site": "same-origin"},
    {"Sec_Fetch_Site": "none"},
    {"Sec_Fetch_Site": "same-origin", "Origin": "https://proxy.example"},
    {"Origin": f"http://{HOSTS[0]}"},
    {"Origin": f"https://{HOSTS[1]}"},
]


@every_act
def test_a_post_from_another_site_is_refused(door: Door, method: str, path: str) -> None:
    for headers in CROSS_SITE:
        assert door.ask(method, path, "operators-op-token", **headers) == 403, headers
    assert door.requests == []


def test_a_post_from_here_is_taken(door: Door) -> None:
    for headers in SAME_SITE:
        assert door.ask("POST", "/api/v1/scan", "operators-op-token", **headers) == 202, headers
    assert len(door.requests) == len(SAME_SITE)


def test_looking_is_not_acting(door: Door) -> None:
    assert door.ask("GET", "/api/v1/jobs", "operators-op-token", Sec_Fetch_Site="cross-site") == 200


def test_answers_are_neither_kept_nor_guessed_at(door: Door) -> None:
    for token in ("operators-op-token", "wrong"):
        _, headers, _ = door.answer("GET", "/api/v1/jobs", token)
        assert (headers["Cache-Control"], headers["X-Content-Type-Options"]) == ("no-store", "nosniff")


# where it listens


def listen(listen: str, tokens_file: str = "") -> Any:
    settings = Settings(http={"listen": listen, "tokens_file": tokens_file})
    return make_listener(settings, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:80", "example.org:80", "localhost.example:80"])
def test_without_a_tokens_file_only_loopback_is_allowed(address: str, tokens: Path) -> None:
    with pytest.raises(ConfigError, match=r"others can reach \[http\] listen .* needs \[http\] tokens_file"):
        listen(address)
    with pytest.raises(ConfigError, match="cannot read the secret file"):
        listen(address, str(tokens.with_name("gone")))
    assert listen(address, str(tokens)) is not None


@pytest.mark.parametrize("address", ["127.0.0.1:0", "127.9.9.9:0", "[::1]:0", "localhost:0"])
def test_loopback_needs_no_tokens_file(address: str) -> None:
    assert listen(address) is not None


def test_no_address_no_listener() -> None:
    assert listen("") is None
