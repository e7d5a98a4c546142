"""Everything that is wrong with a manifest, at once, for the person who has to mend it. Pure."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec

from ingestd.errors import ManifestError
from ingestd.format.container import CONTAINER_TYPES, Container, parse_container
from ingestd.format.manifest import SYNC_ID, Manifest, parse, split
from ingestd.format.manifest_index import ManifestIndex, index_manifest
from ingestd.model import Action

SUFFIX = ".json"


@dataclass(frozen=True, slots=True)
class Report:
    """What a manifest holds and what is wrong with it. `warnings` keep nothing from being imported."""

    sync_id: str | None
    problems: list[str]
    warnings: list[str]
    item_count: int
    container_count: int


def check_manifest(data: bytes, *, file_name: str | None) -> Report:
    """All problems of a manifest. `file_name`: the name it has on the mount, which must promise its sync_id."""
    try:
        fields = split(data)
    except ManifestError as error:
        return Report(None, [_syntax_problem(data) or str(error)], [], 0, 0)
    promised, warnings = _promise(file_name)
    problems: list[str] = []
    try:
        warnings += _envelope_warnings(parse(data, sync_id=promised))
    except ManifestError as error:
        problems += error.problems
    draft = _draft(_raw_list(fields, "items"), _raw_list(fields, "containers"))
    found = index_manifest(draft)
    problems += [*_item_problems(draft, found), *_container_problems(draft)]
    warnings += [*_item_warnings(found), *_container_warnings(draft)]
    return Report(_sync_id(fields), problems, warnings, len(draft.raw_items), len(draft.raw_containers))


def _syntax_problem(data: bytes) -> str | None:
    """What is wrong with the JSON and where; None when the text is JSON after all."""
    try:
        json.loads(data.decode())
    except UnicodeDecodeError as error:
        return f"the manifest is not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start}"
    except json.JSONDecodeError as error:
        return f"the manifest is not JSON: line {error.lineno}, column {error.colno}: {error.msg}"
    except (ValueError, RecursionError):
        return None
    return None


def _promise(file_name: str | None) -> tuple[str | None, list[str]]:
    """The sync_id that a file's name promises, and a warning when it promises none."""
    if file_name is None:
        return None, []
    stem = file_name.removesuffix(SUFFIX)
    if stem != file_name and SYNC_ID.fullmatch(stem):
        return stem, []
    return None, [f"the file is called {file_name!r}: on the mount it has to be sync/<sync_id>.json"]


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


def _draft(items: list[msgspec.Raw], containers: list[msgspec.Raw]) -> Manifest:
    """A manifest whose envelope does not matter: its lists are looked at even when the envelope is bad."""
    return replace(_BLANK, raw_items=items, raw_containers=containers, kept={})


def _envelope_warnings(manifest: Manifest) -> list[str]:
    warnings = []
    if manifest.created_at > manifest.completed_at:
        warnings.append("created_at is later than completed_at")
    if manifest.prior_sync_id == manifest.sync_id:
        warnings.append("prior_sync_id names the bundle itself")
    if not manifest.raw_items and not manifest.raw_containers:
        warnings.append("items: empty, so there is nothing to import")
    return warnings


def _item_problems(manifest: Manifest, found: ManifestIndex) -> Iterator[str]:
    for entry in manifest.entries():
        if entry.problem is not None:
            yield f"items[{entry.ordinal}]: {entry.problem}"
        elif entry.identity in found.problems:
            yield f"items[{entry.ordinal}]: {found.problems[entry.identity][1]}"


def _item_warnings(found: ManifestIndex) -> Iterator[str]:
    if found.collapsed:
        yield f"items: {found.collapsed} listed again, word for word; each counts once"
    if found.derivatives_ignored:
        yield f"items: {found.derivatives_ignored} files of variants that are never imported"


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
            yield f"containers[{container.ordinal}]: type {container.type} is noted, and left alone"
    if again := len(containers) - len({(container.identity, container.sha256) for container in containers}):
        yield f"containers: {again} listed again, word for word; each counts once"


def _containers(manifest: Manifest) -> list[Container]:
    return [parse_container(ordinal, raw) for ordinal, raw in enumerate(manifest.raw_containers)]
