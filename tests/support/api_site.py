"""The API of a daemon over a real listener, with a client that checks responses against /openapi.json."""

import http.client
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker  # type: ignore[import-untyped]

from ingestd.config import Settings
from ingestd.pipeline.claims import claim
from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.requests import PreflightStep, ScanStep
from ingestd.pipeline.scanner import Scanner
from ingestd.service import Service
from ingestd.web import Hooks, make_app, make_listener
from support.world import World

HOST = "ingestd.test"
TOKENS = "# users\nolivia:operator:the-operator-token\n\nvictor:viewer:the-viewer-token\n"
UNKNOWN = "00000000-0000-4000-8000-000000000000"
PROBLEM = "application/problem+json"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def detail(self) -> str:
        return str(self.json["detail"])


@dataclass
class Site:
    """The API of a daemon, with a client that checks responses against /openapi.json.

    Scans run when the test calls `scans`; pre-flights run in the background. `woken` lists the hooks that were called.
    """

    context: Context
    woken: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    spec: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        instance = this_instance()
        self.scans = ScanStep(self.context, instance, Scanner(self.context))
        self.preflights = Service("preflight", PreflightStep(self.context, instance).run_once, finally_do=self._close)
        on_queued, health = (lambda: self.woken.append("queued")), (lambda: list(self.reasons))
        self.web = make_app(self.context, Hooks(on_queued, self._on_request, health))
        listener = make_listener(self.context.settings, self.web)
        assert listener is not None
        self.listener = listener

    def _on_request(self) -> None:
        self.woken.append("request")
        self.preflights.wake()

    def _close(self) -> None:
        self.context.db.close()

    def start(self) -> None:
        self.listener.start()
        self.preflights.start()
        self.spec = json.loads(self.send("GET", "/openapi.json").text)

    def stop(self) -> None:
        self.listener.stop()
        self.preflights.stop()
        assert self.preflights.join(30)

    def send(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """Sends one request unchanged; underscores in header names become dashes."""
        connection = http.client.HTTPConnection(self.listener.address, timeout=60)
        sent = {"Host": HOST, "Authorization": "Bearer the-operator-token"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.headers), answer.read().decode())
        finally:
            connection.close()

    def call(self, method: str, path: str, body: Any = None) -> Answer:
        """Sends one request as an operator and compares the response with the description."""
        answer = self.send(method, path, None if body is None else json.dumps(body).encode())
        self.compare(method, path, answer)
        return answer

    def get(self, path: str) -> Any:
        answer = self.call("GET", path)
        assert answer.status == 200, answer.text
        return answer.json

    def post(self, path: str, body: Any = None) -> Answer:
        return self.call("POST", path, body)

    def compare(self, method: str, path: str, answer: Answer) -> None:
        described = self.operation(method, path)["responses"][str(answer.status)]["content"]
        kind = answer.headers["Content-Type"]
        assert list(described) == [kind]
        check({**self.spec, "allOf": [described[kind]["schema"]]}, answer.json)

    def operation(self, method: str, path: str) -> dict[str, Any]:
        for template, methods in self.spec["paths"].items():
            if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path.partition("?")[0]):
                found: dict[str, Any] = methods[method.lower()]
                return found
        raise AssertionError(f"{path} is not described")


def check(schema: dict[str, Any], value: Any) -> None:
    Draft202012Validator(schema, format_checker=FormatChecker()).validate(value)


def settings_of(world: World, tmp_path: Path, **overrides: dict[str, Any]) -> Settings:
    tokens = tmp_path / "tokens"
    tokens.write_text(TOKENS)
    http_section = {"listen": "127.0.0.1:0", "allowed_hosts": [HOST], "tokens_file": str(tokens)}
    return world.settings(http=http_section, **overrides)


def serve(world: World, settings: Settings) -> Iterator[Site]:
    context = world.context_of(settings)
    site = Site(context)
    site.start()
    yield site
    site.stop()


def put(world: World, site: Site, *items: Any, **envelope: Any) -> str:
    """Writes a bundle and records it."""
    sync_id = world.put(*items, **envelope)
    world.scan(site.context)
    return sync_id


def run_it(world: World) -> None:
    """Claims the queued job, so that it counts as running."""
    with_lease = claim(world.contexts[0], "test/pid:1/0", str(this_instance()))
    assert with_lease is not None


def all_pages(site: Site, path: str) -> list[Any]:
    """All rows of a list, read page by page."""
    found, after = [], ""
    while True:
        page = site.get(path + after)
        found += page["items"]
        if page["next"] is None:
            return found
        after = f"&after={page['next']}"
