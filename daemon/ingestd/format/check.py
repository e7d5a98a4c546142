"""The offline check: everything that is wrong with a manifest, in one report. Pure."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec

from ingestd.errors import ManifestError
from ingestd.format.container import CONTAINER_TYPES, Container, parse_container
from ingestd.format.fields import SYNC_ID
from ingestd.format.manifest import Manifest, parse_manifest, split_fields
from ingestd.format.manifest_index import ManifestIndex, index_manifest
from ingestd.model import Action

SUFFIX = ".json"


@dataclass(frozen=True, slots=True)
class Report:
    """The content of a manifest in numbers, and what is wrong with it. `warnings` do not prevent the import."""

    sync_id: str | None
    problems: list[str]
    warnings: list[str]
    item_count: int
    container_count: int


def check_manifest(data: bytes, *, file_name: str | None) -> Report:
    """All problems of a manifest. `file_name`: its name on the mount, which must contain the sync_id."""
    try:
        fields = split_fields(data)
    except ManifestError as error:
        return Report(None, [_syntax_problem(data) or str(error)], [], 0, 0)
    expected_sync_id, warnings = _sync_id_of_name(file_name)
    problems: list[str] = []
    try:
        warnings += _envelope_warnings(parse_manifest(data, sync_id=expected_sync_id))
    except ManifestError as error:
        problems += error.problems
    lists = _lists_only(_raw_list(fields, "items"), _raw_list(fields, "containers"))
    index = index_manifest(lists)
    problems += [*_item_problems(lists, index), *_container_problems(lists)]
    warnings += [*_item_warnings(index), *_container_warnings(lists)]
    return Report(_sync_id(fields), problems, warnings, len(lists.raw_items), len(lists.raw_containers))


def _syntax_problem(data: bytes) -> str | None:
    """What is wrong with the JSON, and where; None if only the format does not accept it."""
    try:
        json.loads(data.decode())
    except UnicodeDecodeError as error:
        return f"the manifest is not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start}"
    except json.JSONDecodeError as error:
        return f"the manifest is not JSON: line {error.lineno}, column {error.colno}: {error.msg}"
    except (ValueError, RecursionError):
        return None
    return None


def _sync_id_of_name(file_name: str | None) -> tuple[str | None, list[str]]:
    """The sync_id in a file's name, and a warning if there is none."""
    if file_name is None:
        return None, []
    stem = file_name.removesuffix(SUFFIX)
    if stem != file_name and SYNC_ID.fullmatch(stem):
        return stem, []
    return None, [f"the file is named {file_name!r}; on the mount it must be sync/<sync_id>.json"]


def _sync_id(fields: dict[str, msgspec.Raw]) -> str | None:
    try:
        value: Any = msgspec.json.decode(fields.get("sync_id", b"null"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, str) and SYNC_ID.fullmatch(value) else None


def _raw_list(fields: dict[str, msgspec.Raw], key: str) -> list[msgspec.Raw]:
    try:
        return msgspec.json.decode(fields.get(key, b"[]"), type=list[msgspec.Raw])
    except (ValueError, RecursionError):
        return []


_BLANK = Manifest("", "", "", Action.CREATE, datetime.min, datetime.min, None, None, {}, [], [])


def _lists_only(items: list[msgspec.Raw], containers: list[msgspec.Raw]) -> Manifest:
    """A manifest with a blank envelope, to check the lists even when the envelope is invalid."""
    return replace(_BLANK, raw_items=items, raw_containers=containers, cached_entries={})


def _envelope_warnings(manifest: Manifest) -> list[str]:
    warnings = []
    if manifest.created_at > manifest.completed_at:
        warnings.append("created_at is later than completed_at")
    if manifest.prior_sync_id == manifest.sync_id:
        warnings.append("prior_sync_id names the bundle itself")
    if not manifest.raw_items and not manifest.raw_containers:
        warnings.append("items: empty, so there is nothing to import")
    return warnings


def _item_problems(manifest: Manifest, index: ManifestIndex) -> Iterator[str]:
    for entry in manifest.entries():
        if entry.problem is not None:
            yield f"items[{entry.ordinal}]: {entry.problem}"
        elif entry.identity in index.problems:
            yield f"items[{entry.ordinal}]: {index.problems[entry.identity][1]}"


def _item_warnings(index: ManifestIndex) -> Iterator[str]:
    if index.duplicates_collapsed:
        yield f"items: {_duplicates(index.duplicates_collapsed)}"
    if count := index.derivatives_ignored:
        which = "1 file has a variant that is" if count == 1 else f"{count} files have variants that are"
        yield f"items: {which} ignored"


def _container_problems(manifest: Manifest) -> Iterator[str]:
    together = {container.identity: container.problem for container in manifest.containers()}
    for container in _containers(manifest):
        problem = container.problem or together[container.identity]
        if problem is not None:
            yield f"containers[{container.ordinal}]: {problem}"


def _container_warnings(manifest: Manifest) -> Iterator[str]:
    containers = _containers(manifest)
    for container in containers:
        if container.problem is None and container.type not in CONTAINER_TYPES:
            yield f"containers[{container.ordinal}]: type {container.type} is not imported"
    if count := len(containers) - len({(container.identity, container.sha256) for container in containers}):
        yield f"containers: {_duplicates(count)}"


def _duplicates(count: int) -> str:
    return "1 exact duplicate is ignored" if count == 1 else f"{count} exact duplicates are ignored"


def _containers(manifest: Manifest) -> list[Container]:
    return [parse_container(ordinal, raw) for ordinal, raw in enumerate(manifest.raw_containers)]
