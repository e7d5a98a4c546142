"""Signing in to the operator's pages and out of them, and the page that follows."""

import time
from pathlib import Path
from urllib.parse import quote

import pytest

from ingestd.web.security.session import COOKIE, LIFETIME, sign_session
from support.web_client import ACTS, HOST, UNKNOWN, WebClient, serving, settings_of
from support.world import World

LOOKS = ["/", "/?status=failed", "/tasks", f"/batches/{UNKNOWN}", "/nothing", "/sign-in", "/confirm"]


# signing in and out


@pytest.mark.parametrize(
    ("origin", "is_secure"),
    [(None, False), (f"http://{HOST}", False), (f"https://{HOST}", True), ("https://proxy.example", True)],
)
def test_valid_token_opens_a_session(web_client: WebClient, origin: str | None, is_secure: bool) -> None:
    answer = web_client.visitor().post("/sign-in", {"token": " the-operator-token\n"}, {"Origin": origin})
    assert (answer.status, answer.headers["Location"], answer.headers["Cache-Control"]) == (303, "/", "no-store")
    cookie = answer.cookie
    assert cookie is not None
    attributes = {name: cookie[name] for name in ("httponly", "samesite", "path", "max-age", "domain")}
    assert attributes == {"httponly": True, "samesite": "Strict", "path": "/", "max-age": str(12 * 3600), "domain": ""}
    assert bool(cookie["secure"]) is is_secure
    assert 0 <= time.time() + LIFETIME - int(cookie.value.split(".")[1]) < 60


@pytest.mark.parametrize(
    "token", [None, "", " ", "wrong-one", "the-operator-token2", "THE-OPERATOR-TOKEN", "thé-operator-token",
              "the-operator-tokén", "olivia:operator:the-operator-token", "the-operator-token\nthe-viewer-token",
              "the-operator-token\0", "\ud83d\ude00"]
)  # fmt: skip
def test_invalid_token_opens_no_session(web_client: WebClient, token: str | None) -> None:
    form = {"next": "/tasks"} if token is None else {"next": "/tasks", "token": token.encode("utf-8", "replace")}
    answer = web_client.visitor().post("/sign-in", form)  # type: ignore[arg-type]
    assert (answer.status, answer.cookie) == (401, None)
    form_again = answer.page.form("/sign-in")
    assert form_again is not None
    assert form_again.one("input", name="next")["value"] == "/tasks"
    assert "value" not in form_again.one("input", name="token").attributes
    assert "Unknown token" in answer.page.one(role="alert").text
    assert "wrong-one" not in answer.text


LEADS = {
    "": "/",
    "/": "/",
    "/tasks": "/tasks",
    "/?status=failed&prefix=a%20b": "/?status=failed&prefix=a%20b",
    "/batches/ä?decision=failed": "/batches/%C3%A4?decision=failed",
    "/\"><script>": "/%22%3E%3Cscript%3E",
    "/" + "x" * 1999: "/" + "x" * 1999,
    "/" + "x" * 2000: "/",
    "/" + "x" * 60000: "/",
    **dict.fromkeys(
        ["//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example", "https://evil.example",
         "https:evil.example", "evil.example", "javascript:alert(1)", " //evil.example", "/\t/evil.example",
         "\t//evil.example", "/\n/evil.example", "/x\r\nSet-Cookie: a=b", "/x\0", "/\u2028x", "/\u202ex", "?next=/x"],
        "/",
    ),
}  # fmt: skip


def test_sign_in_never_redirects_to_another_site(web_client: WebClient) -> None:
    for following, wanted in LEADS.items():
        answer = web_client.visitor().post("/sign-in", {"token": "the-operator-token", "next": following})
        assert answer.status == 303, following
        assert answer.headers["Location"] == wanted, following
        assert answer.headers.get_all("Set-Cookie", [])[0].startswith(f"{COOKIE}=")
        form = web_client.visitor().post("/sign-in", {"token": "", "next": following}).page.form("/sign-in")
        assert form is not None
        assert quote(form.one("input", name="next")["value"], safe="/?&=%") == answer.headers["Location"]


def test_sign_out_ends_the_session(web_client: WebClient) -> None:
    olivia = web_client.visitor("the-operator-token")
    page = olivia.see("/")
    assert page.form("/sign-out") is not None
    answer = olivia.post("/sign-out")
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    cookie = answer.cookie
    assert cookie is not None
    assert (cookie.value, cookie["max-age"], cookie["path"], cookie["samesite"]) == ("", "0", "/", "Strict")
    assert olivia.session is None
    assert olivia.get("/").status == 401


@pytest.mark.parametrize("file", ["", "gone"])
def test_sign_in_needs_a_tokens_file(world: World, tmp_path: Path, file: str) -> None:
    name, ending = str(tmp_path / file) if file else "", int(time.time()) + 60
    with serving(world, settings_of(world, tmp_path, http={"tokens_file": name})) as web_client:
        for session in (
            None,
            sign_session("olivia", b"the-operator-token", ending),
            sign_session("olivia", b"", ending),
            sign_session("", b"", ending),
        ):
            visitor = web_client.visitor()
            visitor.session = session
            assert {visitor.get(path).status for path in LOOKS} == {401}
            assert {visitor.post(path).status for path in ACTS} == {401}
            for token in ("", "the-operator-token"):
                assert visitor.post("/sign-in", {"token": token}).status == 401
        assert web_client.woken == []


# pages that require signing in


@pytest.mark.parametrize("path", LOOKS)
def test_visitor_without_a_session_gets_the_sign_in_form(web_client: WebClient, path: str) -> None:
    answer = web_client.visitor().get(path)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    form = answer.page.form("/sign-in")
    assert form is not None
    following = form.one("input", name="next")["value"]
    # An address that GET cannot show is not worth returning to.
    assert following == ("/" if path in ("/nothing", "/sign-in", "/confirm") else path)
    assert not answer.page.all("nav")
    assert not answer.page.all("meta", http_equiv="refresh")
    signed_in = web_client.visitor().post("/sign-in", {"token": "the-viewer-token", "next": following})
    assert signed_in.headers["Location"] == following


def test_requested_address_is_kept_and_escaped(web_client: WebClient) -> None:
    for path, wanted in {
        "/?prefix=%22%3E%3Cscript%3Ealert(1)%3C/script%3E": "/?prefix=%22%3E%3Cscript%3Ealert(1)%3C/script%3E",
        "/batches/%22%3E%3Cscript%3E?limit=2": '/batches/"><script>?limit=2',
        "/?prefix=%FF": "/?prefix=%FF",
        "//evil.example/tasks": "/",
    }.items():
        answer = web_client.visitor().get(path)
        assert answer.status == 401, path
        assert answer.page.one("input", name="next")["value"] == wanted
        assert "<script>" not in answer.text
    assert web_client.visitor().post("/pause").page.one("input", name="next")["value"] == "/"


def test_link_on_another_site_reloads_once_to_send_the_cookie(web_client: WebClient) -> None:
    answer = web_client.visitor().get("/tasks", {"Sec-Fetch-Site": "cross-site"})
    assert answer.status == 401
    assert answer.page.one("meta", http_equiv="refresh")["content"] == "0"
    assert (
        not web_client.visitor().get("/tasks", {"Sec-Fetch-Site": "same-origin"}).page.all("meta", http_equiv="refresh")
    )
