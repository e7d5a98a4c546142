"""Items and containers of a manifest that fail alone."""

import json
from typing import Any

import pytest

from ingestd.format.entry import parse_entry
from ingestd.format.manifest import parse_manifest
from ingestd.format.records import encode_record
from support.manifests import A, B, C, cover, encoded, parsed, photo


def test_a_bad_item_leaves_its_siblings_alone() -> None:
    data = encoded(items=[photo(A), "@@", photo(B)]).replace(b'"@@"', b'{"type": "photo", "type": "x"}')
    bad = [entry.ordinal for entry in parse_manifest(data).entries() if entry.problem]
    assert bad == [1]


def test_a_deep_item_leaves_its_siblings_alone() -> None:
    data = encoded(items=["@@", photo(B)]).replace(b'"@@"', b'{"x": ' + b"[" * 31 + b"]" * 31 + b"}")
    assert [bool(entry.problem) for entry in parse_manifest(data).entries()] == [True, False]


def test_entries_are_kept_as_they_were_parsed() -> None:
    file = {"variant": "original", "path": "a", "bytes": 2**63 - 1, "sha256": "0" * 64}
    items = [photo(path="p", files=[file], title="\u00e4"), cover(B, A), {"type": "x"}, 7, {**photo(), "path": "/"}]
    manifest = parsed(items=items)
    raws = [json.dumps(item).encode() for item in items]
    expected = [parse_entry(ordinal, raw) for ordinal, raw in enumerate(raws)]
    found = list(manifest.entries())
    assert encode_record(found) == encode_record(expected)
    assert [bool(entry.problem) for entry in found] == [False, False, True, True, True]


def gallery(**changes: Any) -> dict[str, Any]:
    return {"type": "gallery", "hash": C, "items": [A, B], **changes}


def test_a_container_lists_each_member_once_and_in_order() -> None:
    [found] = parsed(containers=[gallery(items=[B, A, B], title="Set", complete=True)]).containers()
    assert (found.members, found.title, found.complete, found.problem) == ((B, A), "Set", True, None)


@pytest.mark.parametrize("raw", [b'{"type": "gallery", "hash": 1, "hash": 2}', b"[" * 40 + b"]" * 40, b"null", b'"x"'])
def test_a_bad_container_leaves_its_siblings_alone(raw: bytes) -> None:
    data = encoded(containers=["@@", gallery()]).replace(b'"@@"', raw)
    bad, good = parse_manifest(data).containers()
    assert bad.problem
    assert (good.problem, good.members) == (None, (A, B))


@pytest.mark.parametrize("changes", [{"items": ["x"]}, {"complete": 1}, {"title": "a\nb"}, {"hash": None}])
def test_containers_are_checked(changes: dict[str, Any]) -> None:
    [found] = parsed(containers=[gallery(**changes)]).containers()
    assert found.problem


def test_containers_of_other_types_are_left_alone() -> None:
    [found] = parsed(containers=[{"type": "series", "hash": C, "items": "whatever"}]).containers()
    assert (found.type, found.problem) == ("series", None)


@pytest.mark.parametrize("kind", ["Gallery", "invalid", "gal\u00e9rie", "x" * 33, ""])
def test_a_type_that_no_container_can_have_is_a_problem(kind: str) -> None:
    [found] = parsed(containers=[{"type": kind, "hash": C}]).containers()
    assert found.type == "invalid"
    assert found.problem


def test_containers_that_repeat_collapse_or_fail() -> None:
    [same] = parsed(containers=[gallery(), gallery()]).containers()
    assert same.problem is None
    [differing] = parsed(containers=[gallery(), gallery(title="x")]).containers()
    assert "twice" in str(differing.problem)
