"""The offline check: everything that is wrong with a manifest, in one report. Pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ingestd.errors import ManifestError, ManifestUnsettled
from ingestd.format.container import CONTAINER_TYPES, Container, parse_container
from ingestd.format.entry import Entry, parse_entry
from ingestd.format.fields import SYNC_ID, Limits
from ingestd.format.manifest import unique_containers
from ingestd.format.manifest_index import Identity, IndexBuilder, ManifestIndex
from ingestd.format.manifest_parser import read_envelope
from ingestd.format.manifest_text import ManifestText
from ingestd.format.records import Envelope

SUFFIX = ".json"
_BYTE = re.compile(r" ?(?:at |\()byte (?P<offset>\d+)\)?")


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
    expected_sync_id, warnings = _sync_id_of_name(file_name)
    limits = Limits()
    problems: list[str] = []
    try:
        text = ManifestText(data, limits)
        items = _CheckedItems.read(text, limits)
        containers = [parse_container(ordinal, raw, limits) for ordinal, raw in enumerate(text.containers())]
    except ManifestError as error:
        return Report(None, [_syntax_problem(data, error)], [], 0, 0)
    try:
        warnings += _envelope_warnings(read_envelope(text, expected_sync_id))
    except ManifestError as error:
        problems += error.problems
    problems += [*items.problems(), *_container_problems(containers)]
    warnings += [*_item_warnings(items.index), *_container_warnings(containers)]
    return Report(_sync_id(text.fields), problems, warnings, text.item_count, text.container_count)


def _syntax_problem(data: bytes, error: ManifestError) -> str:
    """Why a manifest cannot be split, and where."""
    if not isinstance(error, ManifestUnsettled):
        return str(error)
    try:
        data.decode()
    except UnicodeDecodeError as bad:
        return f"the manifest is not UTF-8: byte 0x{data[bad.start]:02x} at offset {bad.start}"
    found = _BYTE.search(str(error))
    offset = int(found["offset"]) if found else len(data)
    column = len(data[data.rfind(b"\n", 0, offset) + 1 : offset].decode(errors="replace")) + 1
    message = _BYTE.sub("", str(error)).rpartition(": ")[2]
    return f"the manifest is not JSON: line {data.count(bytes([10]), 0, offset) + 1}, column {column}: {message}"


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


def _envelope_warnings(envelope: Envelope) -> list[str]:
    warnings = []
    if envelope.created_at > envelope.completed_at:
        warnings.append("created_at is later than completed_at")
    if envelope.prior_sync_id == envelope.sync_id:
        warnings.append("prior_sync_id names the bundle itself")
    if not envelope.item_count and not envelope.container_count:
        warnings.append("items: empty, so there is nothing to import")
    return warnings


@dataclass(slots=True)
class _CheckedItems:
    """What a report needs of the items: the problem of each, and the first of those with the same identity."""

    index: ManifestIndex = field(default_factory=ManifestIndex)
    own_problems: dict[int, str] = field(default_factory=dict)
    firsts: list[Entry] = field(default_factory=list)

    @classmethod
    def read(cls, text: ManifestText, limits: Limits) -> "_CheckedItems":
        checked, builder = cls(), IndexBuilder()
        known: dict[Identity, Entry] = {}
        for ordinal, raw in enumerate(text.items()):
            entry = parse_entry(ordinal, raw, limits.max_entry_bytes)
            builder.add(entry)
            checked._note(entry, known)
        checked.index = builder.finish()
        return checked

    def _note(self, entry: Entry, known: dict[Identity, Entry]) -> None:
        self.firsts.append(known.setdefault(entry.identity, entry))
        if entry.problem is not None:
            self.own_problems[entry.ordinal] = entry.problem

    def problems(self) -> Iterator[str]:
        for ordinal, first in enumerate(self.firsts):
            together = self.index.problem(first)
            problem = self.own_problems.get(ordinal) or (together and together[1])
            if problem:
                yield f"items[{ordinal}]: {problem}"


def _item_warnings(index: ManifestIndex) -> Iterator[str]:
    if index.duplicates_collapsed:
        yield f"items: {_duplicates(index.duplicates_collapsed)}"
    if count := index.derivatives_ignored:
        which = "1 file has a variant that is" if count == 1 else f"{count} files have variants that are"
        yield f"items: {which} ignored"


def _container_problems(containers: list[Container]) -> Iterator[str]:
    together = {container.identity: container.problem for container in unique_containers(containers)}
    for container in containers:
        problem = container.problem or together[container.identity]
        if problem is not None:
            yield f"containers[{container.ordinal}]: {problem}"


def _container_warnings(containers: list[Container]) -> Iterator[str]:
    for container in containers:
        if container.problem is None and container.type not in CONTAINER_TYPES:
            yield f"containers[{container.ordinal}]: type {container.type} is not imported"
    if count := len(containers) - len({(container.identity, container.sha256) for container in containers}):
        yield f"containers: {_duplicates(count)}"


def _duplicates(count: int) -> str:
    return "1 exact duplicate is ignored" if count == 1 else f"{count} exact duplicates are ignored"
