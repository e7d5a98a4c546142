"""A server, every kind of route, and its responses to access attempts."""

import http.client
import json
from email.message import Message
from typing import Any

import pytest

from ingestd.web import Hooks, make_app, make_listener
from support.world import World

HOSTS = ["ingestd.test", "127.0.0.1:8640"]
SYNC_ID = "00000000-0000-4000-8000-000000000000"
LOOKS = [
    ("GET", path)
    for path in (
        "/api/v1/batches", f"/api/v1/batches/{SYNC_ID}", f"/api/v1/batches/{SYNC_ID}/items",
        f"/api/v1/batches/{SYNC_ID}/events", "/api/v1/jobs", "/api/v1/jobs/1", "/api/v1/requests/1",
        "/api/v1/status", "/api/v1/stuck", "/api/v1/jobs/recent", "/api/v1/events", "/openapi.json",
    )
]  # fmt: skip
ACTS = [
    ("POST", path)
    for path in (
        f"/api/v1/batches/{SYNC_ID}/queue", f"/api/v1/batches/{SYNC_ID}/cancel",
        f"/api/v1/batches/{SYNC_ID}/preflight", "/api/v1/queue", "/api/v1/scan", "/api/v1/pause", "/api/v1/resume",
        "/api/v1/mount/accept",
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
        self.context = world.context_of(self.settings)
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
