"""Who is let in: hosts, sites, tokens and roles, on every route, over a real listener."""

import http.client
import json
import os
import threading
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from ingestd.app import make_context
from ingestd.config import Settings
from ingestd.errors import ConfigError
from ingestd.web import Hooks, make_app, make_listener
from ingestd.web.security.tokens import Identity, parse
from support.world import World, photo

HOSTS = ["ingestd.test", "127.0.0.1:8640"]
SYNC_ID = "00000000-0000-4000-8000-000000000000"
LOOKS = [
    ("GET", path)
    for path in (
        "/api/v1/batches", f"/api/v1/batches/{SYNC_ID}", f"/api/v1/batches/{SYNC_ID}/items",
        f"/api/v1/batches/{SYNC_ID}/events", "/api/v1/jobs", "/api/v1/jobs/1", "/api/v1/requests/1",
        "/openapi.json",
    )
]  # fmt: skip
ACTS = [
    ("POST", path)
    for path in (
        f"/api/v1/batches/{SYNC_ID}/queue", f"/api/v1/batches/{SYNC_ID}/cancel",
        f"/api/v1/batches/{SYNC_ID}/preflight", "/api/v1/queue", "/api/v1/scan", "/api/v1/pause", "/api/v1/resume",
    )
]  # fmt: skip
HEALTH = [("GET", "/healthz"), ("GET", "/readyz")]
NOWHERE = [("GET", "/nothing"), ("GET", "/api/v1/nothing"), ("DELETE", "/api/v1/jobs"), ("BREW", "/coffee")]

every_closed_route = pytest.mark.parametrize(("method", "path"), LOOKS + ACTS + NOWHERE)
every_act = pytest.mark.parametrize(("method", "path"), ACTS)


class Door:
    """A server, and its responses to access attempts."""

    def __init__(self, world: World, **http_section: Any) -> None:
        self.settings = world.settings(http={"listen": "127.0.0.1:0", "allowed_hosts": HOSTS, **http_section})
        self.context = make_context(self.settings)
        world.contexts.append(self.context)
        self.requests: list[str] = []
        self.web = make_app(self.context, Hooks(lambda: None, lambda: self.requests.append("request"), list))
        listener = make_listener(self.settings, self.web)
        assert listener is not None
        self.listener = listener
        self.listener.start()

    def ask(self, method: str, path: str, token: str | bytes | None = None, **headers: str | None) -> int:
        return self.answer(method, path, token, **headers)[0]

    def answer(
        self, method: str, path: str, token: str | bytes | None = None, **headers: str | None
    ) -> tuple[int, Message, Any]:
        """Status, headers and body. A header's underscores are dashes; None leaves it out."""
        given: dict[str, Any] = {"Host": HOSTS[0], **{name.replace("_", "-"): text for name, text in headers.items()}}
        if token is not None:
            given["Authorization"] = b"Bearer " + (token if isinstance(token, bytes) else token.encode())
        connection = http.client.HTTPConnection(self.listener.address, timeout=60)
        try:
            connection.putrequest(method, path, skip_host=True)
            for name, text in given.items():
                if text is not None:
                    connection.putheader(name, text)
            connection.putheader("Content-Length", "0")
            connection.endheaders()
            found = connection.getresponse()
            kind = found.headers["Content-Type"]
            assert (kind == "application/problem+json") == (found.status >= 400)
            body = json.loads(found.read())
            assert found.status < 400 or (body["status"], bool(body["detail"])) == (found.status, True)
            return found.status, found.headers, body
        finally:
            connection.close()


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    file = tmp_path / "tokens"
    file.write_text("olivia:operator:operators-op-token\nvictor:viewer:view:token-of-victor\n")
    return file


@pytest.fixture
def door(world: World, tokens: Path) -> Iterator[Door]:
    made = Door(world, tokens_file=str(tokens))
    yield made
    made.listener.stop()


# tokens


@every_closed_route
def test_every_route_but_health_needs_a_token(door: Door, method: str, path: str) -> None:
    status, headers, body = door.answer(method, path)
    assert status == 401
    assert headers["WWW-Authenticate"].startswith("Bearer")
    assert "token" in body["detail"]
    assert door.ask(method, path, "wrong") == 401
    assert door.ask(method, path, "operators-op-token") != 401


def test_health_needs_no_token(door: Door) -> None:
    door.context.mount.check()
    for method, path in HEALTH:
        assert door.ask(method, path) == 200
        assert door.ask(method, path, "wrong") == 200


@pytest.mark.parametrize(
    "header",
    ["operators-op-token", "Basic operators-op-token", "Bearer", "Bearer ", "Beareroperators-op-token",
     "Bearer operators-op-toke", "Bearer operators-op-token2", "Bearer OPERATORS-OP-TOKEN",
     "Bearer olivia:operator:operators-op-token", "Bearer operators-op-token operators-op-token"],
)  # fmt: skip
def test_malformed_authorization_is_refused(door: Door, header: str) -> None:
    assert door.ask("GET", "/api/v1/jobs", Authorization=header) == 401


@pytest.mark.parametrize(
    "token", ["öp-token".encode(), "öp-token".encode("latin-1"), b"\xff\xfe", b"operators-op-token\xa0"]
)
def test_a_non_ascii_token_is_refused(door: Door, token: bytes) -> None:
    assert door.ask("GET", "/api/v1/jobs", token) == 401


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_is_written_as_one_likes(door: Door, scheme: str) -> None:
    assert door.ask("GET", "/api/v1/jobs", Authorization=f"{scheme} operators-op-token") == 200


@pytest.mark.parametrize("file", ["", "gone"])
def test_without_a_tokens_file_only_health_answers(world: World, tmp_path: Path, file: str) -> None:
    door = Door(world, tokens_file=str(tmp_path / file) if file else "")
    try:
        door.context.mount.check()
        assert {door.ask(method, path) for method, path in HEALTH} == {200}
        for token in (None, "", "operators-op-token"):
            assert {door.ask(method, path, token) for method, path in LOOKS + ACTS + NOWHERE} == {401}
        assert door.requests == []
    finally:
        door.listener.stop()


def test_a_changed_tokens_file_counts_at_once(door: Door, tokens: Path) -> None:
    as_before = tokens.stat()
    assert door.ask("GET", "/api/v1/jobs", "operators-op-token") == 200
    tokens.write_text(tokens.read_text().replace("operators-op-token", "operators-op-secret")[:-1])
    os.utime(tokens, ns=(as_before.st_atime_ns, as_before.st_mtime_ns))
    assert door.ask("GET", "/api/v1/jobs", "operators-op-token") == 401
    assert door.ask("GET", "/api/v1/jobs", "operators-op-secret") == 200
    tokens.unlink()
    assert door.ask("GET", "/api/v1/jobs", "operators-op-secret") == 401
    tokens.write_text("new:viewer:the-third-token-1")
    assert door.ask("GET", "/api/v1/jobs", "the-third-token-1") == 200


def test_a_relative_name_is_a_credential(world: World, tokens: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tokens.parent))
    door = Door(world, tokens_file=tokens.name)
    try:
        assert door.ask("GET", "/api/v1/jobs", "operators-op-token") == 200
    finally:
        door.listener.stop()


def test_an_invalid_line_is_logged_without_its_content() -> None:
    t = [f"token-of-some-length-{number}" for number in range(8)]
    lines = ["# none", "", f"a:operator:{t[1]}", f"b:root:{t[2]}", "c:viewer:", "d:viewer", f":viewer:{t[3]}",
             f"e:viewer:{t[4]}ö", f"{'f' * 256}:viewer:{t[4]}", f"g:viewer:t:{t[5]}", f"h\x07:viewer:{t[6]}",
             f"öl : operator : {t[7]} "]  # fmt: skip
    with capture_logs() as logged:
        known = parse("\n".join(lines))
    assert known == [(t[1].encode(), Identity("a", "operator")), (f"t:{t[5]}".encode(), Identity("g", "viewer")),
                     (t[7].encode(), Identity("öl", "operator"))]  # fmt: skip
    assert [entry["line"] for entry in logged] == [4, 5, 6, 7, 8, 9, 11]
    assert not [entry for entry in logged if "token-of" in str(entry)]


def test_threads_that_read_a_changing_file_see_no_mixture(door: Door, tokens: Path) -> None:
    """Of two tokens, one of which is always there, at least one is known at any moment."""
    refused: list[int] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            if door.ask("GET", "/api/v1/jobs", "the-token-that-stays") != 200:
                refused.append(1)

    tokens.write_text("s:viewer:the-token-that-stays")
    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for i in range(50):
        fresh = tokens.with_name("fresh")
        fresh.write_text(f"a:viewer:a-token-that-goes-{i}\ns:viewer:the-token-that-stays")
        fresh.rename(tokens)
        door.ask("GET", "/healthz")
    done.set()
    for thread in threads:
        thread.join(30)
    assert not refused


# roles


@every_act
def test_who_may_look_may_not_act(door: Door, world: World, method: str, path: str) -> None:
    status, _, body = door.answer(method, path, "view:token-of-victor")
    assert status == 403
    assert "victor" in body["detail"]
    assert door.requests == []
    assert world.one("SELECT COUNT(*) FROM ingest_event") == 0


def test_who_may_look_may_look(door: Door, world: World) -> None:
    sync_id = world.put(photo("a"))
    world.scan(door.context)
    for _, path in LOOKS:
        found = door.ask("GET", path.replace(SYNC_ID, sync_id), "view:token-of-victor")
        assert found == (404 if path.endswith(("/jobs/1", "/requests/1")) else 200)
    assert door.ask("GET", "/api/v1/nothing", "view:token-of-victor") == 404
    assert door.ask("POST", "/api/v1/jobs", "view:token-of-victor") == 405


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
