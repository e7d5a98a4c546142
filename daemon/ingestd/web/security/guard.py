"""Whether a request may pass: hosts, origins, tokens and roles, in this order, before any route is reached."""

from flask import Request, g, request

from ingestd.config import HttpSettings
from ingestd.web.problem import ProblemError
from ingestd.web.security import session
from ingestd.web.security.tokens import Identity, Tokens

SAFE_METHODS = ("GET", "HEAD")


class Guard:
    """Lets a request pass, or raises Refused."""

    def __init__(self, settings: HttpSettings, tokens: Tokens, public: frozenset[str]) -> None:
        """`public`: the endpoints that need no token."""
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
        """A page of another site whose name was made to lead here is not answered: its Host is not ours."""
        if request.environ.get("HTTP_HOST", "").lower() not in self._hosts:
            raise ProblemError(421, "This host is not served here; see [http] allowed_hosts.")

    def _check_site(self) -> None:
        """What a page of another site makes a browser send may change nothing."""
        if request.method in SAFE_METHODS:
            return
        # What no browser says anything about comes from a program; with a cookie there is a browser, and it would.
        allowed = ("same-origin",) if session.COOKIE in request.cookies else ("same-origin", "none")
        if self._site() not in allowed:
            raise ProblemError(403, "Requests from pages of other sites change nothing here.")

    def _site(self) -> str:
        """Where a request comes from, as Sec-Fetch-Site tells it, or, of a browser that does not, Origin."""
        site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
        if site is not None:
            return site
        if origin is None:
            return "none"
        return "same-origin" if origin.lower() in self._origins else "cross-site"

    def _identify(self, asked: Request) -> Identity:
        # WSGI decodes headers as Latin-1, so this gives the very bytes that were sent.
        header: bytes = asked.environ.get("HTTP_AUTHORIZATION", "").encode("latin-1")
        scheme, _, token = header.partition(b" ")
        # Another scheme is for a proxy before us, and says nothing here.
        is_bearer = scheme.lower() == b"bearer"
        identity = self._tokens.find(token.strip()) if is_bearer else session.holder(asked, self._tokens)
        if identity is None:
            sentence = "A token of the tokens file is needed, as in `Authorization: Bearer TOKEN`."
            raise ProblemError(401, sentence, headers={"WWW-Authenticate": 'Bearer realm="ingestd"'})
        return identity

    def _check_role(self, identity: Identity) -> None:
        is_acting = request.routing_exception is None and request.method not in SAFE_METHODS
        if is_acting and identity.role != "operator":
            raise ProblemError(403, f"{identity.name} may look on, and only operators may act.")
