"""All pages: error pages, access rules, security headers and static files."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingestd.config import DatabaseSettings
from ingestd.store.queries import jobs
from support.html import check_tame
from support.wait import PATIENCE
from support.web_client import UNKNOWN, Answer, Visitor, WebClient, serving, settings_of
from support.world import World, photo

# The driver leaves the socket of a connection that it could not make to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

PROBLEM = "application/problem+json"
STATIC = ["/static/style.css", "/static/pages.js", "/static/icon.svg"]
MANY = {"sync_id": [f"{number:036}" for number in range(501)]}


@pytest.fixture
def cut_off(world: World, tmp_path: Path) -> Iterator[WebClient]:
    """A server whose database is unreachable."""
    nowhere = DatabaseSettings(unix_socket=str(tmp_path / "nowhere"))
    with serving(world, settings_of(world, tmp_path).model_copy(update={"database": nowhere})) as made:
        yield made


# errors


def check_refused(answer: Answer, status: int) -> str:
    """Checks an error page; returns its text."""
    assert answer.status == status, answer.text
    (heading,) = answer.page.all("h1")
    assert heading.text
    return answer.page.one("main").text


def ask(visitor: Visitor, method: str, path: str, form: Any, **headers: Any) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return visitor.post(path, form, named) if method == "POST" else visitor.ask(method, path, None, named)


BATCH = f"/batches/{UNKNOWN}"
REFUSED: list[tuple[str, str, Any, int]] = [
    ("GET", "/?status=odd", None, 400),
    ("GET", "/?action=odd", None, 400),
    ("GET", "/?limit=0", None, 400),
    ("GET", "/?limit=501", None, 400),
    ("GET", "/?after=x", None, 400),
    ("GET", "/?after=-1", None, 400),
    ("GET", f"/?after={2**63}", None, 400),
    ("GET", f"/?prefix={'x' * 256}", None, 400),
    ("GET", "/?colour=red", None, 400),
    ("GET", f"{BATCH}?decision=odd", None, 400),
    ("POST", f"{BATCH}/queue", {"priority": "soon"}, 400),
    ("POST", f"{BATCH}/queue", {"priority": str(2**31)}, 400),
    ("POST", f"{BATCH}/queue", {"only": "some"}, 400),
    ("POST", f"{BATCH}/queue", {"force": "perhaps"}, 400),
    ("POST", f"{BATCH}/queue", {"colour": "red"}, 400),
    ("POST", "/pause", {"reason": "x" * 1001}, 400),
    *(("POST", path, form, 400) for path in ("/confirm", "/queue", "/preflight")
      for form in ({}, MANY, {"sync_id": "x" * 65}, {"sync_id": UNKNOWN, "priority": "1.5"})),
    ("GET", BATCH, None, 404),
    ("GET", "/batches/%C3%A4", None, 404),
    ("GET", "/batches/", None, 404),
    ("GET", "/nothing", None, 404),
    ("GET", "/static/nothing", None, 404),
    ("GET", "/static/../server.py", None, 404),
    *(("POST", f"/batches/{name}/{what}", {}, 404) for name in (UNKNOWN, "%C3%A4", "x" * 3000, "%00")
      for what in ("queue", "cancel", "preflight")),
    ("GET", "/confirm", None, 405),
    ("GET", f"{BATCH}/queue", None, 405),
    ("POST", "/", {}, 405),
    ("POST", "/tasks", {}, 405),
    *((method, path, None, 405) for method in ("PUT", "OPTIONS", "DELETE", "PATCH") for path in ("/", "/scan", BATCH)),
    ("POST", "/scan", {"x": "y" * 65536}, 413),
    ("POST", "/queue", {"sync_id": UNKNOWN, "x": "y" * 65536}, 413),
]  # fmt: skip


def test_errors_are_pages_for_browsers_and_problem_json_for_programs(world: World, olivia: Visitor) -> None:
    for method, path, form, status in REFUSED:
        sentence = check_refused(ask(olivia, method, path, form), status)
        assert "onerror" not in sentence
        for accept in ("*/*", "application/json", None):
            answer = ask(olivia, method, path, form, Accept=accept)
            assert (answer.status, answer.kind) == (status, PROBLEM), (method, path)
            assert answer.headers.get("Allow") == ask(olivia, method, path, form).headers.get("Allow")
            assert json.loads(answer.body)["detail"] in sentence or status == 405
    assert world.one("SELECT COUNT(*) FROM ingest_event") == 0


def test_405_names_the_allowed_methods_and_400_the_parameter(olivia: Visitor) -> None:
    assert olivia.ask("PUT", "/").headers["Allow"] == "GET, HEAD"
    assert olivia.get("/confirm").headers["Allow"] == "POST"
    assert "status" in olivia.get("/?status=odd").page.one("main").text


@pytest.mark.parametrize(
    ("headers", "status", "words"),
    [
        ({"Host": "evil.example"}, 421, "allowed_hosts"),
        ({"Sec-Fetch-Site": "cross-site"}, 403, "other sites"),
        ({"Cookie": None}, 401, "token"),
    ],
)
def test_requests_refused_by_the_guard_get_a_page_or_problem_json(
    olivia: Visitor, headers: Any, status: int, words: str
) -> None:
    assert words in check_refused(olivia.post("/scan", {}, headers), status)
    problem = olivia.post("/scan", {}, {**headers, "Accept": "*/*"})
    assert (problem.status, problem.kind) == (status, PROBLEM)
    assert olivia.web_client.woken == []


def test_a_viewer_cannot_change_anything(world: World, web_client: WebClient) -> None:
    victor = web_client.visitor("the-viewer-token")
    sync_id = web_client.put(photo("a"))
    acts = ["/scan", "/pause", "/resume", "/confirm", "/queue", "/preflight"]
    acts += [f"/batches/{sync_id}/{what}" for what in ("queue", "cancel", "preflight")]
    before = world.one("SELECT COUNT(*) FROM ingest_event")
    for path in acts:
        answer = victor.post(path, {"sync_id": sync_id} if path in ("/confirm", "/queue", "/preflight") else {})
        assert "victor is a viewer" in check_refused(answer, 403)
        assert victor.post(path, {}, {"Accept": "application/json"}).kind == PROBLEM
    assert (web_client.woken, world.one("SELECT COUNT(*) FROM ingest_event")) == ([], before)


def test_pages_report_an_unreachable_database(cut_off: WebClient) -> None:
    olivia = cut_off.visitor("the-operator-token")
    calls: list[tuple[str, str, Any]] = [("GET", path, None) for path in ("/", "/tasks", BATCH)]
    calls += [("POST", path, {"sync_id": UNKNOWN}) for path in ("/confirm", "/queue", "/preflight")]
    calls += [("POST", f"{BATCH}/{what}", {}) for what in ("queue", "cancel", "preflight")]
    calls += [("POST", path, {}) for path in ("/pause", "/resume")]
    for method, path, form in calls:
        answer = ask(olivia, method, path, form)
        assert "out of reach" in check_refused(answer, 503)
        assert answer.headers["Retry-After"]
        assert ask(olivia, method, path, form, Accept="*/*").kind == PROBLEM


def test_an_internal_error_reveals_no_detail(olivia: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: Any, **_more: Any) -> None:
        raise RuntimeError("a secret detail")

    monkeypatch.setattr(jobs, "counts_up_to", fail)
    answer = olivia.get("/")
    assert "log of the daemon" in check_refused(answer, 500)
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    ("path", "status"),
    [("/api/v1/batches", 200), (f"/api/v1{BATCH}", 404), ("/api/v1/jobs?limit=0", 400), ("/api/v1/scan", 405),
     ("/api/v1/nothing", 404), ("/openapi.json", 200), ("/healthz", 200), ("/readyz", 503)],
)  # fmt: skip
def test_the_api_returns_json_to_browsers(web_client: WebClient, olivia: Visitor, path: str, status: int) -> None:
    # The service of pre-flights checks the mount too, at a moment of its own.
    web_client.preflights.stop()
    assert web_client.preflights.join(PATIENCE)
    web_client.context.mount.lose("it was not looked at")
    answer = olivia.get(path)
    assert (answer.status, answer.kind) == (status, PROBLEM if status >= 400 else "application/json")
    is_open = path in ("/healthz", "/readyz")
    stranger = web_client.visitor().get(path)
    assert (stranger.status, stranger.kind) == ((status, answer.kind) if is_open else (401, PROBLEM))


# headers and static files


def all_answers(olivia: Visitor, sync_id: str) -> dict[str, Answer]:
    """Every page, and every other kind of response."""
    one, some = f"/batches/{sync_id}", {"sync_id": [sync_id, UNKNOWN]}
    looks = [
        "/",
        "/?status=failed",
        "/?notice=paused",
        "/?limit=1&after=5",
        "/tasks",
        one,
        f"{one}?limit=1&after=0",
        "/x",
        *STATIC,
    ]
    answers = {path: olivia.get(path) for path in looks}
    for path in ("/confirm", "/preflight", "/queue"):
        answers[path] = olivia.post(path, some)
    for path in (f"{one}/preflight", f"{one}/queue", f"{one}/cancel", "/pause"):
        answers[path] = olivia.post(path)
    answers["paused"] = olivia.get("/")
    answers["conflict"] = olivia.post(f"{one}/cancel")
    answers["stranger"] = olivia.web_client.visitor().get("/")
    answers["from elsewhere"] = olivia.web_client.visitor().get("/", {"Sec-Fetch-Site": "cross-site"})
    answers["wrong token"] = olivia.web_client.visitor().post("/sign-in")
    answers["signed in"] = olivia.web_client.visitor().post("/sign-in", {"token": "the-operator-token"})
    return answers


@pytest.fixture
def answers(web_client: WebClient, olivia: Visitor) -> dict[str, Answer]:
    sync_id = web_client.put(photo("a"), photo("b"), {"type": "photo", "hash": "bad"})
    return all_answers(olivia, sync_id)


def test_every_response_has_security_headers(answers: dict[str, Answer]) -> None:
    for name, answer in answers.items():
        policy = dict(part.split(maxsplit=1) for part in answer.headers["Content-Security-Policy"].split("; "))
        assert policy.pop("default-src") == "'none'"
        assert {policy.pop(key) for key in ("base-uri", "frame-ancestors")} == {"'none'"}
        assert "form-action" in policy
        assert set(policy.values()) == {"'self'"}, name
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "same-origin"
        assert answer.headers["Cache-Control"] == ("no-cache" if name in STATIC else "no-store")
        for header in ("Server", "Access-Control-Allow-Origin"):
            assert header not in answer.headers


def test_no_page_has_inline_code_or_external_resources(answers: dict[str, Answer]) -> None:
    pages = {name: answer for name, answer in answers.items() if answer.kind == "text/html" and answer.status != 303}
    assert len(pages) > 15
    for answer in pages.values():
        check_tame(answer.page)


@pytest.mark.parametrize("path", STATIC)
def test_static_files_need_no_session_and_are_revalidated(web_client: WebClient, path: str) -> None:
    stranger = web_client.visitor()
    answer = stranger.get(path)
    assert answer.status == 200
    assert answer.body
    assert answer.kind == {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}[path.rpartition(".")[2]]
    again = stranger.get(path, {"If-None-Match": answer.headers["ETag"]})
    assert (again.status, again.body, again.headers["Cache-Control"]) == (304, b"", "no-cache")
    assert again.headers["X-Content-Type-Options"] == "nosniff"
    assert stranger.get(path, {"If-None-Match": '"another"'}).body == answer.body
    assert stranger.get(path, {"Host": "evil.example"}).status == 421


def test_head_returns_the_headers_of_get_without_a_body(web_client: WebClient, olivia: Visitor) -> None:
    sync_id = web_client.put(photo("a"))
    for path in ("/", "/tasks", f"/batches/{sync_id}", "/nothing", "/?status=odd", "/confirm", *STATIC):
        head, get = olivia.ask("HEAD", path), olivia.get(path)
        assert (head.status, head.body) == (get.status, b"")
        for name in ("Content-Type", "Content-Length", "Cache-Control", "Content-Security-Policy", "ETag"):
            assert head.headers[name] == get.headers[name], (path, name)
    assert web_client.visitor().ask("HEAD", "/").status == 401
