"""A broken or hostile server does no harm to remote commands."""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count, cycle
from pathlib import Path
from typing import Any

import pytest

from ingestd.cli import client, remote
from ingestd.errors import NoDaemon
from support.command import Run
from support.elsewhere import HOSTILE, UNKNOWN
from support.proxy import Answer, http_answer, says, stranger


def problem(status: int, detail: str) -> bytes:
    body = {"type": "about:blank", "title": "x", "status": status, "detail": detail}
    return http_answer(f"{status} x", json.dumps(body).encode(), "Content-Type: application/problem+json")


STRANGE = {
    "no HTTP": (1, b"220 mail.example ESMTP\r\n"),
    "nothing": (69, b""),
    "half a line": (1, b"HTTP/1.1"),
    "no status": (1, b"HTTP/1.1 xyz\r\n\r\n"),
    "an endless line": (1, b"HTTP/1.1 200 " + b"x" * 70_000),
    "endless headers": (1, b"HTTP/1.1 202 x\r\n" + b"a: b\r\n" * 200),
    "half a body": (69, b"HTTP/1.1 202 x\r\nContent-Length: 100\r\n\r\n{}"),
    "half a chunk": (69, b"HTTP/1.1 202 x\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{}"),
    "no chunk": (69, b"HTTP/1.1 202 x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}"),
    "a page": (1, http_answer("202 x", b"<html>")),
    "an empty body": (1, http_answer("202 x", b"")),
    "no content": (1, b"HTTP/1.1 204 x\r\n\r\n"),
    "another shape": (1, http_answer("202 x", b"[1]")),
    "another type": (1, http_answer("202 x", b'{"id": "1"}')),
    "another problem": (1, http_answer("404 x", b'{"detail": "Not Found"}')),
    "bad UTF-8": (1, http_answer("202 x", b'{"id": 1, "x": "\xff"}')),
    "half a character": (1, http_answer("202 x", b'{"id": 1, "x": "\\ud800"}')),
    "deep": (1, http_answer("202 x", b'{"id": 1, "x": ' + b"[" * 900 + b"]" * 900 + b"}")),
    "deeper": (1, http_answer("202 x", b"[" * 100_000)),
    "a huge number": (1, http_answer("202 x", b'{"id": ' + b"9" * 500 + b"}")),
    "a redirect": (78, http_answer("302 x", b"", "Location: http://evil.example/\x1b[31m")),
    "a proxy's error": (69, http_answer("502 x", b"<h1>Bad Gateway</h1>")),
    "a proxy's login": (78, http_answer("401 x", b"<h1>Who are you?</h1>")),
    "a fault": (1, problem(500, "it broke")),
    "a wrong request": (1, problem(400, "not like this")),
    "too much": (1, problem(413, "too much")),
    "an outage": (69, problem(503, HOSTILE)),
    "hostile": (3, problem(409, HOSTILE)),
    "two opinions": (1, problem(409, "x").replace(b"409 x", b"404 x")),
}


@pytest.mark.parametrize("what", STRANGE)
def test_every_strange_response_ends_with_a_message(run: Run, token: Path, what: str) -> None:
    code, data = STRANGE[what]
    with stranger(says(data)) as url:
        result = run("scan", "--url", url, "--token-file", token)
        queued = run("queue", UNKNOWN, "--url", url, "--token-file", token)
    assert (result.code, result.stdout) == (code, "")
    assert result.stderr.startswith("ingestd: ")
    assert "Traceback" not in result.stderr
    assert queued.code in (code, 1)
    assert (result.stderr + queued.stderr + queued.stdout).replace("\n", "").isprintable()


@pytest.mark.parametrize(
    "text", ['{"id": 1, "id": 1}', '{"id": 1, "x": [{"y": 1, "\\u0079": 2}]}', '{"": ":", "": ":"}']
)
def test_a_repeated_key_of_a_response_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="appears twice"):
        client.parsed(text.encode(), dict)


def test_a_huge_response_is_not_read_to_its_end(run: Run, token: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MAX_BYTES", 1000)
    for data in (http_answer("202 x", b'"' + b"x" * 1000), b"HTTP/1.1 404 x\r\n\r\n" + b"x" * 100_000):
        with stranger(says(data)) as url:
            assert run("scan", "--url", url, "--token-file", token).code == 1


def silence(connection: socket.socket) -> None:
    while connection.recv(1000):
        pass


def drip(connection: socket.socket) -> None:
    """A response that arrives byte by byte and never ends."""
    says(b"HTTP/1.1 202 x\r\n\r\n")(connection)
    connection.settimeout(0.02)
    while True:
        with suppress(TimeoutError):
            if not connection.recv(1):
                return
        connection.sendall(b" ")


def interim(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"HTTP/1.1 100 x\r\n\r\n")


@pytest.mark.parametrize("answer", [silence, drip, interim])
def test_the_wait_for_a_response_is_limited(
    run: Run, token: Path, monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    monkeypatch.setattr(client, "ANSWER_SECONDS", 0.5)
    monkeypatch.setattr(client, "QUIET_SECONDS", 0.1)
    with stranger(answer) as url:
        result = run("scan", "--url", url, "--token-file", token)
    assert (result.code, result.stdout) == (69, "")
    announced, problem = result.stderr.splitlines()
    assert announced == f"ingestd: waiting for a response of {url}"
    assert "did not respond in time" in problem


def by_path(answers: dict[str, bytes]) -> Answer:
    """Chooses the response by the prefix of the path."""

    def answer(connection: socket.socket) -> None:
        asked = connection.recv(65536, socket.MSG_PEEK).split(b" ")[1].decode().removeprefix("/api/v1")
        found = next((data for path, data in answers.items() if asked.startswith(path)), problem(404, "unknown"))
        says(found)(connection)

    return answer


def ok(value: Any, status: int = 200) -> bytes:
    return http_answer(f"{status} x", json.dumps(value).encode())


RUNNING = {
    **dict.fromkeys(("sync_id", "result", "error", "requested_by", "claimed_at", "claimed_by", "finished_at")),
    **{"id": 5, "kind": "scan", "state": "running", "requested_at": "2026-04-12T21:35:35Z"},
}


def accepting(request: dict[str, Any]) -> Answer:
    """Accepts scans and pre-flights as request 5, which is shown as given."""
    accepted = ok({"id": 5}, 202)
    return by_path({"/requests/5": ok(request), "/scan": accepted, f"/batches/{UNKNOWN}/preflight": accepted})


@pytest.mark.parametrize(("state", "sentence"), [("running", "is running"), ("queued", "is queued")])
def test_a_long_wait_is_announced_and_ends(
    run: Run, token: Path, monkeypatch: pytest.MonkeyPatch, state: str, sentence: str
) -> None:
    monkeypatch.setattr(remote, "ANNOUNCE_SECONDS", 0.15)
    monkeypatch.setattr(remote, "GIVE_UP_SECONDS", 0.5)
    with stranger(accepting({**RUNNING, "state": state})) as url:
        result = run("scan", "--url", url, "--token-file", token)
    assert (result.code, result.stdout) == (69, "")
    announced, gave_up = result.stderr.splitlines()
    assert announced.startswith(f"ingestd: request 5 (the scan) at {url} {sentence}")
    assert announced.endswith("; waiting for its result")
    assert gave_up.startswith(f"ingestd: request 5 (the scan) at {url} {sentence}")
    assert gave_up.endswith("; it stays there and was not waited for any longer")


def test_an_unknown_request_ends_the_wait(run: Run, token: Path) -> None:
    with stranger(by_path({"/requests/": problem(404, "there is no request 5"), "/scan": ok({"id": 5}, 202)})) as url:
        result = run("scan", "--url", url, "--token-file", token)
    assert (result.code, result.stdout, result.stderr) == (3, "", "ingestd: there is no request 5\n")


def test_a_failed_request_ends_with_its_error(run: Run, token: Path) -> None:
    with stranger(accepting({**RUNNING, "state": "failed", "error": "the disk is full"})) as url:
        result = run("scan", "--url", url, "--token-file", token)
        plan = run("preflight", UNKNOWN, "--url", url, "--token-file", token)
    assert result == plan == (3, "", "ingestd: the disk is full\n")


def test_hostile_sync_ids_lead_to_no_other_path(run: Run, token: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "MAX_SYNC_IDS", 2)
    result = {"sync_ids": ["../../secret", UNKNOWN, UNKNOWN], "unrecorded": 0}
    with stranger(accepting({**RUNNING, "state": "done", "result": result})) as url:
        found = run("scan", "--url", url, "--token-file", token)
    assert (found.code, found.stdout) == (0, "")
    assert "only the first 2 batches are shown" in found.stderr


@pytest.mark.parametrize("result", [None, {}, {"sync_ids": 5, "unrecorded": 0}, {"ok": 1, "counts": {}}])
def test_a_result_of_another_shape_is_refused(run: Run, token: Path, result: Any) -> None:
    with stranger(accepting({**RUNNING, "state": "done", "result": result})) as url:
        for command in (["scan"], ["preflight", UNKNOWN]):
            found = run(*command, "--url", url, "--token-file", token)
            assert (found.code, found.stdout) == (1, "")
            assert "has no result that ingestd would give" in found.stderr


ITEM = {
    **dict.fromkeys(("reason", "target_ids", "last_error", "cover_hash", "parent_hash", "waiting_for")),
    **{"ordinal": 0, "type": "photo", "hash": "0" * 32, "decision": "created", "updated_at": "2026-04-12T21:35:35Z"},
}
LISTS: dict[str, Callable[[remote.Remote], Any]] = {
    "items": lambda operator: list(operator.items(UNKNOWN, 100)),
    "batches": lambda operator: list(operator.batches(None, 100)),
    "prefix": lambda operator: operator.beginning_with("abcdef"),
}


def asked_of(url: str) -> remote.Remote:
    return remote.Remote(client.Client(client.as_url(url), "x" * 16))


def endless(cursors: Iterator[int], asked: list[str]) -> Answer:
    """Lists with one more page each time."""

    def answer(connection: socket.socket) -> None:
        path = connection.recv(65536, socket.MSG_PEEK).split(b" ")[1].decode()
        asked.append(path)
        says(ok({"items": [ITEM] if "/items" in path else [], "next": next(cursors)}))(connection)

    return answer


@pytest.mark.parametrize("cursors", [[5, 5], [5, 6, 5], [5, 4, 5], [5, 4, 4], [7, 9, 9], [0, -1, -1]])
@pytest.mark.parametrize("what", LISTS)
def test_a_list_that_does_not_advance_is_refused(what: str, cursors: list[int]) -> None:
    asked: list[str] = []
    with (
        stranger(endless(cycle(cursors), asked)) as url,
        pytest.raises(NoDaemon, match=f"{url} returns a list that does not go on: "),
    ):
        LISTS[what](asked_of(url))
    assert len(asked) <= len(cursors)


@pytest.mark.parametrize("what", LISTS)
def test_a_list_that_does_not_end_is_refused(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    monkeypatch.setattr(remote, "MAX_PAGES", 5)
    asked: list[str] = []
    cursors = count() if what == "items" else count(10**9, -1)
    with stranger(endless(cursors, asked)) as url, pytest.raises(NoDaemon, match="does not end: more than 5 pages"):
        LISTS[what](asked_of(url))
    assert len(asked) == 5


def test_a_command_with_an_endless_list_ends_with_one_sentence(run: Run, token: Path) -> None:
    with stranger(endless(cycle([5, 5]), [])) as url:
        result = run("batches", "--url", url, "--token-file", token)
    assert (result.code, result.stdout) == (1, "")
    assert result.stderr == f"ingestd: {url} returns a list that does not go on: 5 after 5\n"
