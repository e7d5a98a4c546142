"""The corpus of hostile manifests, second part: their items and containers."""

from support.hostile_manifests import (
    BAD_UTF8,
    HEAD,
    KIB,
    LEAN,
    SURROGATE,
    Make,
    Shape,
    entries_of,
    filled,
    gallery,
    in_list,
    keys,
    numbered,
    photo,
    with_field,
)
from support.manifests import A

LIMIT = 256 * KIB
NULLS = LEAN.replace('"title": "Photo {n}", "files"', '"title": null, "cover_hash": null, "files": null, "x"')
COVER = '{"type":"cover","hash":"{hash}","parent_hash":"{hash}"}'
MEMBER = '"{hash}"'


def title(unit: str) -> Shape:
    """Items of exactly the limit, with a title of repeated text."""
    room = LIMIT - len(photo('"title": ""'))
    return Shape(
        f"titles of {unit}", "valid", entries_of(LIMIT, lambda _: photo(f'"title": "{unit * (room // len(unit))}"'))
    )


def unknown(name: str, before: str, unit: str, after: str, length: int = LIMIT) -> Shape:
    """Items with repeated text under an unknown key."""
    taken = len(photo(f'"x": {before}{after}'))

    def fill(size: int) -> bytes:
        return photo(f'"x": {before}{unit * ((size - taken) // len(unit))}{after}')

    return Shape(name, "valid", entries_of(length, fill))


def files(unit: str) -> Make:
    """Items of about the limit with many files."""

    def fill(size: int) -> bytes:
        listed = ",".join(unit.replace("{n}", str(number)) for number in range(size // (len(unit) + 4)))
        return photo(f'"path": "p", "files": [{listed}]')

    return entries_of(LIMIT, fill)


def bottomless(before: bytes, after: bytes) -> Make:
    """Brackets in brackets."""
    return lambda size: before + b"[" * (size // 2) + b"]" * (size // 2) + after


def many_members(size: int) -> bytes:
    return gallery('"items": [') + numbered(MEMBER)(size)[len(HEAD) + 10 : -2] + b"]}]}"


ITEMS = [
    Shape("empty objects", "valid", in_list(b"{}")),
    Shape("empty objects with space", "valid", in_list(b"{ }\n")),
    Shape("zeros", "valid", in_list(b"0")),
    Shape("nulls", "valid", in_list(b"null")),
    Shape("empty texts", "valid", in_list(b'""')),
    Shape("empty lists", "valid", in_list(b"[]")),
    Shape("lists of empty objects", "valid", in_list(b"[{},{},{}]")),
    Shape("one element and white space", "valid", filled(HEAD + b'"items": [0', b" ", b"]}")),
    Shape("white space between elements", "valid", in_list(b"0" + b" " * 1000)),
    Shape("more than a million zeros", "setting", lambda size: in_list(b"0")(2 * max(size, 1_000_000) + 1000)),
    Shape("objects with one key", "valid", numbered('{"a":{n}}')),
    Shape("objects with a type", "valid", numbered('{"type":"t{n}"}')),
    Shape("smallest items", "valid", numbered('{"type":"a","hash":"{hash}"}')),
    Shape("a type for each item", "valid", numbered('{"type":"a{n}","hash":"{hash}"}')),
    Shape("smallest covers", "valid", numbered(COVER)),
    Shape("covers of one asset", "valid", numbered(COVER.replace('parent_hash":"{hash}', 'parent_hash":"' + "a" * 32))),
    Shape("items with covers of their own", "valid", numbered('{"type":"a","hash":"{hash}","cover_hash":"{hash}"}')),
    Shape("the same item", "valid", in_list(photo('"title": "x"'))),
    Shape("one hash with different titles", "valid", numbered(photo('"title": "{n}"').decode())),
    Shape("one hash with different types", "valid", numbered('{"type":"t{n}","hash":"' + "a" * 32 + '"}')),
    Shape("lean items", "valid", numbered(LEAN)),
    Shape("null everywhere", "valid", numbered(NULLS)),
    Shape("surrogates", "valid", numbered(SURROGATE)),
    Shape("one surrogate", "valid", lambda size: numbered(LEAN)(size)[:-2] + b', {"title": "\\ud800"}]}'),
    Shape("one surrogate among zeros", "valid", in_list(b"0", last=b'"\\udfff"')),
    Shape(
        "texts that are not UTF-8", "valid", lambda size: numbered(BAD_UTF8.decode())(size).replace(b"\\u0040", b"\xff")
    ),
    Shape("objects that are not UTF-8", "valid", in_list(b'{"x":"\xc3"}')),
    Shape("surrogates without identity", "valid", in_list(b'{"x":"\\ud800"}')),
    Shape("deep items", "valid", in_list(b'{"x":' + b"[" * 31 + b"]" * 31 + b"}")),
    Shape("very deep items", "valid", in_list(b'{"x":' + b"[" * 5000 + b"]" * 5000 + b"}")),
    Shape("one bottomless item", "valid", bottomless(HEAD + b'"items": [', b"]}")),
    unknown("items of exactly the limit", '"', "y", '"'),
    unknown("items of one byte more", '"', "y", '"', LIMIT + 1),
    unknown("one long item", '"', "y", '"', 2**62),
    unknown("long items of empty objects", "[", "{},", "0]"),
    unknown("one very long item of empty objects", "[", "{},", "0]", 2**62),
    unknown("long items of zeros", "[", "0,", "0]"),
    unknown("long items of colons", '"', ":", '"'),
    unknown("long items of nested objects", "[", '{"a":{"b":{}}},', "0]"),
    unknown("long numbers", "[", "1e999,-0,18446744073709551616,", "9]"),
    unknown("one long number", "", "9", ""),
    Shape(
        "items with distinct keys, then one twice",
        "valid",
        entries_of(LIMIT, lambda size: keys(b"{", b'"z":0,"z":0}')(size - 100)),
    ),
    Shape("the same key", "valid", entries_of(LIMIT, lambda size: b"{" + b'"z":0,' * (size // 6 - 2) + b'"z":0}')),
    Shape(
        "keys with colons",
        "valid",
        entries_of(LIMIT, lambda size: keys(b"{", b'":":0}')(size - 100).replace(b'0":', b':":')),
    ),
    Shape("many files", "valid", files('{"variant":"v{n}","path":"p"}')),
    Shape("one file many times", "valid", files('{"variant":"v","path":"p"}')),
    Shape("ignored files", "valid", files('{"variant":"blurred","path":"p"}')),
    Shape("long paths", "valid", entries_of(LIMIT, lambda size: photo(f'"path": "{"a/" * (size // 2 - 100)}"'))),
    Shape(
        "type is a long list",
        "valid",
        entries_of(LIMIT, lambda size: b'{"hash": 1, "type": [' + b"{}," * (size // 3 - 20) + b"0]}"),
    ),
    Shape(
        "hash is a very long text",
        "valid",
        lambda size: HEAD + b'"items": [{"type": "a", "hash": "' + b"a" * size + b'"}]}',
    ),
    title("x"),
    title("\\u0041"),
    title('\\"'),
    title("\\\\"),
    title("\\ud83d\\ude00"),
    title("\\u0000"),
    title("\u00e9"),
]

CONTAINERS = [
    Shape("empty containers over the limit", "setting", in_list(b"{}", b"containers")),
    Shape(
        "as many empty containers as allowed",
        "valid",
        lambda _size: with_field(b'"containers": [') + b"{}," * 9_999 + b"{}]}",
    ),
    Shape("a gallery of many members", "valid", many_members),
    Shape("a gallery of one member", "valid", filled(gallery(f'"items": ["{A}"'), f', "{A}"'.encode(), b"]}]}")),
    Shape("a gallery with a bad member", "valid", filled(gallery(f'"items": ["{A}"'), f', "{A}"'.encode(), b", 7]}]}")),
    Shape("members that are objects", "valid", filled(gallery('"items": ['), b"{},", b"0]}]}")),
    Shape("members after white space", "valid", filled(gallery('"items": ['), b" ", b"]}]}")),
    Shape("a gallery with a long unknown key", "valid", filled(gallery('"x": "'), b"y", b'"}]}')),
    Shape("a gallery with many keys", "valid", keys(gallery(""), b'"z": 0}]}')),
    Shape(
        "a gallery with long members twice",
        "valid",
        lambda size: filled(gallery('"items": ['), b'"x",', b'""]')(size) + b', "items": []}]}',
    ),
    Shape("a gallery nested deep", "valid", bottomless(gallery('"x": '), b"}]}")),
    Shape("a gallery of nulls", "valid", lambda _size: gallery('"title": null, "items": null, "complete": null}]}')),
    Shape(
        "another type with long members",
        "valid",
        filled(gallery('"items": [').replace(b"gallery", b"series"), b"{},", b"0]}]}"),
    ),
    Shape(
        "surrogates in containers",
        "valid",
        lambda _size: with_field(b'"containers": [') + b'{"title": "\\ud800"},' * 9_999 + b"0]}",
    ),
]
