"""Everything that can go wrong, one small class per cause, each carrying a sentence for a person."""

from collections.abc import Mapping


class IngestdError(Exception):
    """Root of all errors of this package; `exit_status` is what a command ends with."""

    exit_status = 1


class ConfigError(IngestdError):
    """The configuration is wrong; the message names every wrong key."""

    exit_status = 78


class CannotListen(IngestdError):
    """An address that the configuration asks for cannot be listened on."""


class Rejected(IngestdError):
    """A request for something that does not exist or is not possible now."""

    exit_status = 3


class Unavailable(IngestdError):
    """A system that ingestd depends on does not answer. Temporary; not caused by an item or a job."""

    exit_status = 69


class NotFound(Rejected):
    """No such batch or job."""


def no_batch(sync_id: str) -> NotFound:
    """The error for a bundle that is not recorded, with what a person can do."""
    return NotFound(f"there is no batch {sync_id}; `ingestd scan` records what is on the mount, and names what waits")


class NotEligible(Rejected):
    """The batch or job exists, but its present state does not allow the request."""


class ManifestError(Rejected):
    """The envelope of a manifest is unusable; `problems` lists all that is wrong with it.

    `basis` is what the verdict rests on. Only `bytes` holds as long as the manifest is the same.
    """

    basis = "bytes"

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class ManifestOverLimit(ManifestError):
    """The manifest exceeds a limit of the configuration, which may be raised."""

    basis = "setting"


class ManifestFromFuture(ManifestError):
    """The manifest's time is ahead of the database's clock by more than mount.max_future; time passes."""

    basis = "time"


class ManifestUnsettled(ManifestError):
    """The manifest is missing or half-written: worth another look until mount.settle_seconds have passed."""

    basis = "absence"


class ManifestUnreadable(ManifestUnsettled):
    """The files of a bundle exist, but cannot be read at present; rights that are given back cause no file event."""


class BatchIsRunning(IngestdError):
    """Another manifest was delivered for a batch whose job is running; it counts when that has ended."""


class ManifestIsLong(IngestdError):
    """A manifest has more bytes than the caller wants to read now."""

    def __init__(self, size: int) -> None:
        super().__init__(f"the manifest has {size} bytes")
        self.size = size


class ScanIncomplete(IngestdError):
    """A scan ended before some manifests were read, because they take long; all others were."""


class ManifestTakesLong(IngestdError):
    """Reading a manifest goes on, but takes longer than the caller can wait."""


class BundleError(IngestdError):
    """A bundle cannot be made from that folder, or not there, or a manifest file cannot be read."""


class SentinelMissing(ManifestUnsettled):
    """There is no sentinel, so nothing is handed over (yet, or any more)."""


class PriorFirst(IngestdError):
    """The manifest that a run read follows a batch that is to be imported first."""


class RemovalRefused(Rejected):
    """The batch would remove more than queue.removal_limit allows without force. `counts` are the rows by kind."""

    def __init__(self, message: str, counts: Mapping[str, int]) -> None:
        super().__init__(message)
        self.counts = counts


class MountUnavailable(Unavailable):
    """The mount is absent, was replaced, or does not answer. Says nothing about any file."""


class MountGone(MountUnavailable):
    """The root of the mount could not be opened, though it may be there again by now."""


class MountSilent(MountUnavailable):
    """No sign of life in time, from the mount as a whole or from one file."""


class ListingEndless(IngestdError):
    """The listing of the hand-over folder does not end. What it names exists; what it does not name may exist, too."""


class StillSilent(MountSilent):
    """A read that was silent before still hangs in the kernel, so that trying again would be of no use."""


class ReadsHang(MountUnavailable):
    """So many reads hang in the kernel that no more are begun: the mount has to be mounted again."""


class BundleHangs(MountUnavailable):
    """So many reads of one bundle hang in the kernel that no more of its items are read."""


class HelperFailed(MountUnavailable):
    """A mount helper ended or broke the protocol, perhaps because of what it was reading."""


class Shortage(MountUnavailable):
    """This process or its machine lacks descriptors, threads or the like at the moment, as `ingestd.shortage` says."""


class OtherRelease(MountUnavailable):
    """Another release was installed while this daemon runs, and its helpers may speak another protocol."""


class MountReplaced(MountUnavailable):
    """Another file system is mounted than the one that a bundle was recorded on: what is missing says nothing."""


class DatabaseUnavailable(Unavailable):
    """The database cannot do it at the moment, for whatever reason. Temporary; not caused by an item or a job."""


class DatabaseOutOfReach(DatabaseUnavailable):
    """There is no connection to the database, or it was lost."""


class DatabaseContention(DatabaseUnavailable):
    """Another transaction is in the way (deadlock, lock wait), and the same will work once it has ended."""

    def __init__(self, message: str, *, is_duplicate: bool = False) -> None:
        super().__init__(message)
        self.is_duplicate = is_duplicate
        """another writer inserted the same key first, unless the key is one that no retry makes free"""


class DatabaseRefused(DatabaseUnavailable):
    """The configuration of the database does not allow it: account, rights, schema, settings. A person has to act.

    The daemon waits for that as for an outage; a command ends with it.
    """

    exit_status = 78


class DaemonUnavailable(Unavailable):
    """A daemon elsewhere does not answer, or is cut off from its own database or mount: worth another try."""


class DaemonBusy(DaemonUnavailable):
    """A daemon elsewhere answers that it cannot do it at present; `retry_after` seconds later it may, None: unknown."""

    def __init__(self, message: str, retry_after: float | None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class OutputFailed(IngestdError):
    """Standard output cannot be written: what a command did is done, but not shown."""


class DaemonRefused(IngestdError):
    """A daemon elsewhere refuses for good what is asked of it, or fails at it."""


class NoDaemon(IngestdError):
    """The server at an address is not ingestd, or has an incompatible version."""


class DataRefused(IngestdError):
    """The server refuses the values of a statement: the fault of an item, not of the database."""


class DataSuspected(DataRefused):
    """Something fails each time with the same values, which are perhaps not the cause: others have to pass first."""


class LeaseLost(IngestdError):
    """The job was taken from this worker; it may write nothing more for it."""


class NotSettled(IngestdError):
    """What a run needs cannot be read at present; its job is set aside for a while. `cause` names that for programs.

    `sync_id`: the bundle whose manifest it is; empty for anything else.
    """

    def __init__(self, cause: str, problem: str, sync_id: str = "") -> None:
        super().__init__(problem)
        self.cause, self.sync_id = cause, sync_id


class Stopping(IngestdError):
    """The daemon was asked to stop."""


def unforeseen(error: Exception) -> str:
    """Describes an error that has no class here: its type, and the place in ingestd from which it came."""
    place, trace = "", error.__traceback__
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__"))
        place = f" ({module}:{trace.tb_lineno})" if module.startswith("ingestd.") else place
        trace = trace.tb_next
    return f"internal error: {type(error).__name__}: {error}{place}"
