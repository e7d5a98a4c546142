"""Bytes of a manifest → an envelope with lazily checked items, or everything that is wrong with it. Pure."""

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
import orjson

from ingestd.errors import ManifestError, ManifestUnsettled
from ingestd.format.container import Container, parse_container
from ingestd.format.entry import MAX_NESTING, BadEntry, Entry, Text, brief, check_json, in_words, parse_entry
from ingestd.model import Action, Version

SYNC_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
MAX_TEXT = 255
MAX_TYPE = 64
MAX_KEPT = 250_000


@dataclass(frozen=True, slots=True)
class Manifest:
    """A consumable manifest. `raw_items` stay raw until asked for, so that a million of them fit into memory.

    Times are naive UTC; `sha256` digests the bytes it was read from.
    """

    sha256: str
    sync_id: str
    type: str
    action: Action
    created_at: datetime
    completed_at: datetime
    source_host: str | None
    prior_sync_id: str | None
    summary: dict[str, Any]
    raw_items: list[msgspec.Raw] = field(repr=False)
    raw_containers: list[msgspec.Raw] = field(repr=False)

    kept: dict[int, Entry] = field(default_factory=dict, repr=False)

    @property
    def version(self) -> Version:
        return Version(self.completed_at, self.sync_id, self.prior_sync_id)

    def entry(self, ordinal: int) -> Entry:
        """The entry at a place, parsed once as long as there are few enough to keep."""
        entry = self.kept.get(ordinal)
        if entry is None:
            entry = parse_entry(ordinal, self.raw_items[ordinal])
            if len(self.kept) < MAX_KEPT:
                self.kept[ordinal] = entry
        return entry

    def entries(self) -> Iterator[Entry]:
        return map(self.entry, range(len(self.raw_items)))

    def containers(self) -> list[Container]:
        """All containers, identical duplicates collapsed, differing ones marked as failing."""
        found: dict[tuple[str, str], Container] = {}
        for ordinal, raw in enumerate(self.raw_containers):
            container = parse_container(ordinal, raw)
            known = found.setdefault(container.identity, container)
            if known.sha256 != container.sha256:
                problem = f"{container.type} {container.hash} is listed twice, and differently"
                found[container.identity] = msgspec.structs.replace(known, problem=problem)
        return list(found.values())


def parse(data: bytes, *, sync_id: str | None = None, max_items: int = 1_000_000) -> Manifest:
    """The manifest in `data`. `sync_id`: the one its file name promises.

    Raises ManifestUnsettled when the bytes are no complete JSON (they may be half-written), ManifestError with every
    problem of the envelope otherwise.
    """
    fields = split(data)
    reader = _Envelope(fields)
    reader.check(lambda: check_json(_without_lists(data, fields)))
    manifest = reader.manifest(hashlib.sha256(data).hexdigest(), sync_id, max_items)
    if reader.problems or manifest is None:
        raise ManifestError(reader.problems)
    return manifest


def split(data: bytes) -> dict[str, msgspec.Raw]:
    """The fields of an envelope, unchecked. Raises as `parse` does when the bytes are no JSON object."""
    try:
        return msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError:
        raise ManifestError(["the manifest is not a JSON object"]) from None
    except RecursionError:
        raise ManifestError([f"the manifest is nested deeper than {MAX_NESTING}"]) from None
    except ValueError as error:
        raise ManifestUnsettled([f"the manifest is not complete JSON: {error}"]) from None


def _without_lists(data: bytes, fields: dict[str, msgspec.Raw]) -> bytes:
    """The envelope without its items and containers, which are checked one by one."""
    for key in ("items", "containers"):
        raw = memoryview(fields.get(key, b""))
        if bytes(raw[:1]) == b"[":
            data = data.replace(raw, b"[]", 1)
    return data


class _Envelope:
    """Reads the fields of an envelope one by one and collects what is wrong with them."""

    def __init__(self, fields: dict[str, msgspec.Raw]) -> None:
        self._fields = fields
        self.problems: list[str] = []

    def check(self, work: Callable[[], object]) -> None:
        try:
            work()
        except BadEntry as bad:
            self.problems.append(bad.problem)

    def manifest(self, sha256: str, promised: str | None, max_items: int) -> Manifest | None:
        sync_id = self._text("sync_id", required=True)
        self._check_sync_id(sync_id, promised)
        kind, action = self._text("type", required=True, max_length=MAX_TYPE), self._action()
        created_at, completed_at = self._time("created_at"), self._time("completed_at")
        verification = self._check_consumable()
        items, containers = self._list("items", required=True), self._list("containers")
        if len(items) > max_items:
            self.problems.append(f"items: {len(items)} of them, more than mount.max_items = {max_items}")
        host, prior = self._text("source_host"), self._prior()
        if self.problems or not (sync_id and kind and action and created_at and completed_at):
            return None
        summary = {
            "created_at": self._get("created_at", str),
            "completed_at": self._get("completed_at", str),
            "verification": verification,
            "prior_sync_id": prior,
        }
        return Manifest(
            sha256, sync_id, kind, action, created_at, completed_at, host, prior, summary, items, containers
        )

    def _get(self, key: str, kind: Any, *, required: bool = False) -> Any:
        raw = self._fields.get(key)
        if raw is None or bytes(memoryview(raw)[:5]) == b"null":
            if required:
                self.problems.append(f"{key}: {'missing' if raw is None else 'null, but it is required'}")
            return None
        try:
            return msgspec.json.decode(raw, type=kind)
        except (ValueError, RecursionError) as error:
            self.problems.append(f"{key}: {in_words(error)}")
            return None

    def _text(self, key: str, *, required: bool = False, max_length: int = MAX_TEXT) -> str | None:
        value: str | None = self._get(key, Text, required=required)
        if value is not None and len(value) > max_length:
            self.problems.append(f"{key}: longer than {max_length} characters")
        if required and value == "":
            self.problems.append(f"{key}: empty")
        return value

    def _check_sync_id(self, sync_id: str | None, promised: str | None) -> None:
        if not sync_id:
            return
        if not SYNC_ID.fullmatch(sync_id):
            self.problems.append(f"sync_id: {brief(sync_id)} is not a lower-case UUID")
        elif promised is not None and sync_id != promised:
            self.problems.append(f"sync_id: {sync_id} is not the one of the file's name, {promised}")

    def _prior(self) -> str | None:
        prior = self._text("prior_sync_id")
        if prior is not None and not SYNC_ID.fullmatch(prior):
            self.problems.append(f"prior_sync_id: {brief(prior)} is not a lower-case UUID")
        return prior

    def _action(self) -> Action | None:
        text = self._text("action", required=True)
        try:
            return Action(text) if text else None
        except ValueError:
            self.problems.append(f"action: {brief(text)} is none of create, update, remove")
            return None

    def _time(self, key: str) -> datetime | None:
        text = self._get(key, str, required=True)
        if text is None:
            return None
        try:
            moment = msgspec.convert(text, datetime)
        except msgspec.ValidationError:
            moment = None
        if moment is None or moment.tzinfo is None:
            self.problems.append(f"{key}: {brief(text)} is not an RFC 3339 time with Z or an offset")
            return None
        try:
            return moment.astimezone(UTC).replace(tzinfo=None)
        except OverflowError:
            self.problems.append(f"{key}: {brief(text)} is out of range")
            return None

    def _check_consumable(self) -> dict[str, Any] | None:
        status = self._get("status", object, required=True)
        if status is not None and status != "completed":
            self.problems.append(f'status: {brief(status)}, not "completed"')
        verification: dict[str, Any] | None = self._get("verification", dict[str, Any], required=True)
        if verification is None:
            return None
        if verification.get("passed") is not True:
            self.problems.append(f"verification.passed: {brief(verification.get('passed'))}, not true")
        if _has_huge_number(verification):
            self.problems.append("verification: a whole number in it needs more than 64 bits")
        return verification

    def _list(self, key: str, *, required: bool = False) -> list[msgspec.Raw]:
        return self._get(key, list[msgspec.Raw], required=required) or []


def _has_huge_number(value: Any) -> bool:
    """Whether a number in there cannot be written as JSON again, as the batch's summary will be."""
    try:
        orjson.dumps(value)
    except (orjson.JSONEncodeError, RecursionError):
        return True
    return False
