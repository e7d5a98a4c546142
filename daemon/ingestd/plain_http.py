"""Small WSGI applications for a listener without pages: routes by path, HEAD, and the check of `Host`."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ingestd.hosts import AllowedHosts

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
WsgiApp = Callable[[Environ, StartResponse], Iterable[bytes]]


def dispatch(apps: Mapping[str, WsgiApp]) -> WsgiApp:
    """Answers GET and HEAD of each path with its application."""
    missing = text_app("404 Not Found", f"there is only {', '.join(sorted(apps))} here\n")
    wrong_method = text_app(
        "405 Method Not Allowed", "this address answers GET and HEAD only\n", ("Allow", "GET, HEAD")
    )

    def call(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        app = apps.get(environ.get("PATH_INFO", ""), missing)
        is_allowed = environ["REQUEST_METHOD"] == "GET" or app is missing
        return (app if is_allowed else wrong_method)(environ, start_response)

    return _with_head(call)


def only_for(hosts: AllowedHosts, app: WsgiApp) -> WsgiApp:
    """Rejects DNS rebinding: a page of another site, whose name points here, must not read what `app` answers."""
    foreign = text_app("421 Misdirected Request", "this host is not served here: add it to [metrics] allowed_hosts\n")

    def call(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        return (app if hosts.allow(environ.get("HTTP_HOST", "")) else foreign)(environ, start_response)

    return call


def _with_head(app: WsgiApp) -> WsgiApp:
    """Answers HEAD as GET, without the body."""

    def call(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] != "HEAD":
            return app(environ, start_response)
        app({**environ, "REQUEST_METHOD": "GET"}, start_response)
        return []

    return call


def text_app(status: str, text: str, *headers: tuple[str, str]) -> WsgiApp:
    """Answers everything with one text."""

    def call(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        body = text.encode()
        shared = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
        start_response(status, [*shared, *headers])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    return call
