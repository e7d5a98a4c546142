"""A corpus of hostile and odd manifests, made to any size: what they contain, and what becomes the verdict.

Verdicts: `valid` (bad entries fail alone), `bytes` and `setting` (invalid, and what that rests on), `absence` (not
complete JSON, so it is waited for).
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from support.manifests import A, encoded

Make = Callable[[int], bytes]
KIB, MIB = 2**10, 2**20
HEAD = encoded().removesuffix(b'"items": []}')
VERIFICATION = encoded().replace(
    b'"verification": {"passed": true}, "items": []}', b'"items": [], "verification": {"passed": true, '
)
"""a manifest up to one more field of its verification"""


@dataclass(frozen=True, slots=True)
class Shape:
    """One kind of manifest; `make(size)` makes one of about `size` bytes."""

    name: str
    verdict: str
    make: Make


def filled(before: bytes, unit: bytes, after: bytes = b"") -> Make:
    """A unit repeated up to the size."""
    return lambda size: before + unit * ((size - len(before) - len(after)) // len(unit)) + after


def with_field(field: bytes) -> bytes:
    """A manifest up to the value of one more field."""
    return HEAD + b'"items": [], ' + field


def in_list(unit: bytes, key: bytes = b"items", last: bytes = b"0") -> Make:
    """A list of a repeated element."""
    start = HEAD if key == b"items" else with_field(b"")
    return filled(start + b'"%s": [' % key, unit + b",", last + b"]}")


def numbered(template: str, key: str = "items") -> Make:
    """A list of elements that differ: {hash} and {n} are replaced."""

    def make(size: int) -> bytes:
        elements = []
        for number in count():
            element = template.replace("{n}", str(number)).replace("{hash}", _hash(number))
            elements.append(element)
            size -= len(element) + 2
            if size <= len(HEAD) + 40:
                break
        start = HEAD if key == "items" else with_field(b"")
        return start + f'"{key}": [{", ".join(elements)}]}}'.encode()

    return make


def _hash(number: int) -> str:
    return hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest()


def keys(before: bytes, after: bytes, most: int = 2**62) -> Make:
    """An object with distinct keys."""

    def make(size: int) -> bytes:
        fields = b"".join(b'"%07x":0,' % number for number in range(min(size, most) // 12))
        return before + fields + after

    return make


def entries_of(length: int, fill: Callable[[int], bytes]) -> Make:
    """A list of entries of a length; `fill(length)` makes each."""

    def make(size: int) -> bytes:
        entry = fill(min(length, size))
        return HEAD + b'"items": [' + b",".join([entry] * max(1, size // len(entry))) + b"]}"

    return make


def photo(more: str) -> bytes:
    return f'{{"type": "photo", "hash": "{A}", {more}}}'.encode()


def gallery(more: str) -> bytes:
    return with_field(f'"containers": [{{"type": "gallery", "hash": "{A}", {more}'.encode())


def cut(make: Make, share: float) -> Make:
    """The first part of a manifest, as of one that is half-written."""

    def made(size: int) -> bytes:
        whole = make(size)
        return whole[: int(len(whole) * share)]

    return made


def envelope_of(length: int) -> Make:
    """An envelope of exactly this many bytes; the empty list does not count."""
    return lambda _size: with_field(b'"x": "') + b"y" * (length + 2 - len(with_field(b'"x": ""}'))) + b'"}'


LEAN = (
    '{"type": "photo", "hash": "{hash}", "path": "photo/{hash}", "title": "Photo {n}", "files": ['
    '{"variant": "original", "path": "original.jpg", "bytes": 1048576}]}'
)
SURROGATE = LEAN.replace("Photo", "\\ud800")
BAD_UTF8 = LEAN.replace("Photo", "\\u0040").encode()

ENVELOPES = [
    Shape("long text in verification", "setting", filled(VERIFICATION + b'"x": "', b"y", b'"}}')),
    Shape("many keys in verification", "setting", keys(VERIFICATION, b'"z": 0}}')),
    Shape(
        "a long text under an unknown key", "setting", filled(with_field(b'"x": {"passed": true, "x": "'), b"y", b'"}}')
    ),
    Shape("many keys under an unknown key", "setting", keys(with_field(b'"x": {'), b'"z": 0}}')),
    Shape("empty objects under an unknown key", "setting", filled(with_field(b'"x": ['), b"{},", b"0]}")),
    Shape("empty lists under an unknown key", "setting", filled(with_field(b'"x": ['), b"[],", b"0]}")),
    Shape("brackets under an unknown key", "bytes", filled(with_field(b'"x": '), b"[")),
    Shape(
        "31 brackets and a long text",
        "bytes",
        filled(with_field(b'"x": ' + b"[" * 31 + b'"'), b"y", b'"' + b"]" * 31 + b"}"),
    ),
    Shape("escaped quotes after brackets", "absence", filled(with_field(b'"x": ' + b"[" * 40 + b'"'), b'\\"')),
    Shape("escaped quotes", "setting", filled(with_field(b'"x": "'), b'\\"', b'"}')),
    Shape("backslashes", "setting", filled(with_field(b'"x": "'), b"\\\\", b'"}')),
    Shape("distinct keys, then one twice", "setting", keys(HEAD + b'"items": [], ', b'"z": 0, "z": 0}')),
    Shape(
        "distinct keys within the limit, then one twice",
        "bytes",
        keys(HEAD + b'"items": [], ', b'"z": 0, "z": 0}', 60 * KIB),
    ),
    Shape("envelope of exactly the limit", "valid", envelope_of(64 * KIB)),
    Shape("envelope of one byte more", "setting", envelope_of(64 * KIB + 1)),
    Shape("a long key", "setting", filled(with_field(b'"'), b"k", b'": 0}')),
    Shape("white space first", "setting", filled(b"", b" \n", HEAD + b'"items": []}')),
    Shape("white space between fields", "setting", filled(with_field(b""), b" \t", b'"x": 0}')),
    Shape("white space at the end", "valid", filled(HEAD + b'"items": []}', b" \r\n")),
    Shape("items is a text", "setting", filled(HEAD + b'"items": "', b"x", b'"}')),
    Shape("items is an object", "setting", keys(HEAD + b'"items": {', b'"z": 0}}')),
    Shape("items is a number", "setting", filled(HEAD + b'"items": ', b"9", b"}")),
    Shape("items is null", "bytes", lambda _size: HEAD + b'"items": null}'),
    Shape("containers is a text", "setting", filled(with_field(b'"containers": "'), b"x", b'"}')),
    Shape("items twice", "bytes", lambda size: in_list(b"{}")(size // 2)[:-1] + b', "items": [1]}'),
    Shape(
        "items twice, the first short",
        "bytes",
        lambda size: HEAD + b'"items": [1], ' + in_list(b"{}")(size)[len(HEAD) :],
    ),
    Shape("items twice with an escape", "bytes", lambda size: in_list(b"{}")(size)[:-1] + b', "it\\u0065ms": []}'),
    Shape("status twice", "bytes", lambda size: in_list(b"{}")(size)[:-1] + b', "status": "completed"}'),
    Shape("a surrogate in the envelope", "bytes", lambda size: in_list(b"{}")(size)[:-1] + b', "x": "\\udc00"}'),
    Shape("a surrogate as a key", "bytes", lambda size: in_list(b"{}")(size)[:-1] + b', "\\udc00": 0}'),
    Shape("not UTF-8 in the envelope", "bytes", lambda size: in_list(b"{}")(size)[:-1] + b', "x": "\xff"}'),
    Shape(
        "numbers out of range",
        "bytes",
        lambda _size: with_field(b'"x": [1e999, -0, 18446744073709551616], "status": "completed"}'),
    ),
]

TEXTS = [
    Shape("empty", "absence", lambda _size: b""),
    Shape("NUL bytes", "absence", filled(b"", b"\0")),
    Shape("white space only", "absence", filled(b"", b" ")),
    Shape("brackets", "bytes", filled(b"", b"[")),
    Shape("braces", "absence", filled(b"", b"{")),
    Shape("keys of objects", "bytes", filled(b"", b'{"a":')),
    Shape("quotes", "absence", filled(b"{", b'"')),
    Shape("colons", "absence", filled(b"{", b":")),
    Shape("commas", "absence", filled(HEAD + b'"items": [', b",", b"]}")),
    Shape("a list", "bytes", filled(b"[", b"0,", b"0]")),
    Shape("a text", "bytes", filled(b'"', b"x", b'"')),
    Shape("byte order mark", "bytes", lambda size: b"\xef\xbb\xbf" + in_list(b"{}")(size)),
    Shape("UTF-16", "bytes", lambda size: in_list(b"{}")(size // 2).decode().encode("utf-16")),
    Shape("UTF-16 without a mark", "absence", lambda size: in_list(b"{}")(size // 2).decode().encode("utf-16-le")),
    Shape("UTF-32", "bytes", lambda size: in_list(b"{}")(size // 4).decode().encode("utf-32")),
    Shape("text after the end", "absence", filled(HEAD + b'"items": []}', b"x")),
    Shape("braces after the end", "absence", filled(HEAD + b'"items": []}', b"{}")),
    Shape("cut in the list", "absence", cut(numbered(LEAN), 0.9)),
    Shape("cut in a long text", "absence", filled(HEAD + b'"items": [{"title": "', b"x")),
    Shape("cut in escapes", "absence", filled(HEAD + b'"items": [{"title": "', b"\\u0041")),
    Shape("cut in surrogate pairs", "absence", filled(HEAD + b'"items": [{"title": "', b"\\ud83d\\ude00", b"\\ud83d")),
    Shape("cut in empty objects", "absence", cut(in_list(b"{}"), 0.5)),
    Shape("cut in containers", "absence", cut(in_list(b"{}", b"containers"), 0.99)),
    Shape("cut before the end", "absence", lambda size: in_list(b"{}")(size)[:-1]),
    Shape("control characters", "absence", filled(HEAD + b'"items": ["', b"\x01", b'"]}')),
    Shape("a hole of NUL bytes", "absence", filled(HEAD + b'"items": [{"title": "', b"\0", b'"}]}')),
    Shape("brackets that do not match", "absence", in_list(b"[}")),
    Shape("an invalid escape", "absence", in_list(b'"\\x"')),
]
