"""One entry of a manifest: what is accepted, what can only fail, and that nothing at all can make the parser raise."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestd.format.entry import IGNORED_VARIANTS, Entry, parse_entry
from ingestd.format.nesting import MAX_NESTING
from ingestd.model import Reason
from support.scale import scaled

HASH, OTHER = "a" * 32, "b" * 32

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
FIELDS = st.sampled_from(["type", "hash", "path", "cover_hash", "parent_hash", "title", "files", "variant", "bytes"])


def item(**changes: Any) -> dict[str, Any]:
    original = {"variant": "original", "path": "a.jpg", "bytes": 7}
    return {"type": "photo", "hash": HASH, "path": f"photo/{HASH}", "files": [original], **changes}


def parsed(value: Any) -> Entry:
    return parsed_bytes(json.dumps(value).encode())


def parsed_bytes(data: bytes) -> Entry:
    return parse_entry(3, msgspec.Raw(data))


def test_a_good_entry_keeps_what_it_says() -> None:
    entry = parsed(item(title="Dawn \U0001f600", cover_hash=OTHER))
    assert (entry.problem, entry.reason) == (None, None)
    assert entry.identity == ("photo", HASH, "")
    assert (entry.ordinal, entry.title, entry.cover_hash) == (3, "Dawn \U0001f600", OTHER)
    assert [(file.variant, file.path, file.bytes) for file in entry.files] == [("original", "a.jpg", 7)]


def test_type_and_hash_alone_are_enough() -> None:
    assert parsed({"type": "photo", "hash": HASH}).problem is None


def test_unknown_keys_are_allowed_and_change_nothing() -> None:
    assert parsed(item(novelty={"a": [1]})).sha256 == parsed(item()).sha256


def test_the_digest_knows_no_order_and_sees_every_change() -> None:
    files = [{"variant": "original", "path": "a.jpg"}, {"variant": "small", "path": "b.jpg"}]
    assert parsed(item(files=files)).sha256 == parsed(item(files=files[::-1])).sha256
    changes: list[dict[str, Any]] = [{"title": "x"}, {"path": "photo/x"}, {"cover_hash": OTHER}, {"files": files}]
    assert len({parsed(item(**change)).sha256 for change in [{}, *changes]}) == 5


@pytest.mark.parametrize("variant", sorted(IGNORED_VARIANTS))
def test_derivatives_are_counted_and_never_kept(variant: str) -> None:
    derivative = {"variant": variant, "path": "d.jpg", "bytes": 99}
    entry = parsed(item(files=[*item()["files"], derivative]))
    assert [file.variant for file in entry.files] == ["original"]
    assert entry.derivatives_ignored == 1
    assert entry.sha256 == parsed(item()).sha256


def test_a_cover_belongs_to_its_parent_and_other_items_have_none() -> None:
    assert parsed({"type": "cover", "hash": HASH, "parent_hash": OTHER}).identity == ("cover", HASH, OTHER)
    assert parsed(item(parent_hash=OTHER)).identity == ("photo", HASH, "")
    orphan = parsed({"type": "cover", "hash": HASH})
    assert orphan.reason is Reason.BAD_ENTRY
    assert "parent_hash" in str(orphan.problem)


@pytest.mark.parametrize(
    "changes",
    [
        {"title": "line\nbreak"},
        {"title": "x" * 1001},
        {"title": 7},
        {"cover_hash": "B" * 32},
        {"cover_hash": f"{OTHER}\n"},
        {"files": [{"variant": "original"}]},
        {"files": [{"variant": "ori/ginal", "path": "a"}]},
        {"files": [{"variant": "original", "path": "a", "bytes": -1}]},
        {"files": [{"variant": "original", "path": "a", "bytes": 2**63}]},
        {"files": [{"variant": "original", "path": "a", "sha256": "0" * 63}]},
        {"files": [{"variant": "original", "path": "a"}, {"variant": "original", "path": "b"}]},
        {"path": None},
        {"path": "a" * 1025},
        {"path": "a" * 1000, "files": [{"variant": "original", "path": "b" * 30}]},
    ],
)
def test_a_bad_entry_fails_under_its_own_identity(changes: dict[str, Any]) -> None:
    entry = parsed(item(**changes))
    assert entry.reason is Reason.BAD_ENTRY
    assert entry.problem
    assert entry.identity == ("photo", HASH, "")


@pytest.mark.parametrize("change", [{"type": "Photo"}, {"type": "invalid"}, {"hash": "A" * 32}, {"hash": None}])
def test_without_a_usable_identity_its_place_stands_in(change: dict[str, Any]) -> None:
    entry = parsed(item(**change))
    assert entry.identity == ("invalid", "#3", "")
    assert entry.problem


HOSTILE_PATHS = [
    "", "/", "/etc/passwd", "..", "../x", "a/../b", "a/..", ".", "./a", "a/.", "a//b", "a/", "a\0b", "a\nb", "a\x7fb",
    "a\x85b",
]  # fmt: skip


@pytest.mark.parametrize("path", HOSTILE_PATHS)
def test_paths_that_are_not_plain_are_refused(path: str) -> None:
    for entry in (parsed(item(path=path)), parsed(item(files=[{"variant": "original", "path": path}]))):
        assert entry.reason is Reason.PATH_OUTSIDE_ROOT


@pytest.mark.parametrize("path", ["a", "a/b/c", "...", "..a", "a..", ".a/b", "Ä ß/\U0001f600", "a\\b", "-x", "%2e%2e"])
def test_plain_paths_are_taken_as_they_are(path: str) -> None:
    entry = parsed(item(path=path, files=[{"variant": "original", "path": path}]))
    assert (entry.problem, entry.path, entry.files[0].path) == (None, path, path)


def test_a_key_that_appears_twice_is_an_error() -> None:
    for text in ('{"type":"photo","hash":"%s","hash":"%s"}', '{"type":"photo","hash":"%s","x":[{"y":1,"y":"%s"}]}'):
        entry = parsed_bytes((text % (HASH, OTHER)).encode())
        assert "appears twice" in str(entry.problem)


def deep(levels: int) -> bytes:
    return b'{"type":"photo","hash":"%s","x":%s}' % (HASH.encode(), b"[" * (levels - 1) + b"]" * (levels - 1))


def test_nesting_is_limited_to_what_the_database_bears() -> None:
    assert parsed_bytes(deep(MAX_NESTING)).problem is None
    assert "nested deeper" in str(parsed_bytes(deep(MAX_NESTING + 1)).problem)


def test_brackets_in_strings_do_not_count_as_nesting() -> None:
    assert parsed(item(title='[[{"' * 40)).problem is None


def test_nesting_beyond_any_parser_does_not_raise() -> None:
    assert "nested deeper" in str(parsed_bytes(deep(100_000)).problem)


@pytest.mark.parametrize(
    "data",
    [
        b'{"type":"photo","hash":"%s","title":"\\ud800"}' % HASH.encode(),
        b'{"type":"\\udc00","hash":"%s"}' % HASH.encode(),
        b'{"type":"\xff","hash":"%s"}' % HASH.encode(),
        b'{"type":"photo","hash":"%s","title":"\xed\xa0\x80"}' % HASH.encode(),
        b'{"type":"photo","hash":NaN}',
        b'{"type":1e999,"hash":1}',
        b'{"type":"photo","hash":%s}' % (b"9" * 5000),
        b"",
        b"null",
        b"[]",
        b"{",
    ],
)
def test_text_that_parsers_stumble_over_becomes_a_problem(data: bytes) -> None:
    assert parsed_bytes(data).reason is Reason.BAD_ENTRY


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"hash": "bad"}, "hash: expected 32 lower-case hexadecimal digits"),
        ({"type": "Photo"}, "type: expected up to 32 lower-case letters, digits and `_`, the first of them a letter"),
        ({"title": "a\tb"}, "title: expected text without control characters"),
        ({"files": [{"path": "a", "variant": "a", "sha256": "x"}]}, "files[0].sha256: expected 64 lower-case"),
        ({"files": [{"path": "a", "variant": "-"}]}, "files[0].variant: expected up to 64 letters"),
        ({"hash": 5}, "hash: expected `str`, got `int`"),
    ],
)  # fmt: skip
def test_a_problem_is_described_in_words(changes: dict[str, Any], problem: str) -> None:
    assert str(parsed(item(**changes)).problem).startswith(problem)


def test_problems_stay_short_however_long_the_value() -> None:
    long = "/" + "x" * 100_000
    for entry in (parsed(item(path=long)), parsed_bytes(b'{"%s":1,"%s":2}' % (long.encode(), long.encode()))):
        assert len(str(entry.problem)) < 500


@pytest.mark.soak
@settings(max_examples=scaled(100, 5000), deadline=None)
@given(st.binary())
def test_bytes_never_raise(data: bytes) -> None:
    assert parsed_bytes(data).problem


@pytest.mark.soak
@settings(max_examples=scaled(100, 5000), deadline=None)
@given(JSON | st.dictionaries(FIELDS, JSON))
def test_values_never_raise(value: Any) -> None:
    parsed(value)


@pytest.mark.soak
@settings(max_examples=scaled(100, 5000), deadline=None)
@given(st.dictionaries(FIELDS, JSON))
def test_an_entry_is_either_usable_or_says_why_not(changes: dict[str, Any]) -> None:
    entry = parsed(item(**changes))
    assert (entry.problem is None) == (entry.reason is None)
    assert entry.asset_hash == HASH or entry.problem or changes["hash"] == entry.asset_hash
