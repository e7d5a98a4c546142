"""How a browser stays signed in: a cookie that only the holder of a token can have been given.

It names somebody and an end, sealed with that person's token: nothing has to be kept, every process that reads the same
tokens file knows it, and it is worth nothing once the token is taken out or changed.
"""

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Iterable

from flask import Request, Response

from ingestd.web.security.tokens import Identity, Tokens

COOKIE = "ingestd_session"
LIFETIME = 12 * 3600
"""seconds after signing in"""


def open_session(response: Response, identity: Identity, token: bytes, *, secure: bool) -> None:
    """Lets the browser stay signed in. `secure`: it came over HTTPS, and is to send this over nothing else."""
    value = seal(identity.name, token, int(time.time()) + LIFETIME)
    response.set_cookie(COOKIE, value, max_age=LIFETIME, httponly=True, samesite="Strict", secure=secure)


def close_session(response: Response) -> None:
    response.delete_cookie(COOKIE, httponly=True, samesite="Strict")


def holder(asked: Request, tokens: Tokens) -> Identity | None:
    """Whom the cookie of a request names, if it is genuine and has not ended."""
    value = asked.cookies.get(COOKIE, "")
    named, _, rest = value.partition(".")
    end, _, _ = rest.partition(".")
    name = _name(named)
    if name is None or not (end.isascii() and end.isdigit() and len(end) < 20) or int(end) <= time.time():
        return None
    return _sealed_by(value, name, int(end), tokens.of(name))


def _sealed_by(value: str, name: str, end: int, known: Iterable[tuple[bytes, Identity]]) -> Identity | None:
    for token, identity in known:
        # WSGI may hand over any byte of a header, and only ASCII can be compared as text.
        if hmac.compare_digest(seal(name, token, end).encode(), value.encode("utf-8", "surrogateescape")):
            return identity
    return None


def seal(name: str, token: bytes, end: int) -> str:
    named = base64.urlsafe_b64encode(name.encode()).decode().rstrip("=")
    mark = hmac.new(token, f"ingestd session\0{name}\0{end}".encode(), hashlib.sha256).hexdigest()
    return f"{named}.{end}.{mark}"


def _name(text: str) -> str | None:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        return None
