"""Manifests: a consumable envelope or all that is wrong with it, and hostile text."""

import json
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestd.errors import ManifestError, ManifestUnsettled
from ingestd.format.fields import Limits
from ingestd.format.manifest import parse_manifest
from ingestd.model import Action
from support.manifests import PRIOR, SYNC_ID, A, B, C, cover, encoded, envelope, parsed, photo
from support.scale import scaled

REQUIRED = ["sync_id", "type", "action", "status", "created_at", "completed_at", "verification", "items"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


def problems(data: bytes, **options: Any) -> list[str]:
    with pytest.raises(ManifestError) as caught:
        parse_manifest(data, **options)
    assert not isinstance(caught.value, ManifestUnsettled)
    assert caught.value.problems
    return caught.value.problems


# The envelope


def test_a_consumable_manifest() -> None:
    manifest = parsed(source_host="flux-1", prior_sync_id=PRIOR, novelty=1)
    assert (manifest.sync_id, manifest.type, manifest.action) == (SYNC_ID, "event", Action.UPDATE)
    assert (manifest.source_host, manifest.prior_sync_id) == ("flux-1", PRIOR)
    assert manifest.completed_at == datetime(2026, 4, 12, 21, 35, 35)
    assert manifest.summary["verification"] == {"passed": True}


@pytest.mark.parametrize("key", REQUIRED)
def test_required_fields_may_be_neither_absent_nor_null(key: str) -> None:
    without = {name: value for name, value in envelope().items() if name != key}
    assert [problem.partition(":")[0] for problem in problems(json.dumps(without).encode())] == [key]
    assert [problem.partition(":")[0] for problem in problems(encoded(**{key: None}))] == [key]


@pytest.mark.parametrize("key", ["source_host", "prior_sync_id", "containers"])
def test_optional_fields_may_be_null(key: str) -> None:
    assert list(parsed(**{key: None}).containers()) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("sync_id", SYNC_ID.upper()),
        ("sync_id", f"{SYNC_ID}\n"),
        ("sync_id", "../../etc/passwd"),
        ("sync_id", 7),
        ("type", ""),
        ("type", "x" * 65),
        ("type", "a\u0000b"),
        ("action", "delete"),
        ("action", "Create"),
        ("status", "complete"),
        ("status", True),
        ("verification", {}),
        ("verification", {"passed": "true"}),
        ("verification", {"passed": 1}),
        ("verification", {"passed": False}),
        ("verification", [True]),
        ("source_host", "x" * 256),
        ("prior_sync_id", "none"),
        ("items", {}),
        ("items", "completed"),
        ("items", 1),
        ("containers", 0),
        ("created_at", 1775943335),
    ],
)
def test_one_wrong_field_gives_one_problem_that_names_it(key: str, value: Any) -> None:
    found = problems(encoded(**{key: value}))
    assert len(found) == 1
    assert found[0].startswith(key)


def test_a_problem_shows_the_value_as_json_writes_it() -> None:
    for value, shown in ((False, "false"), (None, "null"), ("True", "'True'")):
        assert problems(encoded(verification={"passed": value})) == [f"verification.passed: expected true, got {shown}"]


def test_all_problems_are_reported_at_once() -> None:
    found = problems(encoded(sync_id="x", type="", action="y", status="z", created_at="?", items=None))
    assert [problem.partition(":")[0] for problem in found] == [
        "sync_id", "type", "action", "created_at", "status", "items",
    ]  # fmt: skip


def test_the_sync_id_must_be_the_one_its_name_promises() -> None:
    assert parse_manifest(encoded(), sync_id=SYNC_ID).sync_id == SYNC_ID
    assert PRIOR in problems(encoded(), sync_id=PRIOR)[0]


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-04-12T21:35:35Z", datetime(2026, 4, 12, 21, 35, 35)),
        ("2026-04-12T23:35:35+02:00", datetime(2026, 4, 12, 21, 35, 35)),
        ("2026-04-12T16:05:35.250-05:30", datetime(2026, 4, 12, 21, 35, 35, 250_000)),
        ("2026-01-01T00:30:00+01:00", datetime(2025, 12, 31, 23, 30)),
        ("2026-04-12T21:35:35.123456499Z", datetime(2026, 4, 12, 21, 35, 35, 123_456)),
    ],
)
def test_times_are_kept_in_utc(text: str, utc: datetime) -> None:
    manifest = parsed(completed_at=text)
    assert manifest.completed_at == utc
    assert manifest.summary["completed_at"] == text


@pytest.mark.parametrize(
    "text",
    [
        "", "2026-04-12", "2026-04-12T21:35:35", "yesterday", "2026-02-30T00:00:00Z", "2026-04-12T24:00:01Z",
        "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00",
    ],
)  # fmt: skip
def test_times_without_a_zone_or_out_of_range_are_refused(text: str) -> None:
    assert problems(encoded(created_at=text))[0].startswith("created_at")


def test_too_many_items() -> None:
    assert "mount.max_items = 1" in problems(encoded(items=[photo(A), photo(B)]), limits=Limits(max_items=1))[0]
    assert parse_manifest(encoded(items=[photo(A), photo(B)]), limits=Limits(max_items=2)).item_count == 2


# Hostile text


def test_cut_anywhere_it_is_not_settled() -> None:
    data = encoded(items=[photo(title="\U0001f600\u00e4"), cover(B, A)], containers=[{"type": "gallery", "hash": C}])
    data = data.replace(b"\\u00e4", "\u00e4".encode())
    for length in range(len(data)):
        with pytest.raises(ManifestUnsettled):
            parse_manifest(data[:length])
    assert parse_manifest(data).item_count == 2


@pytest.mark.parametrize("filler", [b"\0", b"x", b"{}", b"\xff"])
def test_text_after_the_end_is_not_settled(filler: bytes) -> None:
    with pytest.raises(ManifestUnsettled):
        parse_manifest(encoded() + filler)


@pytest.mark.parametrize("data", [b"[]", b"null", b'"x"', b"7"])
def test_only_an_object_is_a_manifest(data: bytes) -> None:
    assert problems(data) == ["the manifest is not a JSON object"]


def with_raw(key: str, value: bytes) -> bytes:
    return encoded(**{key: "@@"}).replace(b'"@@"', value)


def test_duplicate_keys_of_the_envelope() -> None:
    again = encoded()[:-1] + b', "action": "remove"}'
    assert problems(again) == ["key 'action' appears twice"]
    assert problems(with_raw("verification", b'{"passed": false, "passed": true}')) == ["key 'passed' appears twice"]
    assert problems(encoded()[:-1] + b', "items": []}') == ["key 'items' appears twice"]


@pytest.mark.parametrize("key", ["status", "verification", "type", "created_at", "novelty"])
@pytest.mark.parametrize("levels", [31, 900, 100_000])
def test_deep_nesting_is_a_problem_and_never_a_crash(key: str, levels: int) -> None:
    found = problems(with_raw(key, b"[" * levels + b"]" * levels))
    assert any("nested deeper than 30" in problem for problem in found)


def test_deep_nesting_that_is_cut_off_is_not_settled() -> None:
    with pytest.raises(ManifestUnsettled):
        parse_manifest(with_raw("items", b"[" * 100_000)[:90_000])


def test_numbers_that_cannot_be_kept_are_a_problem() -> None:
    for number in (b"9" * 400, b"18446744073709551616", b"1e999"):
        found = problems(with_raw("verification", b'{"passed": true, "total_files": %s}' % number))
        assert [problem.partition(":")[0] for problem in found] == ["verification"]


def test_problems_stay_short() -> None:
    long = "x" * 100_000
    everything = dict.fromkeys(REQUIRED, long)
    assert len("".join(problems(encoded(**everything, prior_sync_id=long)))) < 5000


@pytest.mark.soak
@settings(max_examples=scaled(100, 5000), deadline=None)
@given(st.binary())
def test_bytes_raise_nothing_else(data: bytes) -> None:
    with pytest.raises(ManifestError):
        parse_manifest(data)


@pytest.mark.soak
@settings(max_examples=scaled(100, 5000), deadline=None)
@given(st.dictionaries(st.sampled_from([*REQUIRED, "containers", "prior_sync_id", "source_host"]), JSON, min_size=1))
def test_values_raise_nothing_else(changes: dict[str, Any]) -> None:
    try:
        manifest = parsed(**changes)
    except ManifestError:
        return
    list(manifest.entries())
    list(manifest.containers())
    json.dumps(manifest.summary, allow_nan=False)


@pytest.mark.soak
@settings(max_examples=scaled(100, 5000), deadline=None)
@given(st.lists(JSON, min_size=1, max_size=4), st.lists(JSON, max_size=4))
def test_whatever_the_items_they_fail_alone(items: list[Any], containers: list[Any]) -> None:
    try:
        manifest = parsed(items=[photo(A), *items], containers=containers)
    except ManifestUnsettled:
        return
    assert len(list(manifest.entries())) == len(items) + 1
    assert manifest.entry(0).problem is None
    list(manifest.containers())
