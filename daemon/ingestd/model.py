"""Enums for every state, and frozen records for every row that the stages exchange."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Action(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    REMOVE = "remove"


class BatchStatus(StrEnum):
    NEW = "new"
    INVALID = "invalid"
    READY = "ready"
    HELD = "held"
    QUEUED = "queued"
    IMPORTING = "importing"
    IMPORTED = "imported"
    PARTIAL = "partial"
    FAILED = "failed"


class JobState(StrEnum):
    """Where a job stands; waiting, queued and running jobs are active."""

    WAITING = "waiting"
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


ACTIVE_STATES = frozenset({JobState.WAITING, JobState.QUEUED, JobState.RUNNING})


class Scope(StrEnum):
    """Which items of its batch a job imports."""

    ALL = "all"
    FAILED = "failed"
    DEFERRED = "deferred"
    REVIVAL = "revival"
    REIMPORT = "reimport"

    @property
    def takes_everything(self) -> bool:
        """Whether nothing of the manifest is left for another job."""
        return self in (Scope.ALL, Scope.REIMPORT)

    @property
    def leaves_out_some(self) -> bool:
        """Whether a person asks for some items only."""
        return self in (Scope.FAILED, Scope.DEFERRED)

    def covers(self, other: "Scope") -> bool:
        """Whether a job of this scope imports everything that a job of another scope would."""
        return other is self or self is Scope.REIMPORT or (self is Scope.ALL and other is not Scope.REIMPORT)


DAEMON = "ingestd"
"""requested_by of the jobs that a sweep queues"""


def as_recorded(sync_id: str) -> str:
    """A sync_id, whole or shortened, in the lower case that bundles are named in; people may give it in upper case."""
    return sync_id.lower() if sync_id.isascii() else sync_id


class RequestKind(StrEnum):
    SCAN = "scan"
    PREFLIGHT = "preflight"


class RequestState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Decision(StrEnum):
    PENDING = "pending"
    WILL_CREATE = "will_create"
    WILL_UPDATE = "will_update"
    WILL_LINK = "will_link"
    WILL_REMOVE = "will_remove"
    WILL_SKIP = "will_skip"
    WILL_DEFER = "will_defer"
    WILL_FAIL = "will_fail"
    CREATED = "created"
    UPDATED = "updated"
    LINKED = "linked"
    REMOVED = "removed"
    SKIPPED = "skipped"
    DEFERRED = "deferred"
    FAILED = "failed"
    IGNORED = "ignored"


SUCCEEDED = (Decision.CREATED, Decision.UPDATED, Decision.LINKED, Decision.REMOVED, Decision.SKIPPED)
"""Final decisions: a re-run leaves such items alone while their entry is unchanged."""

DECIDED = (*SUCCEEDED, Decision.DEFERRED, Decision.FAILED)
"""Decisions that an import can make; also the keys of every tally."""


class InvalidBasis(StrEnum):
    """What the verdict that a bundle is invalid rests on. Only `bytes` holds as long as its manifest is the same."""

    BYTES = "bytes"
    SETTING = "setting"
    TIME = "time"
    ABSENCE = "absence"


FORECAST = {
    Decision.CREATED: Decision.WILL_CREATE,
    Decision.UPDATED: Decision.WILL_UPDATE,
    Decision.LINKED: Decision.WILL_LINK,
    Decision.REMOVED: Decision.WILL_REMOVE,
    Decision.SKIPPED: Decision.WILL_SKIP,
    Decision.DEFERRED: Decision.WILL_DEFER,
    Decision.FAILED: Decision.WILL_FAIL,
}
"""The forecast, made by a pre-flight, of each decision of an import."""


class Reason(StrEnum):
    """Why an item was skipped, deferred or failed. The set is fixed, so that metrics can count by it."""

    UNCHANGED = "unchanged"
    SUPERSEDED = "superseded"
    TOMBSTONED = "tombstoned"
    OUTRANKED = "outranked"
    ABSENT = "absent"
    PARENT_MISSING = "parent_missing"
    MEMBERS_MISSING = "members_missing"
    BAD_ENTRY = "bad_entry"
    DUPLICATE_ITEM = "duplicate_item"
    TYPE_CONFLICT = "type_conflict"
    PATH_OUTSIDE_ROOT = "path_outside_root"
    FILE_MISSING = "file_missing"
    FILE_SIZE_MISMATCH = "file_size_mismatch"
    FILE_HASH_MISMATCH = "file_hash_mismatch"
    FILE_UNREADABLE = "file_unreadable"
    DOCUMENT_TOO_LARGE = "document_too_large"
    DOCUMENT_TOO_DEEP = "document_too_deep"
    TOO_MANY_DOCUMENTS = "too_many_documents"
    DATABASE_REFUSED = "database_refused"
    POISON = "poison"
    INTERNAL_ERROR = "internal_error"


FAILURES = (
    Reason.BAD_ENTRY,
    Reason.DUPLICATE_ITEM,
    Reason.TYPE_CONFLICT,
    Reason.PATH_OUTSIDE_ROOT,
    Reason.FILE_MISSING,
    Reason.FILE_SIZE_MISMATCH,
    Reason.FILE_HASH_MISMATCH,
    Reason.FILE_UNREADABLE,
    Reason.DOCUMENT_TOO_LARGE,
    Reason.DOCUMENT_TOO_DEEP,
    Reason.TOO_MANY_DOCUMENTS,
    Reason.DATABASE_REFUSED,
    Reason.POISON,
    Reason.INTERNAL_ERROR,
)
"""The reasons why an item can fail."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What is mounted, in words that stay the same when the same is mounted again, in contrast to device numbers.

    `source` is a device, an export or a bucket, with the folder of a bind mount in brackets. `fs_id` is the file
    system's own id, where it keeps one: then a device may get another name, and another device its name.
    """

    fs_type: str
    source: str
    fs_id: str = ""

    def __str__(self) -> str:
        return f"{self.fs_type} {self.source}"

    def is_same(self, other: "Origin") -> bool:
        if self.fs_id and other.fs_id:
            return (self.fs_type, self.fs_id) == (other.fs_type, other.fs_id)
        return (self.fs_type, self.source) == (other.fs_type, other.source)


MAX_GENERATION = 1000
"""Bundles that follow more of their time, and those of a circle, are ordered by sync_id."""


@dataclass(frozen=True, slots=True)
class Version:
    """The bundle that wrote a row, and its age. Times are naive UTC.

    `generation` is how many bundles of the same time it follows, each naming the next as its prior.
    """

    completed_at: datetime
    sync_id: str
    generation: int = 0


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a worker sends heartbeats, and after how long a silence its work is given to another; in seconds."""

    heartbeat: float
    stale: float

    def microseconds(self) -> dict[str, int]:
        return {"heartbeat_us": int(self.heartbeat * 1e6), "stale_us": int(self.stale * 1e6)}


@dataclass(slots=True)
class Lease:
    """A job that a worker has claimed. `writes` counts its fenced transactions.

    `waited` is the time in the queue in seconds; `claimed_at` and `progress_at` are monotonic. `recorded_sha256` is the
    digest of the manifest with which its batch was recorded when it was claimed. `has_promoted`: its end has queued
    jobs that waited for it.
    """

    job_id: int
    batch_id: int
    token: int
    worker_id: str
    scope: Scope
    isolate_items: bool = False
    writes: int = 0
    items_done: int = 0
    items_total: int = 0
    waited: float = 0.0
    claimed_at: float = 0.0
    progress_at: float = 0.0
    sync_id: str = ""
    recorded_sha256: str | None = None
    has_promoted: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """One decision, its reason and its consequences."""

    decision: Decision
    reason: Reason | None = None
    error: str | None = None
    waiting_for: str | None = None
    advances: bool = False
    """a skip that nevertheless makes this bundle the last writer of the row"""


OPEN = tuple(
    decision.value
    for decision in Decision
    if decision.value.startswith("will_") or decision in (Decision.PENDING, Decision.DEFERRED, Decision.FAILED)
)
TAKEN_BY = {
    Scope.ALL: OPEN,
    Scope.REIMPORT: OPEN,
    Scope.FAILED: (Decision.FAILED.value,),
    Scope.DEFERRED: (Decision.DEFERRED.value,),
    Scope.REVIVAL: (Decision.DEFERRED.value,),
}
"""The decisions of the items that a job of each scope takes up."""


def numbers_of(verdicts: Iterable[Verdict]) -> Iterator[tuple[Verdict, int]]:
    """Verdicts with how many there are of each. Equal ones may come several times; most are the same object."""
    given = list(verdicts)
    objects = {id(verdict): verdict for verdict in given}
    return ((objects[number], count) for number, count in Counter(map(id, given)).items())
