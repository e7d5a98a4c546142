"""Who asks, and whether they may: hosts, origins, tokens and roles, in this order, before any route is reached."""

import hmac
from dataclasses import dataclass

import structlog
from flask import Request, g, request

from ingestd.config import HttpSettings, read_secret
from ingestd.errors import ConfigError
from ingestd.web.problem import Refused

log = structlog.get_logger()

ROLES = ("operator", "viewer")
SAFE_METHODS = ("GET", "HEAD")
SAME_SITE = ("same-origin", "none")
MOST_NAME = 255
"""characters that the column for `requested_by` holds"""


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody who may ask. `name` is whom the ledger names."""

    name: str
    role: str


class Tokens:
    """The lines of the tokens file. It is read for every request: a token taken out must be refused from then on."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._read: tuple[str | None, list[tuple[bytes, Identity]]] = (None, [])

    def find(self, token: bytes) -> Identity | None:
        """Whose token this is; takes as long whichever it is, if any."""
        found = None
        for known, identity in self._present():
            if hmac.compare_digest(known, token) and found is None:
                found = identity
        return found

    def _present(self) -> list[tuple[bytes, Identity]]:
        last, known = self._read
        try:
            text = read_secret(self._file)
        except ConfigError as error:
            if last != "":
                log.error("tokens_unreadable", error=str(error))
            text = ""
        if text != last:
            known = parse(text)
            # One assignment: threads that meet here must find no text beside the tokens of another.
            self._read = (text, known)
        return known


def parse(text: str) -> list[tuple[bytes, Identity]]:
    """The tokens of a file; a line that is none is said by its number and left out, for its content is secret."""
    known = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, role, token = ([part.strip() for part in line.split(":", 2)] + ["", ""])[:3]
        if name.isprintable() and 0 < len(name) <= MOST_NAME and role in ROLES and token and token.isascii():
            known.append((token.encode(), Identity(name, role)))
        else:
            log.error("token_ignored", line=number, reason="a line is name:role:token, role operator or viewer")
    return known


class Guard:
    """Lets a request pass, or raises Refused."""

    def __init__(self, settings: HttpSettings, public: frozenset[str]) -> None:
        """`public`: the endpoints that need no token."""
        self._hosts = {host.lower() for host in settings.allowed_hosts}
        self._origins = {f"{scheme}://{host}" for scheme in ("http", "https") for host in self._hosts}
        self._tokens = Tokens(settings.tokens_file)
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
            raise Refused(421, "This host is not served here; see [http] allowed_hosts.")

    def _check_site(self) -> None:
        """What a page of another site makes a browser send may change nothing."""
        if request.method in SAFE_METHODS:
            return
        site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
        if site is None:
            site = "none" if origin is None or origin.lower() in self._origins else "cross-site"
        if site not in SAME_SITE:
            raise Refused(403, "Requests from pages of other sites change nothing here.")

    def _identify(self, asked: Request) -> Identity:
        # WSGI decodes headers as Latin-1, so this gives the very bytes that were sent.
        scheme, _, token = asked.environ.get("HTTP_AUTHORIZATION", "").encode("latin-1").partition(b" ")
        identity = self._tokens.find(token.strip()) if scheme.lower() == b"bearer" else None
        if identity is None:
            sentence = "A token of the tokens file is needed, as in `Authorization: Bearer TOKEN`."
            raise Refused(401, sentence, headers={"WWW-Authenticate": 'Bearer realm="ingestd"'})
        return identity

    def _check_role(self, identity: Identity) -> None:
        is_acting = request.routing_exception is None and request.method not in SAFE_METHODS
        if is_acting and identity.role != "operator":
            raise Refused(403, f"{identity.name} may look on, and only operators may act.")
