"""Items and containers whose text is not Unicode, whose keys repeat, whose values are null, or that are long."""

import json
from typing import Any

import pytest

from ingestd.errors import ManifestError, ManifestUnsettled
from ingestd.format.container import parse_container
from ingestd.format.entry import parse_entry
from ingestd.format.fields import Limits
from ingestd.format.manifest import parse_manifest
from support.manifests import A, B, C, encoded, photo

FILE = {"variant": "original", "path": "a.jpg", "bytes": 1}


def with_item(raw: bytes, key: str = "items") -> bytes:
    """A manifest with a valid item or container before and after a raw one."""
    good = [photo(B), "@@", photo(C)] if key == "items" else [gallery(hash=B), "@@", gallery(hash=C)]
    return encoded(**{key: good}).replace(b'"@@"', raw)


def gallery(**changes: Any) -> dict[str, Any]:
    return {"type": "gallery", "hash": A, **changes}


def marked(entry: dict[str, Any], text: bytes) -> bytes:
    """An entry as JSON, with `text` in place of @."""
    return json.dumps(entry).encode().replace(b"@", text)


@pytest.mark.parametrize(
    ("entry", "place"),
    [
        (photo(title="x@"), "title"),
        (photo(novelty={"a": ["x", {"b": "@"}]}), "novelty.a[1].b"),
        (photo(novelty={"@": 1}), "novelty.(a key)"),
        (photo(path="@"), "path"),
        (photo(path="p", files=[FILE, {**FILE, "variant": "b", "path": "@"}]), "files[1].path"),
        ({"type": "@", "hash": A}, "type"),
        ({"type": "photo", "hash": "@"}, "hash"),
    ],
)
@pytest.mark.parametrize(
    ("text", "what"),
    [
        (rb"\ud800", "an unpaired surrogate"),
        (rb"\udfff", "an unpaired surrogate"),
        (rb"\ude00\ud83d", "an unpaired surrogate"),
        (rb"\ud83d\ud83d\ude00", "an unpaired surrogate"),
        (b"\xff", "bytes that are not UTF-8"),
        (b"\xed\xa0\x80", "bytes that are not UTF-8"),
    ],
)
def test_text_that_is_not_unicode_fails_its_item_alone_with_the_place(
    entry: dict[str, Any], place: str, text: bytes, what: str
) -> None:
    manifest = parse_manifest(with_item(marked(entry, text)))
    first, bad, last = manifest.entries()
    assert bad.problem == f"{place}: contains {what}"
    assert (first.problem, last.problem) == (None, None)


@pytest.mark.parametrize("text", [rb"\ud83d\ude00", rb"\\ud800", rb"\uD83D\uDE00", rb"\\\ud83d\ude00", rb"\ufffd"])
def test_paired_surrogates_and_escaped_backslashes_are_text(text: bytes) -> None:
    entries = parse_manifest(with_item(marked(photo(title="@", novelty="@"), text))).entries()
    assert [entry.problem for entry in entries] == [None, None, None]


@pytest.mark.parametrize("text", [rb"\ud800", b"\xff"])
def test_text_that_is_not_unicode_fails_its_container_alone(text: bytes) -> None:
    manifest = parse_manifest(with_item(marked(gallery(title="@"), text), "containers"))
    problems = [container.problem for container in manifest.containers()]
    assert [bool(problem) for problem in problems] == [False, True, False]
    assert str(problems[1]).startswith("title: contains")


@pytest.mark.parametrize("text", [rb"\ud800", b"\xff"])
@pytest.mark.parametrize("key", ["source_host", "type", "novelty"])
def test_text_that_is_not_unicode_in_the_envelope_is_an_error_of_the_bytes(key: str, text: bytes) -> None:
    with pytest.raises(ManifestError) as caught:
        parse_manifest(encoded(**{key: "@"}).replace(b"@", text))
    assert caught.value.basis == "bytes"
    assert key in str(caught.value)


def test_a_surrogate_beside_text_that_is_not_json_is_not_settled() -> None:
    for raw in (rb'{"title": "\ud800", }', rb'{"title": "\ud800"', rb'"\ud800" 7', b'"\\ud800\x01"'):
        with pytest.raises(ManifestUnsettled):
            list(parse_manifest(with_item(raw)).entries())


@pytest.mark.parametrize("count", [2, 1000, 20_000])
def test_one_duplicate_among_many_keys_is_found(count: int) -> None:
    keys = ", ".join(f'"{number:x}": 0' for number in range(count))
    raw = f'{{"type": "photo", "hash": "{A}", {keys}, "z": 0, "z": 0}}'.encode()
    assert parse_entry(0, raw, 2**22).problem == "key 'z' appears twice"


OPTIONAL = ["path", "title", "cover_hash", "parent_hash", "files"]


@pytest.mark.parametrize("key", OPTIONAL)
def test_null_in_an_item_means_absent(key: str) -> None:
    absent = parse_entry(0, json.dumps(photo()).encode())
    assert parse_entry(0, json.dumps({**photo(), key: None}).encode()) == absent
    assert absent.problem is None


@pytest.mark.parametrize("key", ["bytes", "sha256"])
def test_null_in_a_file_means_absent(key: str) -> None:
    file = {"variant": "original", "path": "a.jpg"}
    absent = parse_entry(0, json.dumps(photo(path="p", files=[file])).encode())
    assert parse_entry(0, json.dumps(photo(path="p", files=[{**file, key: None}])).encode()) == absent
    assert absent.problem is None


@pytest.mark.parametrize("key", ["title", "items", "complete"])
def test_null_in_a_container_means_absent(key: str) -> None:
    found = parse_container(0, json.dumps(gallery(**{key: None})).encode())
    assert (found.problem, found.title, found.members, found.complete) == (None, None, (), False)


def test_an_item_of_the_limit_is_valid_and_one_byte_more_is_not() -> None:
    limit = Limits().max_entry_bytes
    raw = json.dumps(photo(novelty="")).encode()
    filler = b"x" * (limit - len(raw))
    assert parse_entry(0, raw.replace(b'""', b'"%b"' % filler)).problem is None
    too_long = parse_entry(0, raw.replace(b'""', b'"%bx"' % filler))
    assert "mount.max_entry_bytes" in str(too_long.problem)
    assert too_long.identity == ("photo", A, ""), "its row says which item it is"


def test_a_container_may_have_as_many_members_as_a_manifest_has_items() -> None:
    raw = json.dumps(gallery(items=[f"{number:032x}" for number in range(10_000)], title="Set", complete=True)).encode()
    assert len(raw) > Limits().max_entry_bytes
    found = parse_container(0, raw)
    assert (found.problem, len(found.members), found.title, found.complete) == (None, 10_000, "Set", True)
    assert "mount.max_items" in str(parse_container(0, raw, Limits(max_items=9_999)).problem)
    filler = b'"novelty": "%b", "items"' % (b"x" * Limits().max_entry_bytes)
    assert "mount.max_entry_bytes" in str(parse_container(0, raw.replace(b'"items"', filler)).problem)
    bad = parse_container(0, raw.replace(b'"items": [', b'"items": [7, '))
    assert bad.problem == "items[0]: expected `str`, got `int`"
    twice = raw.replace(b'"title"', b'"items": [], "title"')
    assert parse_container(0, twice).problem == "key 'items' appears twice"


def test_a_long_number_under_an_unknown_key_is_ignored_like_any_other() -> None:
    for number in (b"9" * 5000, b"-" + b"1" * 5000, b"1e999", b"-0", b"18446744073709551616", b"0." + b"3" * 9000):
        manifest = parse_manifest(with_item(json.dumps(photo(novelty="@")).encode().replace(b'"@"', number)))
        assert [entry.problem for entry in manifest.entries()] == [None, None, None]
        assert parse_manifest(encoded(novelty="@").replace(b'"@"', number)).item_count == 0
        bad = json.dumps(photo(novelty="@", title="?")).encode().replace(b'"@"', number).replace(b"?", rb"\ud800")
        problems = [entry.problem for entry in parse_manifest(with_item(bad)).entries()]
        assert problems == [None, "title: contains an unpaired surrogate", None]
