"""Sessions of the operator's pages: forged, revoked and expired cookies, and requests from pages of other sites."""

import base64
import time
from pathlib import Path

import pytest
from itsdangerous import Signer

from ingestd.web.security.session import COOKIE, sign_session
from support.web_client import ACTS, HOST, TOKENS, Headers, WebClient, serving, settings_of
from support.world import World

OPERATOR, VIEWER = b"the-operator-token", b"the-viewer-token"


def soon() -> int:
    return int(time.time()) + 60


def is_paused(world: World) -> bool:
    return bool(world.one("SELECT paused FROM ingest_control"))


def forgeries(genuine: str) -> dict[str, str | bytes]:
    name, expiry, signature = genuine.split(".")
    not_utf8 = base64.urlsafe_b64encode(b"\xff\xfe").decode().rstrip("=")
    return {
        "empty": "",
        "a dot": ".",
        "dots": "...",
        "a word": "operator",
        "a token": "the-operator-token",
        "without its end": genuine[:-1],
        "without its beginning": genuine[1:],
        "with more": genuine + "0",
        "without a signature": f"{name}.{expiry}",
        "with an empty signature": f"{name}.{expiry}.",
        "without an expiry": f"{name}..{signature}",
        "another signature": f"{name}.{expiry}.{'A' * len(signature)}",
        "capitals": f"{name}.{expiry}.{signature.upper()}",
        "a later expiry": f"{name}.{int(expiry) + 1}.{signature}",
        "a padded expiry": f"{name}.0{expiry}.{signature}",
        "a negative expiry": f"{name}.-1.{signature}",
        "a huge expiry": f"{name}.{'9' * 5000}.{signature}",
        "other digits": f"{name}.{'١' * 10}.{signature}".encode(),
        "invalid base64": f"!{name}.{expiry}.{signature}",
        "padded base64": f"{name}==.{expiry}.{signature}",
        "one letter of base64": f"A.{expiry}.{signature}",
        "a name that is not UTF-8": f"{not_utf8}.{expiry}.{signature}",
        "a letter that is not ASCII in the name": f"ö{name}x.{expiry}.{signature}".encode(),
        "a letter that is not ASCII in the signature": f"{name}.{expiry}.{signature[:-1]}ö".encode(),
        "bytes that are not UTF-8": b"\xff\xfe." + f"{expiry}.{signature}\xff".encode("latin-1"),
        "expired": sign_session("olivia", OPERATOR, int(time.time())),
        "expired long ago": sign_session("olivia", OPERATOR, 0),
        "for an unknown name": sign_session("mallory", OPERATOR, soon()),
        "without a name": sign_session("", OPERATOR, soon()),
        "signed with another's token": sign_session("olivia", VIEWER, soon()),
        "for another name": sign_session("victor", OPERATOR, soon()),
        "signed for another purpose": Signer(OPERATOR).sign(f"{name}.{expiry}").decode(),
        "without a token": sign_session("olivia", b"", soon()),
        "signed with the whole line": sign_session("olivia", b"olivia:operator:the-operator-token", soon()),
    }


def test_forged_cookie_is_refused(web_client: WebClient) -> None:
    genuine = sign_session("olivia", OPERATOR, soon())
    for what, forged in forgeries(genuine).items():
        cookie = f"{COOKIE}=".encode() + (forged if isinstance(forged, bytes) else forged.encode())
        for path in ("/", "/api/v1/jobs"):
            assert web_client.visitor().get(path, {"Cookie": cookie}).status == 401, what
    assert web_client.visitor().get("/", {"Cookie": f"other=1; {COOKIE}={genuine}"}).status == 200
    assert web_client.visitor().get("/", {"Cookie": f"{COOKIE}_={genuine}"}).status == 401


@pytest.mark.parametrize(
    "changed",
    ["", "victor:viewer:the-viewer-token", "olivia:operator:any-other-token-1", "olivia:operator:the-viewer-token",
     "Olivia:operator:the-operator-token", "victor:operator:the-operator-token",
     "# olivia:operator:the-operator-token"],
)  # fmt: skip
def test_removing_or_changing_the_token_revokes_the_session(web_client: WebClient, changed: str) -> None:
    olivia = web_client.visitor("the-operator-token")
    assert olivia.get("/").status == 200
    web_client.tokens.write_text(changed)
    assert olivia.get("/").status == 401
    assert olivia.post("/pause").status == 401
    web_client.tokens.write_text(TOKENS)
    assert olivia.get("/").status == 200


def test_every_process_with_the_same_tokens_file_accepts_the_session(
    world: World, web_client: WebClient, tmp_path: Path
) -> None:
    olivia = web_client.visitor("the-operator-token")
    with serving(world, settings_of(world, tmp_path)) as another:
        later = another.visitor()
        later.session = olivia.session
        assert "olivia (operator)" in later.see("/").one("header").text


def test_role_of_a_session_follows_the_tokens_file(world: World, web_client: WebClient) -> None:
    olivia = web_client.visitor("the-operator-token")
    assert olivia.see("/").form("/pause") is not None
    web_client.tokens.write_text(TOKENS.replace("operator:", "viewer:"))
    assert olivia.see("/").form("/pause") is None
    assert olivia.post("/pause").status == 403
    web_client.tokens.write_text(TOKENS)
    assert olivia.post("/pause").status == 303
    assert is_paused(world)


def test_each_token_of_a_name_has_its_own_role(world: World, web_client: WebClient) -> None:
    web_client.tokens.write_text("olivia:viewer:the-first-token-1\nolivia:operator:the-second-token\n")
    assert web_client.visitor("the-first-token-1").post("/pause").status == 403
    assert web_client.visitor("the-second-token").post("/pause").status == 303


def test_session_gives_access_to_the_api(web_client: WebClient) -> None:
    olivia, victor = web_client.visitor("the-operator-token"), web_client.visitor("the-viewer-token")
    for visitor in (olivia, victor):
        answer = visitor.get("/api/v1/batches")
        assert (answer.status, answer.kind) == (200, "application/json")
    assert olivia.ask("POST", "/api/v1/scan").status == 202
    assert victor.ask("POST", "/api/v1/scan").status == 403
    # An Authorization header takes precedence over the cookie.
    assert olivia.get("/api/v1/batches", {"Authorization": "Bearer wrong"}).status == 401
    assert olivia.ask("POST", "/api/v1/scan", None, {"Authorization": "Bearer the-viewer-token"}).status == 403


# other sites


ELSEWHERE: list[Headers] = [
    {"Sec-Fetch-Site": None},
    {"Sec-Fetch-Site": "none"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "same-origin, cross-site"},
    {"Sec-Fetch-Site": ""},
    {"Sec-Fetch-Site": "cross-site", "Origin": f"http://{HOST}"},
    {"Sec-Fetch-Site": None, "Origin": "null"},
    {"Sec-Fetch-Site": None, "Origin": ""},
    {"Sec-Fetch-Site": None, "Origin": "https://evil.example"},
    {"Sec-Fetch-Site": None, "Origin": f"http://{HOST}:81"},
    {"Sec-Fetch-Site": None, "Origin": f"http://{HOST}.evil.example"},
]
HERE: list[Headers] = [
    {"Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": None, "Origin": f"http://{HOST}"},
    {"Sec-Fetch-Site": None, "Origin": f"https://{HOST.upper()}"},
]


def test_session_changes_something_only_from_our_own_pages(world: World, web_client: WebClient) -> None:
    olivia = web_client.visitor("the-operator-token")
    for headers in ELSEWHERE:
        for path in (*ACTS, "/api/v1/pause", "/api/v1/scan", "/sign-in", "/sign-out"):
            assert olivia.post(path, None, headers).status == 403, (headers, path)
        assert (
            olivia.ask("POST", "/api/v1/pause", b"{}", {**headers, "Authorization": "Bearer the-operator-token"}).status
            == 403
        )
    assert (is_paused(world), web_client.woken, bool(olivia.session)) == (False, [], True)
    for headers in HERE:
        assert olivia.post("/scan", None, headers).status == 303
        assert olivia.ask("POST", "/api/v1/scan", b"{}", headers).status == 202
    assert web_client.woken == ["requests"] * 2 * len(HERE)


def test_page_of_another_site_cannot_sign_in(web_client: WebClient) -> None:
    for headers in ELSEWHERE[2:]:
        answer = web_client.visitor().post("/sign-in", {"token": "the-operator-token"}, headers)
        assert (answer.status, answer.cookie) == (403, None), headers


def test_get_is_allowed_from_other_sites_and_changes_nothing(web_client: WebClient) -> None:
    olivia = web_client.visitor("the-operator-token")
    assert olivia.get("/tasks", {"Sec-Fetch-Site": "cross-site"}).status == 200
    for path in ACTS:
        assert olivia.get(path).status == 405
