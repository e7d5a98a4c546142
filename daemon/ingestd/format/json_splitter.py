"""Finds values in JSON text: the fields of an object, the elements of an array. Pure.

Linear in the length of the text and in constant memory, whatever the text. Whether a value is valid is checked by the
one who decodes it.
"""

import re
from collections.abc import Callable, Generator

import msgspec

_STRING = rb'"(?:[^"\\\x00-\x1f]++|\\[^\x00-\x1f])*+"'
_TOKEN = re.compile(_STRING + rb'|["\[\]{},]')
_KEY = re.compile(rb"[ \t\n\r]*+(" + _STRING + rb")[ \t\n\r]*+:[ \t\n\r]*+")
_SCALAR = re.compile(rb'[^ \t\n\r,:"\[\]{}]++')
_SPACE = re.compile(rb"[ \t\n\r]*+")
_QUOTE, _COMMA, _OPENING, _CLOSING = ord('"'), ord(","), frozenset(b"[{"), frozenset(b"]}")
TOKENS_PER_SIGN = 1 << 17
WINDOW, TRIES = 1 << 16, 8

Alive = Callable[[], None]
Element = msgspec.Raw | bytes

_decode_raws = msgspec.json.Decoder(list[msgspec.Raw]).decode


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


def elements(data: bytes, start: int, alive: Alive = still_alive) -> Generator[Element, None, int]:
    """The raw elements of the array that begins at `start`; returns where the array ends. Raises NotJson.

    Text is decoded a window at a time, so that few elements exist at once. A window that a decoder refuses is split by
    brackets instead. `alive()` is called now and then.
    """
    at = start + 1
    while True:
        alive()
        raws, end = _decoded_window(data, at)
        if raws:
            yield from raws
            at = end + 1
            continue
        steps = _stepped_window(data, at, alive, is_first=at == start + 1)
        at = yield from steps
        if data[at - 1] in _CLOSING:
            return at


def count_elements(data: bytes, start: int, max_count: int, alive: Alive = still_alive) -> tuple[int, int]:
    """The number of elements of the array that begins at `start`, and where it ends. Raises TooMany, NotJson."""
    parts = elements(data, start, alive)
    for count in range(max_count + 1):
        try:
            next(parts)
        except StopIteration as stop:
            return count, stop.value
    raise TooMany


def _decoded_window(data: bytes, start: int) -> tuple[list[msgspec.Raw], int]:
    """The elements from `start` up to a comma, and its place; none if no comma was found that ends an element.

    If the text up to a comma decodes as elements, this comma is between two elements, and in no text or inner list.
    """
    end = start + WINDOW
    if end < len(data):
        for _ in range(TRIES):
            end = data.rfind(b",", start, end)
            if end < 0:
                break
            try:
                return _decode_raws(b"[%b]" % data[start:end]), end
            except (ValueError, RecursionError):
                continue
    return [], start


def _stepped_window(data: bytes, start: int, alive: Alive, *, is_first: bool) -> Generator[bytes, None, int]:
    """Elements from `start` to a comma behind the window, or to the end of the array; returns where the next begins."""
    depth, begin = 1, start
    for count, token in enumerate(_TOKEN.finditer(data, start)):
        at = token.start()
        char = data[at]
        if char in _OPENING:
            depth += 1
        elif char == _COMMA and depth == 1:
            yield _element(data, begin, at)
            begin = at + 1
            if at - start > WINDOW:
                return begin
        elif char in _CLOSING:
            depth -= 1
            if not depth:
                if not is_first or begin > start or space_end(data, begin) < at:
                    yield _element(data, begin, at)
                return token.end()
        elif char == _QUOTE and token.end() == at + 1:
            raise NotJson(at)
        if not count % TOKENS_PER_SIGN:
            alive()
    raise NotJson(len(data))


def _element(data: bytes, begin: int, end: int) -> bytes:
    """The text without white space around."""
    element = data[begin:end].strip(b" \t\n\r")
    if not element:
        raise NotJson(begin)
    return element
