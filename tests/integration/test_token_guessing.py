"""Many wrong tokens: refused and limited, logged, and without effect on valid requests from the same address."""

from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from ingestd.web.security import attempts
from ingestd.web.security.attempts import CLIENT_BURST, LOG_BURST
from support.logged import Logged, logged_by
from support.web_client import TOKENS, WebClient

VALID = {"Authorization": "Bearer the-viewer-token"}


@pytest.fixture(autouse=True)
def logged(monkeypatch: pytest.MonkeyPatch) -> Logged:
    return logged_by(attempts, monkeypatch)


def sign_in(web_client: WebClient, number: int) -> int:
    return web_client.visitor().post("/sign-in", {"token": f"guess-{number:012}"}).status


def bearer(web_client: WebClient, number: int) -> int:
    return web_client.send("GET", "/api/v1/jobs", None, {"Authorization": f"Bearer guess-{number:012}"}).status


def bearer_post(web_client: WebClient, number: int) -> int:
    headers = {"Authorization": f"Bearer guess-{number:012}"}
    return web_client.send("POST", "/api/v1/scan", b'{"x": 1}', headers).status


def nowhere(web_client: WebClient, number: int) -> int:
    return web_client.send("GET", f"/nothing/{number}", None, {"Authorization": f"bearer guess-{number:012}"}).status


@pytest.mark.parametrize("guess", [sign_in, bearer, bearer_post, nowhere])
def test_guesses_are_limited_and_logged_and_valid_tokens_are_not(
    web_client: WebClient, logged: Logged, guess: Callable[[WebClient, int], int]
) -> None:
    found = [guess(web_client, number) for number in range(100)]
    assert found[:CLIENT_BURST] == [401] * CLIENT_BURST
    assert found.count(429) > 50
    assert [web_client.send("GET", "/api/v1/jobs", None, VALID).status for _ in range(20)] == [200] * 20
    assert web_client.visitor("the-operator-token").get("/").status == 200
    assert LOG_BURST <= len(logged.of("wrong_token")) < 2 * LOG_BURST
    assert {line["client"] for line in logged.lines} == {"127.0.0.1"}
    assert "guess-" not in str(logged.lines)


def test_limited_client_is_answered_in_its_own_format_with_a_time(web_client: WebClient) -> None:
    found = [bearer(web_client, number) for number in range(2 * CLIENT_BURST)]
    assert 429 in found
    page = web_client.visitor().post("/sign-in", {"token": "one-more"})
    answer = web_client.send("GET", "/api/v1/jobs", None, {"Authorization": "Bearer one-more"})
    assert (page.status, page.headers["Retry-After"], answer.headers["Retry-After"]) == (429, "5", "5")
    assert page.page.form("/sign-in") is not None
    assert answer.kind == "application/problem+json"


def test_requests_without_a_token_are_not_guesses(web_client: WebClient) -> None:
    """A page that polls with an expired session, a health check, a press of the button too early."""
    expired = web_client.visitor()
    expired.session = "b2xpdmlh.1.forged"
    for _ in range(2 * CLIENT_BURST):
        assert expired.get("/").status == 401
        assert web_client.send("GET", "/api/v1/jobs").status == 401
        assert web_client.send("GET", "/api/v1/jobs", None, {"Authorization": "Basic dXNlcjpwYXNz"}).status == 401
        assert web_client.visitor().post("/sign-in", {"token": ""}).status == 401
    assert bearer(web_client, 1) == 401


def test_token_that_was_shortened_is_refused_at_once(web_client: WebClient) -> None:
    assert web_client.send("GET", "/api/v1/jobs", None, VALID).status == 200
    web_client.tokens.write_text(TOKENS.replace("the-viewer-token", "x"))
    with capture_logs() as logged:
        assert web_client.send("GET", "/api/v1/jobs", None, {"Authorization": "Bearer x"}).status == 401
    (ignored,) = [entry for entry in logged if entry["event"] == "token_ignored"]
    assert ignored["line"] == 2
