"""What a session of the operator's pages is worth, and what other sites can make a browser do with it."""

import base64
import time
from pathlib import Path

import pytest

from ingestd.web.security.session import COOKIE, seal
from support.web_client import ACTS, HOST, TOKENS, Headers, WebClient, serving, settings_of
from support.world import World

OPERATOR, VIEWER = b"operator-token", b"viewer-token"


def soon() -> int:
    return int(time.time()) + 60


def is_paused(world: World) -> bool:
    return bool(world.one("SELECT paused FROM ingest_control"))


def forgeries(genuine: str) -> dict[str, str | bytes]:
    named, end, mark = genuine.split(".")
    nobody = base64.urlsafe_b64encode(b"\xff\xfe").decode().rstrip("=")
    return {
        "empty": "",
        "a dot": ".",
        "dots": "...",
        "a word": "operator",
        "a token": "operator-token",
        "without its end": genuine[:-1],
        "without its beginning": genuine[1:],
        "with more": genuine + "0",
        "without a mark": f"{named}.{end}",
        "with an empty mark": f"{named}.{end}.",
        "without an end": f"{named}..{mark}",
        "another mark": f"{named}.{end}.{'0' * 64}",
        "capitals": f"{named}.{end}.{mark.upper()}",
        "a later end": f"{named}.{int(end) + 1}.{mark}",
        "a padded end": f"{named}.0{end}.{mark}",
        "a negative end": f"{named}.-1.{mark}",
        "an endless end": f"{named}.{'9' * 5000}.{mark}",
        "other digits": f"{named}.{'١' * 10}.{mark}".encode(),
        "no base64": f"!{named}.{end}.{mark}",
        "padded base64": f"{named}==.{end}.{mark}",
        "one letter of base64": f"A.{end}.{mark}",
        "a name that is no text": f"{nobody}.{end}.{mark}",
        "no ASCII in the name": f"ö{named}.{end}.{mark}".encode(),
        "no ASCII in the mark": f"{named}.{end}.{mark[:-1]}ö".encode(),
        "no UTF-8": b"\xff\xfe." + f"{end}.{mark}\xff".encode("latin-1"),
        "ended": seal("olivia", OPERATOR, int(time.time())),
        "long ended": seal("olivia", OPERATOR, 0),
        "of nobody": seal("mallory", OPERATOR, soon()),
        "of no name": seal("", OPERATOR, soon()),
        "of another's token": seal("olivia", VIEWER, soon()),
        "for another": seal("victor", OPERATOR, soon()),
        "without a token": seal("olivia", b"", soon()),
        "of the whole line": seal("olivia", b"olivia:operator:operator-token", soon()),
    }


def test_no_session_can_be_made_up(web_client: WebClient) -> None:
    genuine = seal("olivia", OPERATOR, soon())
    for what, forged in forgeries(genuine).items():
        cookie = f"{COOKIE}=".encode() + (forged if isinstance(forged, bytes) else forged.encode())
        for path in ("/", "/api/v1/jobs"):
            assert web_client.visitor().get(path, {"Cookie": cookie}).status == 401, what
    assert web_client.visitor().get("/", {"Cookie": f"other=1; {COOKIE}={genuine}"}).status == 200
    assert web_client.visitor().get("/", {"Cookie": f"{COOKIE}_={genuine}"}).status == 401


@pytest.mark.parametrize(
    "changed",
    ["", "victor:viewer:viewer-token", "olivia:operator:other-token", "olivia:operator:viewer-token",
     "Olivia:operator:operator-token", "victor:operator:operator-token", "# olivia:operator:operator-token"],
)  # fmt: skip
def test_a_session_is_worth_nothing_without_its_token(web_client: WebClient, changed: str) -> None:
    olivia = web_client.visitor("operator-token")
    assert olivia.get("/").status == 200
    web_client.tokens.write_text(changed)
    assert olivia.get("/").status == 401
    assert olivia.post("/pause").status == 401
    web_client.tokens.write_text(TOKENS)
    assert olivia.get("/").status == 200


def test_a_session_outlives_the_process(world: World, web_client: WebClient, tmp_path: Path) -> None:
    olivia = web_client.visitor("operator-token")
    with serving(world, settings_of(world, tmp_path)) as another:
        later = another.visitor()
        later.session = olivia.session
        assert "olivia (operator)" in later.see("/").one("header").text


def test_a_role_is_that_of_the_file_as_it_is_now(world: World, web_client: WebClient) -> None:
    olivia = web_client.visitor("operator-token")
    assert olivia.see("/").form("/pause") is not None
    web_client.tokens.write_text(TOKENS.replace("operator:", "viewer:"))
    assert olivia.see("/").form("/pause") is None
    assert olivia.post("/pause").status == 403
    web_client.tokens.write_text(TOKENS)
    assert olivia.post("/pause").status == 303
    assert is_paused(world)


def test_several_tokens_of_one_name_have_each_its_role(world: World, web_client: WebClient) -> None:
    web_client.tokens.write_text("olivia:viewer:first\nolivia:operator:second\n")
    assert web_client.visitor("first").post("/pause").status == 403
    assert web_client.visitor("second").post("/pause").status == 303


def test_a_session_opens_the_api(web_client: WebClient) -> None:
    olivia, victor = web_client.visitor("operator-token"), web_client.visitor("viewer-token")
    for visitor in (olivia, victor):
        answer = visitor.get("/api/v1/batches")
        assert (answer.status, answer.kind) == (200, "application/json")
    assert olivia.ask("POST", "/api/v1/scan").status == 202
    assert victor.ask("POST", "/api/v1/scan").status == 403
    # Who says who he is by a header is taken at that word alone.
    assert olivia.get("/api/v1/batches", {"Authorization": "Bearer wrong"}).status == 401
    assert olivia.ask("POST", "/api/v1/scan", None, {"Authorization": "Bearer viewer-token"}).status == 403


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


def test_with_a_session_only_our_own_pages_may_act(world: World, web_client: WebClient) -> None:
    olivia = web_client.visitor("operator-token")
    for headers in ELSEWHERE:
        for path in (*ACTS, "/api/v1/pause", "/api/v1/scan", "/sign-in", "/sign-out"):
            assert olivia.post(path, None, headers).status == 403, (headers, path)
        assert (
            olivia.ask("POST", "/api/v1/pause", b"{}", {**headers, "Authorization": "Bearer operator-token"}).status
            == 403
        )
    assert (is_paused(world), web_client.woken, bool(olivia.session)) == (False, [], True)
    for headers in HERE:
        assert olivia.post("/scan", None, headers).status == 303
        assert olivia.ask("POST", "/api/v1/scan", b"{}", headers).status == 202
    assert web_client.woken == ["scanner"] * 2 * len(HERE)


def test_no_other_site_signs_anybody_in(web_client: WebClient) -> None:
    for headers in ELSEWHERE[2:]:
        answer = web_client.visitor().post("/sign-in", {"token": "operator-token"}, headers)
        assert (answer.status, answer.cookie) == (403, None), headers


def test_looking_changes_nothing_wherever_it_comes_from(web_client: WebClient) -> None:
    olivia = web_client.visitor("operator-token")
    assert olivia.get("/tasks", {"Sec-Fetch-Site": "cross-site"}).status == 200
    for path in ACTS:
        assert olivia.get(path).status == 405
