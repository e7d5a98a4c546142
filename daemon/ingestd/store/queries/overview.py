"""The state of the queue at a glance, as `ingestd status` and the HTTP interface show it."""

from dataclasses import dataclass, field

from ingestd.records import Control, Job, StuckBundle, as_dict
from ingestd.store import control, mount
from ingestd.store.db import Tx
from ingestd.store.mount import BrokenListing, KnownMount
from ingestd.store.queries import batches, jobs, stuck


@dataclass(frozen=True, slots=True)
class Overview(Control):
    """The state of the queue on all hosts."""

    jobs: dict[str, int] = field(metadata={"description": "Active jobs by state."})
    batches: dict[str, int] = field(metadata={"description": "Batches by status, without imported ones."})
    active_jobs: list[Job] = field(metadata={"description": "Running, queued and waiting jobs, in this order; 200."})
    refused_mounts: list[KnownMount] = field(metadata={"description": "File systems that hosts do not read from."})
    broken_listings: list[BrokenListing] = field(
        metadata={"description": "Hand-over folders that hosts cannot list to their end: bundles there may be missed."}
    )
    stuck_bundles: list[StuckBundle] = field(
        metadata={"description": "The oldest 100 bundles that cannot be read or recorded."}
    )


def overview(tx: Tx) -> Overview:
    return Overview(
        **as_dict(control.find(tx)),
        jobs=jobs.counts(tx),
        batches=batches.counts(tx),
        active_jobs=jobs.active(tx),
        refused_mounts=mount.refused(tx),
        broken_listings=mount.broken_listings(tx),
        stuck_bundles=stuck.oldest(tx),
    )
