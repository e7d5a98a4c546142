"""Who may ask: the names, roles and tokens of the tokens file."""

import hmac
from dataclasses import dataclass

import structlog

from ingestd.config import read_secret
from ingestd.errors import ConfigError

log = structlog.get_logger()

ROLES = ("operator", "viewer")
MAX_NAME = 255
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

    def of(self, name: str) -> list[tuple[bytes, Identity]]:
        """The tokens of one name."""
        return [(token, identity) for token, identity in self._present() if identity.name == name]

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
        if name.isprintable() and 0 < len(name) <= MAX_NAME and role in ROLES and token and token.isascii():
            known.append((token.encode(), Identity(name, role)))
        else:
            log.error("token_ignored", line=number, reason="a line is name:role:token, role operator or viewer")
    return known
