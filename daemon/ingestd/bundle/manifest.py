"""Bytes of a manifest → an envelope with lazily checked items, or everything that is wrong with it. Pure."""

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
import orjson

from ingestd.bundle.entry import (
    MAX_NESTING,
    USABLE_HASH,
    USABLE_TYPE,
    BadEntry,
    Entry,
    Hash,
    Text,
    brief,
    check_json,
    nesting,
    parse_entry,
    usable,
)
from ingestd.errors import ManifestError, ManifestUnsettled
from ingestd.model import Action, Reason, Version

SYNC_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
CONTAINER_TYPES = frozenset({"gallery", "collection"})
MAX_TEXT = 255
MAX_TYPE = 64
MAX_SUM = 2**63 - 1
MAX_KEPT = 250_000


class Container(msgspec.Struct, frozen=True):
    """One container of a manifest; `members` are asset hashes in order, each once."""

    ordinal: int
    type: str
    hash: str
    sha256: str
    title: str | None = None
    members: tuple[str, ...] = ()
    complete: bool = False
    problem: str | None = None

    @property
    def identity(self) -> tuple[str, str]:
        return (self.type, self.hash)


class _Container(msgspec.Struct):
    type: str
    hash: Hash
    title: Text | None = None
    items: list[Hash] = []
    complete: bool = False


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
        kind, action = self._text("type", required=True, longest=MAX_TYPE), self._action()
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
            self.problems.append(f"{key}: {error}")
            return None

    def _text(self, key: str, *, required: bool = False, longest: int = MAX_TEXT) -> str | None:
        value: str | None = self._get(key, Text, required=required)
        if value is not None and len(value) > longest:
            self.problems.append(f"{key}: longer than {longest} characters")
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


_decode_container = msgspec.json.Decoder(_Container).decode


def parse_container(ordinal: int, raw: msgspec.Raw) -> Container:
    """The container at place `ordinal`; never raises."""
    digest = hashlib.sha256(raw).hexdigest()
    try:
        check_json(bytes(raw))
        if (kind := _other_type(raw)) is not None:
            return Container(ordinal, kind, _hash_or_place(raw, ordinal), digest)
        found = _decode_container(raw)
        if found.type not in CONTAINER_TYPES:
            raise BadEntry(Reason.BAD_ENTRY, f"{brief(found.type)} cannot be the type of a container")
    except (BadEntry, ValueError) as error:
        kind = _field(raw, "type")
        kind = kind if kind in CONTAINER_TYPES else "invalid"
        return Container(ordinal, kind, _hash_or_place(raw, ordinal), digest, problem=str(error))
    members = tuple(dict.fromkeys(found.items))
    return Container(ordinal, found.type, found.hash, digest, found.title, members, found.complete)


def _other_type(raw: msgspec.Raw) -> str | None:
    """The type of a container that ingestd leaves alone; None for those it imports or cannot make sense of."""
    kind = _field(raw, "type")
    return kind if usable(USABLE_TYPE, kind) and kind not in CONTAINER_TYPES and kind != "invalid" else None


def _hash_or_place(raw: msgspec.Raw, ordinal: int) -> str:
    value = _field(raw, "hash")
    return value if value is not None and usable(USABLE_HASH, value) else f"#{ordinal}"


def _field(raw: msgspec.Raw, key: str) -> str | None:
    try:
        value = msgspec.json.decode(raw, type=dict[str, Any]).get(key)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, str) else None


@dataclass(slots=True)
class Survey:
    """What only a look at all entries of a manifest can tell.

    `first`: identity → ordinal of the entry that stands for it; `problems`: identity → why it can only fail;
    `covers`: parent hash → the (cover hash, ordinal of its cover item or None) that wins among those delivered.
    """

    first: dict[tuple[str, str, str], int] = field(default_factory=dict)
    problems: dict[tuple[str, str, str], tuple[Reason, str]] = field(default_factory=dict)
    covers: dict[str, tuple[str, int | None]] = field(default_factory=dict)
    collapsed: int = 0
    derivatives_ignored: int = 0
    total_bytes: int = 0


def survey(manifest: Manifest, visit: Callable[[Entry], object] = lambda _entry: None) -> Survey:
    """Looks at every entry once; `visit` is called with each one that stands for its identity."""
    found = Survey()
    digests: dict[tuple[str, str, str], str] = {}
    types: dict[str, str] = {}
    links: list[Entry] = []
    for entry in manifest.entries():
        if _is_again(found, digests, entry):
            continue
        found.total_bytes = min(MAX_SUM, found.total_bytes + sum(file.bytes or 0 for file in entry.files))
        found.derivatives_ignored += entry.derivatives_ignored
        if entry.problem is None:
            _note_type(found, types, entry)
            if entry.is_cover or entry.cover_hash:
                links.append(entry)
        visit(entry)
    _choose_covers(found, [entry for entry in links if entry.identity not in found.problems])
    return found


def _is_again(found: Survey, digests: dict[tuple[str, str, str], str], entry: Entry) -> bool:
    """Whether an entry repeats an earlier one; a differing repetition dooms both."""
    known = digests.get(entry.identity)
    if known is None:
        digests[entry.identity] = entry.sha256
        found.first[entry.identity] = entry.ordinal
        return False
    if known == entry.sha256:
        found.collapsed += 1
    else:
        problem = f"{entry.asset_type} {entry.asset_hash} is listed twice, and differently"
        found.problems[entry.identity] = (Reason.DUPLICATE_ITEM, problem)
    return True


def _note_type(found: Survey, types: dict[str, str], entry: Entry) -> None:
    if entry.is_cover:
        return
    other = types.setdefault(entry.asset_hash, entry.asset_type)
    if other != entry.asset_type:
        problem = f"hash {entry.asset_hash} is listed as {other} and as {entry.asset_type}"
        found.problems[entry.identity] = (Reason.TYPE_CONFLICT, problem)


def _choose_covers(found: Survey, links: list[Entry]) -> None:
    """The last cover item of an asset wins, and what the asset's own entry says wins over it."""
    items = {entry.identity: entry.ordinal for entry in links if entry.is_cover}
    for (_, cover, parent), ordinal in items.items():
        found.covers[parent] = (cover, ordinal)
    for entry in links:
        if not entry.is_cover and entry.cover_hash:
            item = items.get(("cover", entry.cover_hash, entry.asset_hash))
            found.covers[entry.asset_hash] = (entry.cover_hash, item)


def depth_problem(data: bytes) -> str | None:
    """Why a document is too deep for the database, if it is."""
    if data.count(b"[") + data.count(b"{") <= MAX_NESTING or nesting(data) <= MAX_NESTING:
        return None
    return f"nested deeper than {MAX_NESTING}"
