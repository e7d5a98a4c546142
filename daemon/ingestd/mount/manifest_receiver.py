"""The daemon's side of reading a manifest: puts the replies of a helper together."""

from ingestd.errors import (
    ManifestError,
    ManifestIsLong,
    ManifestOverLimit,
    ManifestUnreadable,
    ManifestUnsettled,
    MountUnavailable,
    SentinelMissing,
)
from ingestd.format.manifest import ManifestBuilder
from ingestd.format.manifest_index import ManifestIndex
from ingestd.format.records import Block, Envelope
from ingestd.mount import wire
from ingestd.mount.records import ManifestReading
from ingestd.mount.spool import Spool

ERRORS = {error.basis: error for error in (ManifestError, ManifestOverLimit, ManifestUnsettled)}


class ManifestReceiver:
    """Takes the replies for one manifest until it `is_complete`."""

    def __init__(self) -> None:
        self.is_complete = False
        self._head: wire.ManifestHead | None = None
        self._builder = ManifestBuilder(Spool().keep)
        self._problem: ManifestError | None = None
        self._long: int | None = None

    def add(self, reply: wire.Reply) -> None:
        """Raises MountUnavailable for a reply that is not about a manifest."""
        match reply:
            case wire.ManifestHead():
                self._head = reply
                self.is_complete = reply.is_unchanged
            case Envelope() | Block() | ManifestIndex():
                self._builder.add(reply)
                self.is_complete = self._builder.is_complete
            case wire.ManifestIsLong(size):
                self._long, self.is_complete = size, True
            case wire.ManifestProblems():
                self._end(ERRORS[reply.basis](reply.problems))
            case wire.Failure(problem, no_sentinel=True):
                self._end(SentinelMissing([problem]))
            case wire.Failure(problem, is_unreadable=is_unreadable):
                kind = ManifestUnreadable if is_unreadable else ManifestUnsettled
                self._end(kind([f"the manifest cannot be read: {problem}"]))
            case _:
                raise MountUnavailable(f"a mount helper sent an unexpected {type(reply).__name__}")

    def _end(self, problem: ManifestError) -> None:
        self._problem, self.is_complete = problem, True

    def reading(self) -> ManifestReading:
        """What was read. Raises ManifestIsLong, SentinelMissing, ManifestUnsettled."""
        if self._long is not None:
            raise ManifestIsLong(self._long)
        if isinstance(self._problem, ManifestUnsettled):
            raise self._problem
        if self._head is None:
            return ManifestReading(problem=self._problem)
        is_parsed = self._builder.is_complete
        manifest = self._builder.build(self._head.sha256) if is_parsed else None
        return ManifestReading(self._head.sha256, self._head.size, manifest, self._problem, self._head.mount_id)
