"""Checks every request before it reaches a route: host, origin, token, role, in this order."""

from flask import Request, g, request

from ingestd.config import HttpSettings
from ingestd.hosts import normalized, normalized_set
from ingestd.web.problem import RETRY_SECONDS, ProblemError
from ingestd.web.security import session
from ingestd.web.security.tokens import Identity, Tokens

SAFE_METHODS = ("GET", "HEAD")
TOO_MANY = "Too many wrong tokens came from this address. Right tokens are still accepted."


class Guard:
    """Raises ProblemError for a request that must not reach its route."""

    def __init__(self, settings: HttpSettings, tokens: Tokens, public: frozenset[str]) -> None:
        """`public`: names of the endpoints that need no token."""
        self._hosts = normalized_set(settings.allowed_hosts)
        self._tokens = tokens
        self._public = public

    def check(self) -> None:
        self._tokens.wrong.report()
        self._check_host()
        self._check_site()
        if request.endpoint not in self._public:
            g.identity = self._identify(request)
            self._check_role(g.identity)

    def _check_host(self) -> None:
        """Rejects DNS rebinding: a name that another site points to this address is not an allowed host."""
        if normalized(request.environ.get("HTTP_HOST", "")) not in self._hosts:
            raise ProblemError(421, "This host is not served here: add it to [http] allowed_hosts.")

    def _check_site(self) -> None:
        """Rejects changes that a page of another site makes a browser send (CSRF)."""
        if request.method in SAFE_METHODS:
            return
        # A program sends neither of the two headers. A browser sends one, and only a browser has the cookie.
        allowed = ("same-origin",) if session.COOKIE in request.cookies else ("same-origin", "none")
        if self._site() not in allowed:
            raise ProblemError(403, "Pages of other sites must not change anything here: use the pages of ingestd.")

    def _site(self) -> str:
        """Where a request comes from: its Sec-Fetch-Site, or, from a browser without that header, its Origin."""
        site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
        if site is not None:
            return site
        if origin is None:
            return "none"
        scheme, _, host = origin.lower().partition("://")
        is_ours = scheme in ("http", "https") and normalized(host) in self._hosts
        return "same-origin" if is_ours else "cross-site"

    def _identify(self, request: Request) -> Identity:
        # WSGI decodes headers as Latin-1, so encoding returns the bytes that were sent.
        header: bytes = request.environ.get("HTTP_AUTHORIZATION", "").encode("latin-1")
        scheme, _, token = header.partition(b" ")
        # Another scheme is meant for a proxy in front of ingestd.
        is_bearer = scheme.lower() == b"bearer"
        identity = self._of_token(token.strip()) if is_bearer else session.identify(request, self._tokens)
        if identity is None:
            detail = "A token of the tokens file is required: `Authorization: Bearer TOKEN`."
            raise ProblemError(401, detail, headers={"WWW-Authenticate": 'Bearer realm="ingestd"'})
        return identity

    def _of_token(self, token: bytes) -> Identity | None:
        identity = self._tokens.find(token)
        if identity is None and token and self._tokens.wrong.note(request.remote_addr, "request"):
            raise ProblemError(429, TOO_MANY, headers={"Retry-After": RETRY_SECONDS})
        return identity

    def _check_role(self, identity: Identity) -> None:
        is_change = request.routing_exception is None and request.method not in SAFE_METHODS
        if is_change and identity.role != "operator":
            raise ProblemError(403, f"{identity.name} is a viewer; only operators may change anything.")
