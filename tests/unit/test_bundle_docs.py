"""docs/bundle-format.md says what is true: its example is a valid manifest, its tables are those of the code."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from ingestd.config import MountSettings
from ingestd.format import entry, envelope, fields, nesting
from ingestd.format.check import check_manifest
from ingestd.format.container import CONTAINER_TYPES
from ingestd.format.manifest import parse_manifest
from ingestd.make import media
from ingestd.model import Action, Reason
from ingestd.mount import documents

TEXT = (Path(__file__).parents[2] / "docs/bundle-format.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    [found] = re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    return str(found)


def rows(heading: str) -> dict[str, list[str]]:
    """The first table under a heading: its first column, and the rest of each row."""
    section = TEXT.split(f"## {heading}\n", 1)[1]
    table = re.findall(r"(?:^\|.*\|\n)+", section, re.MULTILINE)[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    return {row[0].replace("`", ""): row[1:] for row in cells}


def example() -> Any:
    return json.loads(block("json"))


def test_the_example_has_neither_problems_nor_surprises() -> None:
    [name] = re.findall(r"^`sync/(.*)`:$", TEXT, re.MULTILINE)
    report = check_manifest(block("json").encode(), file_name=name)
    assert report.problems == []
    assert report.warnings == ["items: 1 file has a variant that is ignored"]
    assert (report.item_count, report.container_count) == (2, 1)
    assert example()["verification"]["total_files"] == sum(len(item["files"]) for item in example()["items"])


def test_the_files_beside_the_example_are_those_it_names() -> None:
    found = parse_manifest(block("json").encode())
    assert found.index.covers == {found.entry(0).asset_hash: (found.entry(1).asset_hash, 1)}
    named = {f"{item['path']}/{file['path']}" for item in example()["items"] for file in item["files"]}
    listed = set(block("text").split())
    assert named < listed
    assert f"sync/{found.sync_id}.ready" in listed


@pytest.mark.parametrize("key", [name for names in rows("The manifest") for name in names.split(", ")])
def test_required_fields_are_required(key: str) -> None:
    required = {name: row[0] == "yes" for names, row in rows("The manifest").items() for name in names.split(", ")}
    fields = {name: value for name, value in example().items() if name != key}
    assert key in example()
    assert bool(check_manifest(json.dumps(fields).encode(), file_name=None).problems) == required[key]


@pytest.mark.parametrize("key", list(rows("Items")))
def test_required_fields_of_items_are_required(key: str) -> None:
    fields = example()
    item = fields["items"][1]
    del (item if key in item else fields["items"][0])[key]
    problems = check_manifest(json.dumps(fields).encode(), file_name=None).problems
    assert bool(problems) == bool(rows("Items")[key][0])


def test_the_analysis_kinds_are_those_of_the_code() -> None:
    kinds = {name: row[0].strip("`") for name, row in rows("Documents").items()}
    assert {name: kind for name, kind in kinds.items() if name in documents.KINDS} == documents.KINDS
    [(name, kind)] = re.findall(r"`(\S+ \S+\.json)` gives `(source_data:.*?)`", TEXT)
    assert documents.kind_of(name) == kind


def test_the_limits_are_those_of_the_code() -> None:
    defaults = MountSettings()
    limits = rows("Limits")
    assert f"{defaults.max_manifest_bytes >> 20} MiB" == limits["manifest"][0]
    assert f"{defaults.max_document_bytes >> 20} MiB" == limits["a document"][0]
    assert f"{defaults.max_items:,}" == limits["items"][0]
    assert f"{defaults.max_containers:,}" == limits["containers"][0]
    assert f"{defaults.max_envelope_bytes >> 10} KiB" == limits["envelope"][0]
    assert f"{defaults.max_entry_bytes >> 10} KiB" == limits["an item"][0]
    assert f"{nesting.MAX_NESTING} levels" == limits["nesting of a document"][0]
    assert f"more than {fields.MAX_PATH} characters" in TEXT
    assert f"1 to {envelope.MAX_TYPE} characters" in TEXT
    assert f"`mount.settle_seconds` ({defaults.settle_seconds:.0f})" in TEXT
    assert defaults.max_future == 3600


def test_words_of_the_code_are_named() -> None:
    endings = re.findall(r"`(?:photo|video)` \(`(.*?)`\)", TEXT)
    assert [suffix[1:] for suffix in media.MIME] == " ".join(endings).split()
    for word in (*entry.IGNORED_VARIANTS, *Action, *CONTAINER_TYPES):
        assert f"`{word}`" in TEXT
    for setting in re.findall(r"`mount\.(\w+)`", TEXT):
        assert setting in MountSettings.model_fields
    for reason in ("duplicate_item", "type_conflict", "path_outside_root", "bad_entry", "document_too_deep"):
        assert Reason(reason)
        assert f"`{reason}`" in TEXT
