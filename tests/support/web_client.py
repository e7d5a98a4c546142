"""A client for the operator pages without a browser: keeps the cookie, submits forms, parses pages."""

import http.client
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.cookies import Morsel, SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from ingestd.config import Settings
from ingestd.pipeline.claims import claim
from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.requests import PreflightStep, ScanStep
from ingestd.pipeline.scanner import Scanner
from ingestd.service import Service
from ingestd.web import Hooks, make_app, make_listener
from ingestd.web.security.session import COOKIE
from support.html import Element, parse
from support.world import World

HOST = "ingestd.test"
TOKENS = "olivia:operator:the-operator-token\nvictor:viewer:the-viewer-token\n"
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "Sec-Fetch-Site": "same-origin"}
UNKNOWN = "00000000-0000-4000-8000-000000000000"
ACTS = (
    *("/scan", "/pause", "/resume", "/confirm", "/queue", "/preflight"),
    *(f"/batches/{UNKNOWN}/{what}" for what in ("queue", "cancel", "preflight")),
)
"""Every route that requires the role operator."""

Headers = Mapping[str, str | bytes | None]
Form = Mapping[str, str | list[str]]


@dataclass
class Answer:
    status: int
    headers: Message
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def kind(self) -> str:
        return self.headers.get_content_type()

    @property
    def page(self) -> Element:
        assert self.kind == "text/html", self.text
        return parse(self.text)

    @property
    def cookie(self) -> "Morsel[str] | None":
        """The session cookie that the response sets or deletes."""
        cookies = self.headers.get_all("Set-Cookie", [])
        assert len(cookies) < 2
        return SimpleCookie(cookies[0])[COOKIE] if cookies else None


@dataclass
class WebClient:
    """A served interface that plans in the background. Scans run on demand; `woken` lists the hooks called.

    `silent` are reasons why the daemon is unhealthy, `lacking` its parts that lack resources.
    """

    world: World
    context: Context
    tokens: Path
    woken: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        instance = this_instance()
        self.scans = ScanStep(self.context, instance, Scanner(self.context))
        preflights = PreflightStep(self.context, instance)
        self.preflights = Service("preflight", preflights.run_once)
        hooks = Hooks(
            lambda: self.woken.append("worker_pool"), self._on_request, lambda: self.silent, lambda: self.lacking
        )
        self.web = make_app(self.context, hooks)
        listener = make_listener(self.context.settings, self.web)
        assert listener is not None
        self.listener = listener

    def _on_request(self) -> None:
        self.woken.append("requests")
        self.preflights.wake()

    def run_scan(self) -> None:
        """Runs the requested scan."""
        assert self.scans.runner.run_next()

    def send(self, method: str, path: str, body: bytes | None = None, headers: Headers | None = None) -> Answer:
        """Sends one request; headers with the value None are omitted."""
        connection = http.client.HTTPConnection(self.listener.address, timeout=60)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            given = {"Host": HOST, "Content-Length": str(len(body or b"")), **(headers or {})}
            for name, text in given.items():
                if text is not None:
                    connection.putheader(name, text)
            connection.endheaders(body)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def visitor(self, token: str = "") -> "Visitor":
        """A visitor, signed in if `token` is given."""
        visitor = Visitor(self)
        if token:
            assert visitor.post("/sign-in", {"token": token}).status == 303
        return visitor

    def put(self, *items: Any, **envelope: Any) -> str:
        """Delivers a bundle and records it; returns its sync_id."""
        sync_id = self.world.put(*items, **envelope)
        self.world.scan(self.context)
        return sync_id

    def run_job(self) -> None:
        """Sets the queued job to running."""
        assert claim(self.context, "test/pid:1/0", str(this_instance())) is not None


@dataclass
class Visitor:
    """A client of the pages; `session` is its cookie."""

    web_client: WebClient
    session: str | None = None

    def ask(self, method: str, path: str, body: bytes | None = None, headers: Headers | None = None) -> Answer:
        cookie = None if self.session is None else f"{COOKIE}={self.session}"
        answer = self.web_client.send(method, path, body, {**BROWSER, "Cookie": cookie, **(headers or {})})
        if answer.cookie is not None:
            self.session = answer.cookie.value if answer.cookie["max-age"] != "0" else None
        return answer

    def get(self, path: str, headers: Headers | None = None) -> Answer:
        return self.ask("GET", path, None, headers)

    def see(self, path: str) -> Element:
        """Gets a page; checks that it exists."""
        answer = self.get(path)
        assert answer.status == 200, answer.text
        return answer.page

    def post(self, path: str, form: Form | None = None, headers: Headers | None = None) -> Answer:
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.ask("POST", path, urlencode(form or {}, doseq=True).encode(), {**kind, **(headers or {})})

    def submit(self, page: Element, action: str, **fields: str | list[str]) -> Element:
        """Submits a form with its hidden fields; returns the resulting page."""
        form = page.form(action)
        assert form is not None, f"there is no form for {action}"
        names = {element.attributes.get("name") for element in form.walk()}
        assert fields.keys() <= names, names
        hidden: dict[str, list[str]] = {}
        for element in form.all("input", type="hidden"):
            hidden.setdefault(element["name"], []).append(element["value"])
        answer = self.post(action, {**hidden, **fields})
        return self.see(answer.headers["Location"]) if answer.status == 303 else answer.page


def settings_of(world: World, folder: Path, **sections: dict[str, Any]) -> Settings:
    """Settings of a server; creates a tokens file in the folder if there is none."""
    tokens = folder / "tokens"
    if not tokens.exists():
        tokens.write_text(TOKENS)
    section = {"listen": "127.0.0.1:0", "allowed_hosts": [HOST], "tokens_file": str(tokens)}
    return world.settings(http=section | sections.pop("http", {}), **sections)


@contextmanager
def serving(world: World, settings: Settings) -> Iterator[WebClient]:
    context = world.context_of(settings)
    web_client = WebClient(world, context, Path(settings.http.tokens_file))
    web_client.listener.start()
    web_client.preflights.start()
    try:
        yield web_client
    finally:
        web_client.listener.stop()
        web_client.preflights.stop()
        assert web_client.preflights.join(30)
