"""ingest_mount rows: what each host expects at its mount.root, and what it found there instead."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import NamedTuple

from ingestd.model import Origin
from ingestd.store.db import Tx
from ingestd.store.sql import Queries, RowReader

_sql = Queries("mount")


class Place(NamedTuple):
    """Where something is mounted."""

    host: str
    root: str


@dataclass(frozen=True, slots=True)
class KnownMount:
    """One row. `accepted_by` is None if the present origin was not accepted by an operator."""

    host: str
    root: str
    fs_type: str
    source: str
    fs_id: str
    since: datetime
    accepted_by: str | None
    refused_type: str | None
    refused_source: str | None
    refused_fs_id: str | None
    refused_reason: str | None
    refused_at: datetime | None

    @property
    def origin(self) -> Origin:
        """What is expected."""
        return Origin(self.fs_type, self.source, self.fs_id)

    @property
    def refused(self) -> Origin | None:
        """What was found instead."""
        if self.refused_type is None:
            return None
        return Origin(self.refused_type, self.refused_source or "", self.refused_fs_id or "")

    @property
    def sentence(self) -> str:
        """What is wrong, and what to do."""
        expected = f"{self.root} of {self.host} was {self.origin} and is now {self.refused}"
        missing = "which has none of the recorded bundles"
        if self.refused_reason == "replaced":
            missing = "which lacks what was recorded on the other"
        return f"{expected}, {missing}; mount the former again, or run `ingestd mount accept` there"


@dataclass(frozen=True, slots=True)
class BrokenListing:
    """A hand-over folder that a host cannot list to its end: since when, and why; `problem` also has what to do."""

    host: str
    root: str
    since: datetime
    problem: str


_mount = RowReader(KnownMount)
_broken_listing = RowReader(BrokenListing)


def find(tx: Tx, place: Place) -> KnownMount | None:
    return _mount.maybe(_sql.find(tx.connection, **place._asdict()))


def every(tx: Tx) -> list[KnownMount]:
    return _mount.all(_sql.all(tx.connection))


def refused(tx: Tx) -> list[KnownMount]:
    """The mounts, of any host, that are not read from."""
    return _mount.all(_sql.refused(tx.connection))


def expect(tx: Tx, place: Place, origin: Origin, accepted_by: str | None = None) -> None:
    """From now on `origin` is expected. `accepted_by`: the operator who accepts it."""
    _sql.expect(tx.connection, **place._asdict(), **asdict(origin), accepted_by=accepted_by)


def refuse(tx: Tx, place: Place, origin: Origin, reason: str) -> None:
    """Records that `origin` is there instead, and not read from."""
    _sql.refuse(tx.connection, **place._asdict(), **asdict(origin), reason=reason)


def end_refusal(tx: Tx, place: Place) -> None:
    _sql.end_refusal(tx.connection, **place._asdict())


def broken_listings(tx: Tx) -> list[BrokenListing]:
    """The hand-over folders, of any host, that are not listed to their end."""
    return _broken_listing.all(_sql.broken_listings(tx.connection))


def note_broken_listing(tx: Tx, place: Place, problem: str) -> None:
    """Records why a listing did not end; keeps the time of the first that did not."""
    _sql.note_broken_listing(tx.connection, **place._asdict(), problem=problem)


def end_broken_listing(tx: Tx, place: Place) -> None:
    _sql.end_broken_listing(tx.connection, **place._asdict())
