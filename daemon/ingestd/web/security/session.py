"""Session cookie of the operator's pages: stateless, `name.expiry.signature`.

The signature is HMAC-SHA256 over name and expiry, with a key derived from that person's token. So nothing has to be
stored, every host that reads the same tokens file accepts the cookie, and removing or changing the token revokes it.
The expiry is part of the value, instead of the time of signing, so that hosts whose clocks differ agree on it.
"""

import hashlib
import time

from flask import Request, Response
from itsdangerous import BadData, BadSignature, Signer
from itsdangerous.encoding import base64_decode, base64_encode

from ingestd.web.security.tokens import Identity, Tokens

COOKIE = "ingestd_session"
LIFETIME = 12 * 3600
"""seconds from signing in to the expiry"""


def open_session(response: Response, identity: Identity, token: bytes, *, secure: bool) -> None:
    """Sets the cookie. `secure`: the page came over HTTPS, and the browser must send the cookie over HTTPS only."""
    value = sign_session(identity.name, token, int(time.time()) + LIFETIME)
    response.set_cookie(COOKIE, value, max_age=LIFETIME, httponly=True, samesite="Strict", secure=secure)


def close_session(response: Response) -> None:
    """Deletes the cookie."""
    response.delete_cookie(COOKIE, httponly=True, samesite="Strict")


def identify(request: Request, tokens: Tokens) -> Identity | None:
    """The identity of the request's cookie; None if the cookie is missing, forged, revoked or expired."""
    # WSGI passes on any byte of a header; a byte that is not UTF-8 arrives as a surrogate.
    value = request.cookies.get(COOKIE, "").encode("utf-8", "surrogateescape")
    for token, identity in tokens.of(_claimed_name(value)):
        expires_at = _verified_expiry(value, token)
        if expires_at is not None:
            return identity if expires_at > time.time() else None
    return None


def sign_session(name: str, token: bytes, expires_at: int) -> str:
    """The cookie's value. `expires_at`: seconds since 1970."""
    return _signer(token).sign(b"%s.%d" % (base64_encode(name), expires_at)).decode()


def _signer(token: bytes) -> Signer:
    return Signer(token, salt="ingestd session", key_derivation="hmac", digest_method=hashlib.sha256)


def _claimed_name(value: bytes) -> str:
    """The name in a cookie that is not verified yet; "" if it is unreadable, which is the name of no token."""
    try:
        return base64_decode(value.partition(b".")[0]).decode()
    except (BadData, UnicodeDecodeError):
        return ""


def _verified_expiry(value: bytes, token: bytes) -> int | None:
    """The expiry of a cookie that was signed with `token`; None for any other cookie."""
    try:
        signed = _signer(token).unsign(value)
    except BadSignature:
        return None
    return int(signed.partition(b".")[2])
