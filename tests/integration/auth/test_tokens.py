"""Tokens and roles, on every route, over a real listener."""

import os
import threading
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ingestd.web.security.tokens import Identity, parse
from support.door import ACTS, HEALTH, LOOKS, NOWHERE, SYNC_ID, Door, every_act, every_closed_route
from support.world import World, photo

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
