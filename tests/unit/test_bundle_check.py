"""The offline check of a manifest: every problem at once, each with its place."""

from typing import Any

import pytest

from ingestd.format.check import check_manifest
from support.hostile_manifests import ENVELOPES
from support.manifests import PRIOR, SYNC_ID, A, B, encoded, photo
from support.measured import CORPUS
from support.scale import scaled


def good(**changes: Any) -> bytes:
    return encoded(**{"items": [photo(A)], **changes})


def problems(data: bytes, file_name: str | None = None) -> list[str]:
    return check_manifest(data, file_name=file_name).problems


def test_a_clean_manifest_has_neither_problems_nor_warnings() -> None:
    report = check_manifest(good(), file_name=f"{SYNC_ID}.json")
    assert (report.sync_id, report.problems, report.warnings) == (SYNC_ID, [], [])
    assert (report.item_count, report.container_count) == (1, 0)


def test_every_problem_is_listed_at_once() -> None:
    orphan = {"type": "cover", "hash": A}
    items = [photo(A), orphan, photo(B), photo(B, title="x"), {"type": "video", "hash": A}, 7]
    galleries = [{"type": "gallery", "hash": "c" * 32}, {"type": "gallery", "hash": "c" * 32, "title": "x"}]
    found = problems(good(status="uploading", type=None, items=items, containers=[*galleries, {"type": "gallery"}]))
    assert [problem.partition(":")[0] for problem in found] == [
        "type", "status", "items[1]", "items[2]", "items[3]", "items[4]", "items[5]",
        "containers[0]", "containers[1]", "containers[2]",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "place_of_it"),
    [
        (b'{\n  "a": 1,\n  "b" 2}', "line 3, column 7"),
        (b"", "line 1, column 1"),
        (b'{"a": "\xff"', "offset 7"),
    ],
)
def test_syntax_errors_have_a_place(data: bytes, place_of_it: str) -> None:
    [problem] = problems(data)
    assert place_of_it in problem


@pytest.mark.parametrize("data", [b"[]", b'{"a": "\\ud800"}', b'{"a": NaN}', b'{"a": ' + b"[" * 50_000])
def test_what_only_some_parsers_take_is_a_problem(data: bytes) -> None:
    assert len(problems(data)) == 1


def test_the_file_name_promises_the_sync_id() -> None:
    assert problems(good(), f"{SYNC_ID}.json") == []
    assert PRIOR in problems(good(), f"{PRIOR}.json")[0]
    report = check_manifest(good(), file_name="copy.json")
    assert (report.problems, len(report.warnings)) == ([], 1)


def test_what_is_odd_but_importable_is_a_warning() -> None:
    twice = [{"type": "photo", "hash": "a" * 32, "path": "p", "files": [{"variant": "blurred", "path": "x"}]}] * 2
    series = {"type": "series", "hash": "b" * 32}
    report = check_manifest(
        good(items=twice, containers=[series, series], prior_sync_id=SYNC_ID, created_at="2030-01-01T00:00:00Z"),
        file_name=None,
    )
    assert report.problems == []
    text = "\n".join(report.warnings)
    for word in (
        "created_at",
        "prior_sync_id",
        "items: 1 exact duplicate",
        "items: 1 file has a variant that is ignored",
        "type series",
        "containers: 1",
    ):
        assert word in text
    assert "nothing to import" in check_manifest(good(items=[]), file_name=None).warnings[0]


@pytest.mark.soak
def test_every_hostile_manifest_gets_a_report() -> None:
    for shape in CORPUS:
        size = scaled(80_000 if shape in ENVELOPES else 10_000, 80_000)
        report = check_manifest(shape.make(size), file_name=f"{SYNC_ID}.json")
        assert report.problems or shape.verdict == "valid", shape.name
        assert all(len(problem) < 1000 for problem in report.problems), shape.name
