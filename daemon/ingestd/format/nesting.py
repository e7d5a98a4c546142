"""How deep JSON text is nested, in time linear in its length and in constant memory, whatever the text. Pure."""

import re
from collections.abc import Iterator
from itertools import accumulate

MAX_NESTING = 30

BLOCK = 1 << 16
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NEITHER_BRACKETS_NOR_QUOTES = bytes(set(range(256)) - set(b'[]{}"'))
_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_STRING = re.compile(rb'"[^"]*+"?')


def depth_problem(raw: bytes) -> str | None:
    """The problem with JSON text that is nested too deeply; None if it is not. Brackets in strings do not count."""
    if raw.count(b"[") + raw.count(b"{") <= MAX_NESTING:
        return None
    depth = 0
    for brackets in _brackets(raw):
        depths = list(accumulate(map(_STEPS.__getitem__, brackets), initial=depth))
        if max(depths) > MAX_NESTING:
            return f"nested deeper than {MAX_NESTING} levels"
        depth = depths[-1]
    return None


def _brackets(raw: bytes) -> Iterator[bytes]:
    """The brackets outside strings, a block of text at a time: a regular expression needs memory for each match.

    `carried` begins the next block: a quote if a string is open, a backslash if it belongs to the next character.
    """
    carried = b""
    for start in range(0, len(raw), BLOCK):
        block = carried + raw[start : start + BLOCK]
        backslashes = len(block) - len(block.rstrip(b"\\"))
        end = len(block) - backslashes % 2
        kept = _ESCAPED.sub(b"", block[:end]).translate(None, _NEITHER_BRACKETS_NOR_QUOTES)
        yield _STRING.sub(b"", kept)
        carried = (b'"' if kept.count(b'"') % 2 else b"") + block[end:]
