"""Checks every request before it reaches a route: host, origin, token, role, in this order."""

from flask import Request, g, request

from ingestd.config import HttpSettings
from ingestd.web.problem import ProblemError
from ingestd.web.security import session
from ingestd.web.security.tokens import Identity, Tokens

SAFE_METHODS = ("GET", "HEAD")


class Guard:
    """Raises ProblemError for a request that must not reach its route."""

    def __init__(self, settings: HttpSettings, tokens: Tokens, public: frozenset[str]) -> None:
        """`public`: names of the endpoints that need no token."""
        self._hosts = {host.lower() for host in settings.allowed_hosts}
        self._origins = {f"{scheme}://{host}" for scheme in ("http", "https") for host in self._hosts}
        self._tokens = tokens
        self._public = public

    def check(self) -> None:
        self._check_host()
        self._check_site()
        if request.endpoint not in self._public:
            g.identity = self._identify(request)
            self._check_role(g.identity)

    def _check_host(self) -> None:
        """Rejects DNS rebinding: a name that another site points to this address is not an allowed host."""
        if request.environ.get("HTTP_HOST", "").lower() not in self._hosts:
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
        return "same-origin" if origin.lower() in self._origins else "cross-site"

    def _identify(self, request: Request) -> Identity:
        # WSGI decodes headers as Latin-1, so encoding returns the bytes that were sent.
        header: bytes = request.environ.get("HTTP_AUTHORIZATION", "").encode("latin-1")
        scheme, _, token = header.partition(b" ")
        # Another scheme is meant for a proxy in front of ingestd.
        is_bearer = scheme.lower() == b"bearer"
        identity = self._tokens.find(token.strip()) if is_bearer else session.identify(request, self._tokens)
        if identity is None:
            detail = "A token of the tokens file is required: `Authorization: Bearer TOKEN`."
            raise ProblemError(401, detail, headers={"WWW-Authenticate": 'Bearer realm="ingestd"'})
        return identity

    def _check_role(self, identity: Identity) -> None:
        is_change = request.routing_exception is None and request.method not in SAFE_METHODS
        if is_change and identity.role != "operator":
            raise ProblemError(403, f"{identity.name} is a viewer; only operators may change anything.")
