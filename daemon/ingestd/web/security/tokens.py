"""The tokens file: names, roles and tokens of the people and programs that may send requests."""

import hmac
from dataclasses import dataclass

import structlog

from ingestd.config import read_secret
from ingestd.errors import ConfigError
from ingestd.web.security.attempts import WrongTokens

log = structlog.get_logger()

ROLES = ("operator", "viewer")
MAX_NAME = 255
"""characters; the length of the column `requested_by`"""
MIN_TOKEN = 16
"""characters; a shorter token could be guessed"""


@dataclass(frozen=True, slots=True)
class Identity:
    """The person or program that sends a request. `name` is recorded in the ledger; `role` is one of ROLES."""

    name: str
    role: str


class Tokens:
    """The lines of the tokens file. It is read for every request, so that a removed token is refused at once."""

    def __init__(self, file: str) -> None:
        self._file = file
        self.wrong = WrongTokens()
        self._read: tuple[str | None, list[tuple[bytes, Identity]]] = (None, [])

    def find(self, token: bytes) -> Identity | None:
        """The owner of a token; None if it is unknown. Takes the same time for every token of one length."""
        found = None
        for known, identity in self._current():
            if hmac.compare_digest(known, token) and found is None:
                found = identity
        return found

    def of(self, name: str) -> list[tuple[bytes, Identity]]:
        """The tokens of one name, each with its identity."""
        return [(token, identity) for token, identity in self._current() if identity.name == name]

    def load(self) -> None:
        """Reads the file now, so that its mistakes are logged when the daemon starts."""
        self._current()

    def _current(self) -> list[tuple[bytes, Identity]]:
        last, known = self._read
        try:
            text = read_secret(self._file)
        except ConfigError as error:
            if last != "":
                log.error("tokens_unreadable", error=str(error))
            text = ""
        if text != last:
            known = parse(text)
            # One assignment, so that a thread never sees a text with the tokens of another text.
            self._read = (text, known)
        return known


def parse(text: str) -> list[tuple[bytes, Identity]]:
    """The tokens of a file. A line that is not accepted is logged by its number only: its content is secret."""
    known = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, role, token = ([part.strip() for part in line.split(":", 2)] + ["", ""])[:3]
        reason = _mistake(name, role, token)
        if reason is None:
            known.append((token.encode(), Identity(name, role)))
        else:
            log.error("token_ignored", line=number, reason=reason)
    return known


def _mistake(name: str, role: str, token: str) -> str | None:
    """Why a line of the tokens file is not accepted, without its content."""
    if not (name.isprintable() and 0 < len(name) <= MAX_NAME and role in ROLES and token and token.isascii()):
        return "a line is name:role:token, role operator or viewer"
    if len(token) < MIN_TOKEN:
        return f"the token has fewer than {MIN_TOKEN} characters; create a longer one"
    return None
