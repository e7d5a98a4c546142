"""Records of what is read below the mount root, for those who use it without the transport that carries it."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from ingestd.errors import ManifestError
from ingestd.format.entry import File
from ingestd.format.manifest import Manifest
from ingestd.model import Reason

SYNC_ID_LENGTH = 36
SOURCE = "source"
"""Kind of an item's provenance document, source/source.json."""


class ItemRequest(msgspec.Struct, gc=False):
    """One item to read: its folder, relative to the root, and the files to verify; documents only if requested."""

    ordinal: int
    path: str
    files: tuple[File, ...]
    with_documents: bool = True


def split_ids(joined: bytes) -> list[str]:
    """sync_ids that follow one another without anything in between."""
    text = joined.decode("ascii")
    return [text[at : at + SYNC_ID_LENGTH] for at in range(0, len(text), SYNC_ID_LENGTH)]


@dataclass(slots=True)
class Listing:
    """The bundles handed over: `parts` are the sync_ids with a sentinel, as they were listed; `manifests` were awaited.

    `invalid_names`: some of the `invalid_count` names that look like sentinels, and are not. `is_unchanged`: nothing
    was listed, because the folder is as it was at another listing; `stamp` identifies that, if it is not empty.
    `are_files`: all that was listed are regular files.
    """

    parts: list[bytes] = field(default_factory=list)
    manifests: set[str] = field(default_factory=set)
    invalid_names: set[str] = field(default_factory=set)
    invalid_count: int = 0
    stamp: str = field(default="", compare=False)
    is_unchanged: bool = False
    are_files: bool = field(default=True, compare=False)
    _sync_ids: set[str] = field(default_factory=set, compare=False)
    _split: int = field(default=0, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, compare=False)

    @property
    def sync_ids(self) -> set[str]:
        """The sync_ids of `parts`, split when they are first asked for; by any thread."""
        with self._lock:
            while self._split < len(self.parts):
                self._sync_ids.update(split_ids(self.parts[self._split]))
                self._split += 1
        return self._sync_ids

    @property
    def ignored(self) -> list[str]:
        """Those of `invalid_names` that may be waited for: there is no right name for the same bundle beside them."""
        return sorted(name for name in self.invalid_names if name[:SYNC_ID_LENGTH].lower() not in self.sync_ids)


@dataclass(frozen=True, slots=True)
class ManifestReading:
    """What was read of a manifest: its digest and size, and the checked manifest or the problem.

    With the digest that was known it has neither. `sha256` None: it was not read to its end. `mount_id`: of the mount
    that it is on, 0 if that is unknown.
    """

    sha256: str | None = None
    size: int = 0
    manifest: Manifest | None = None
    problem: ManifestError | None = None
    mount_id: int = 0


class Document(msgspec.Struct, gc=False):
    """One document as the library stores it. `kind` is an analysis kind, or SOURCE; `text` is JSON in UTF-8."""

    kind: str
    sha256: str
    content: bytes

    @property
    def text(self) -> bytes:
        return self.content

    @property
    def size(self) -> int:
        """Bytes of its text."""
        return len(self.content)


class SpooledDocument(Document, gc=False):
    """A document that is kept in a file: `text` reads it again each time. It never travels."""

    length: int
    read: Callable[[], bytes]

    @property
    def text(self) -> bytes:
        return self.read()

    @property
    def size(self) -> int:
        return self.length


class Reading(msgspec.Struct, gc=False):
    """What was read of one item: its documents, or the problem met.

    `transient`: the problem may pass, so it does not count against the item yet. `absent`: a file or its folder does
    not exist, which on a remote file system may only mean that it is not visible yet. `unforeseen`: the helper failed,
    perhaps because of another item; it counts only if this item was read alone. `is_partial`: more documents follow.
    """

    ordinal: int
    documents: list[Document] = []
    reason: Reason | None = None
    problem: str | None = None
    transient: bool = False
    absent: bool = False
    unforeseen: bool = False
    is_partial: bool = False

    @property
    def size(self) -> int:
        """Bytes of its documents, as they are stored."""
        return sum(document.size for document in self.documents) if self.documents else 0
