"""Shapes of documents, valid and hostile: contents of nearly `size` bytes, and the outcome for an item with them."""

import random
from collections.abc import Callable

from ingestd.model import Reason

Shape = Callable[[int], bytes]

DEEP, TOO_DEEP = b"[" * 30, b"[" * 31


def filled(head: bytes, body: bytes, tail: bytes = b"") -> Shape:
    """A head, a body repeated as often as there is room for it, and a tail."""
    return lambda size: head + body * ((size - len(head) - len(tail)) // len(body)) + tail


def noise(size: int) -> bytes:
    return random.Random(1).randbytes(size)


def distinct_keys(size: int) -> bytes:
    keys = ",".join(f'"{number:08x}":0' for number in range((size - 2) // 13))
    return f"{{{keys}}}".encode()


STORED: dict[str, Shape] = {
    "nothing": lambda _size: b"",
    "spaces": filled(b"", b" "),
    "spaces around a number": filled(b"", b" ", b"1"),
    "zeros": filled(b"", b"\0"),
    "control characters": filled(b"", b"\x01\x1f\x7f"),
    "utf-16": filled(b"", "Größe ".encode("utf-16-le")),
    "utf-16 with a mark": filled(b"\xff\xfe", "Größe ".encode("utf-16-le")),
    "a byte order mark": filled(b"\xef\xbb\xbf[", b"1,", b"1]"),
    "backslashes": filled(b"", b"\\"),
    "quotes": filled(b"", b'"'),
    "quotes and backslashes": filled(b"", b'"\\'),
    "apostrophes": filled(b"", b"'"),
    "line breaks": filled(b"", b"\r\n"),
    "emoji": filled(b"", "📷".encode()),
    "emoji in JSON": filled(b'["', "📷".encode(), b'"]'),
    "lone surrogates": filled(b'["', b"\\ud800", b'"]'),
    "pairs of surrogates": filled(b'["', b"\\ud83d\\udcf7", b'"]'),
    "noise": noise,
    "empty objects": filled(b"[{}", b",{}", b"]"),
    "empty lists": filled(b"[[]", b",[]", b"]"),
    "empty strings": filled(b'[""', b',""', b"]"),
    "small numbers": filled(b"[0", b",0", b"]"),
    "floats": filled(b"[0", b",1e9", b"]"),
    "infinite numbers": filled(b"[0", b",1e999", b"]"),
    "one long number": filled(b"", b"7"),
    "one long fraction": filled(b"0.", b"7"),
    "one long exponent": filled(b"1e", b"7"),
    "distinct keys": distinct_keys,
    "equal keys": filled(b'{"":0', b',"":0', b"}"),
    "one key": filled(b'{"', b"k", b'":0}'),
    "escaped quotes in a string": filled(DEEP + b'"', b'\\"', b'"' + b"]" * 30),
    "escaped quotes without an end": filled(TOO_DEEP + b'"', b'\\"'),
    "brackets in a string": filled(b'["', b"[{", b'"]'),
    "pairs at the deepest level": filled(DEEP[1:] + b"[]", b",[]", b"]" * 29),
    "opening quotes after brackets": filled(TOO_DEEP, b'"'),
    "closing brackets": filled(b"", b"]"),
    "a list cut short": filled(b"[", b"{},"),
    "a string cut short": filled(b'"', b"x"),
    "constants": filled(b"[null", b",true", b"]"),
    "not numbers": filled(b"[NaN", b",NaN", b"]"),
}
"""Stored, as they are or wrapped."""

REFUSED: dict[str, Shape] = {
    "a little too deep": filled(TOO_DEEP + b'"', b"x", b'"' + b"]" * 31),
    "too deep, with escaped quotes": filled(TOO_DEEP + b'"', b'\\"', b'"' + b"]" * 31),
    "too deep, and sparse": filled(TOO_DEEP + b"{}", b",{}", b"]" * 31),
    "opening brackets": filled(b"", b"["),
    "opening braces": filled(b"", b'{"":'),
    "as deep as it is long": lambda size: b"[" * (size // 2) + b"]" * (size // 2),
}
"""Refused with document_too_deep."""


def expected_reason(name: str) -> Reason | None:
    return Reason.DOCUMENT_TOO_DEEP if name in REFUSED else None


SHAPES = STORED | REFUSED
