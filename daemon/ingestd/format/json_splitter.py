"""Splits JSON text into the values of an object or the elements of an array, without decoding them. Pure.

Linear in the length of the text and in constant memory, whatever the text. Strings are skipped, so their content is not
checked; what stands between brackets and commas is checked by the one who decodes the parts.
"""

import re
from collections.abc import Callable, Generator

_STRING = rb'"(?:[^"\\\x00-\x1f]++|\\[^\x00-\x1f])*+"'
_TOKEN = re.compile(_STRING + rb'|["\[\]{},]')
_KEY = re.compile(rb"[ \t\n\r]*+(" + _STRING + rb")[ \t\n\r]*+:[ \t\n\r]*+")
_SCALAR = re.compile(rb'[^ \t\n\r,:"\[\]{}]++')
_SPACE = re.compile(rb"[ \t\n\r]*+")
_SPACES = frozenset(b" \t\n\r")
_QUOTE, _COMMA, _OPENING, _CLOSING = ord('"'), ord(","), frozenset(b"[{"), frozenset(b"]}")
TOKENS_PER_SIGN = 1 << 17

Alive = Callable[[], None]


class NotJson(ValueError):
    """The text ends too early, or is not JSON at an offset."""

    def __init__(self, offset: int) -> None:
        super().__init__(f"ends too early or is malformed at byte {offset}")


class TooDeep(ValueError):
    """A value is nested deeper than the caller allows."""


class TooMany(ValueError):
    """An array has more elements than the caller allows."""


def still_alive() -> None:
    """What is called while a long text is split, if the caller does not care."""


def space_end(data: bytes, start: int) -> int:
    """Where white space that begins at `start` ends."""
    found = _SPACE.match(data, start)
    return found.end() if found else start


def key_at(data: bytes, start: int) -> tuple[bytes, int] | None:
    """The key, with its quotes, that begins at `start`, and where its value begins; None if there is no key."""
    found = _KEY.match(data, start)
    return (found[1], found.end()) if found else None


def value_end(data: bytes, start: int, *, limit: int, max_depth: int) -> int | None:
    """Where the value that begins at `start` ends; None if that is beyond `limit`. Raises NotJson, TooDeep."""
    if data[start : start + 1] not in (b"[", b"{"):
        found = (_TOKEN if data[start : start + 1] == b'"' else _SCALAR).match(data, start)
        if found is None or data[start : found.end()] == b'"':
            raise NotJson(start)
        return found.end() if found.end() <= limit else None
    depth = 0
    for token in _TOKEN.finditer(data, start, limit):
        char = data[token.start()]
        if char in _OPENING:
            depth += 1
            if depth > max_depth:
                raise TooDeep
        elif char in _CLOSING:
            depth -= 1
            if not depth:
                return token.end()
        elif char == _QUOTE and token.end() == token.start() + 1:
            break
    if limit < len(data):
        return None
    raise NotJson(len(data))


def array_parts(data: bytes, start: int, alive: Alive = still_alive) -> Generator[tuple[int, int], None, int]:
    """The bounds of each element of the array that begins at `start`; returns where the array ends. Raises NotJson.

    `alive()` is called now and then, also within a long element.
    """
    depth, begin = 0, start + 1
    for count, token in enumerate(_TOKEN.finditer(data, start)):
        at = token.start()
        char = data[at]
        if char in _OPENING:
            depth += 1
        elif char == _COMMA and depth == 1:
            yield _element(data, begin, at)
            begin = at + 1
        elif char in _CLOSING:
            depth -= 1
            if not depth:
                if begin > start + 1 or space_end(data, begin) < at:
                    yield _element(data, begin, at)
                return token.end()
        elif char == _QUOTE and token.end() == at + 1:
            raise NotJson(at)
        if not count % TOKENS_PER_SIGN:
            alive()
    raise NotJson(len(data))


def measure_array(data: bytes, start: int, max_count: int, alive: Alive = still_alive) -> tuple[int, int]:
    """The number of elements of the array that begins at `start`, and where it ends. Raises TooMany, NotJson."""
    parts = array_parts(data, start, alive)
    for count in range(max_count + 1):
        try:
            next(parts)
        except StopIteration as stop:
            return count, stop.value
    raise TooMany


def _element(data: bytes, begin: int, end: int) -> tuple[int, int]:
    """The bounds without white space around."""
    begin = space_end(data, begin)
    while end > begin and data[end - 1] in _SPACES:
        end -= 1
    if begin >= end:
        raise NotJson(begin)
    return begin, end
