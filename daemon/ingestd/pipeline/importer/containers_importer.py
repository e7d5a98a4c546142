"""Imports the galleries and collections of one run, many in a transaction; one that cannot be imported fails alone."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from ingestd.format.container import Container
from ingestd.model import Lease, Verdict
from ingestd.pipeline.evaluate import Bundle
from ingestd.pipeline.importer import container_writer, suspects
from ingestd.pipeline.importer.container_writer import ListedContainer, Outcome
from ingestd.pipeline.importer.fence import Fence
from ingestd.pipeline.importer.suspects import Suspect, Suspects
from ingestd.pipeline.instruments import Instruments
from ingestd.pipeline.removals import RemovalCount
from ingestd.store import batch_container

MAX_MEMBERS = 10_000
"""members of all containers that one transaction writes, if there are several"""
Batch = Sequence[ListedContainer]


@dataclass(frozen=True, slots=True)
class ContainersImporter:
    """Imports containers for one run, up to `size` together; counts what they take out of sight in `removed`."""

    lease: Lease
    fence: Fence
    bundle: Bundle
    removed: RemovalCount
    suspects: Suspects
    instruments: Instruments
    size: int

    def import_all(self, containers: Iterable[Container]) -> None:
        """Imports those that are undecided. Raises what `ItemsImporter` raises."""
        batch_id, scope = self.lease.batch_id, self.lease.scope
        rows = self.fence.read(lambda tx: batch_container.undecided(tx, batch_id, scope))
        listed = (ListedContainer(rows[c.identity], c) for c in containers if c.identity in rows) if rows else ()
        for batch in batches(listed, 1 if self.lease.isolate_items else self.size):
            self.fence.check()
            self._import(batch)
        self.suspects.end()

    def _import(self, batch: Batch) -> None:
        """Writes a batch; one that cannot be written is halved until the offending container stands alone."""
        try:
            self._write(batch)
        except Exception as error:
            if suspects.is_of_run(error):
                raise
            self._split(batch, error)
        else:
            self.suspects.passed()

    def _write(self, batch: Batch) -> None:
        self.fence.fenced(partial(container_writer.write, bundle=self.bundle, listed=batch, removed=self.removed))

    def _split(self, batch: Batch, error: Exception) -> None:
        if len(batch) == 1:
            self._fail_or_wait(batch[0], error)
            return
        middle = len(batch) // 2
        for half in (batch[:middle], batch[middle:]):
            self.fence.check()
            self._import(half)

    def _fail_or_wait(self, listed: ListedContainer, error: Exception) -> None:
        suspect = Suspect(partial(self._write, [listed]), partial(self._fail, listed))
        if suspects.is_certain(error):
            suspects.fail(suspect, error)
        else:
            self.suspects.add(suspect, error)

    def _fail(self, listed: ListedContainer, verdict: Verdict) -> None:
        outcomes = [(listed, Outcome(verdict))]
        self.fence.fenced(partial(container_writer.record, batch_id=self.lease.batch_id, outcomes=outcomes))
        self.instruments.item_failures.labels(verdict.reason).inc()


def batches(listed: Iterable[ListedContainer], size: int) -> Iterator[Batch]:
    """Containers in lists of bounded length, which have a bounded number of members or a single container."""
    batch: list[ListedContainer] = []
    members = 0
    for one in listed:
        if batch and (len(batch) >= size or members + len(one.container.members) > MAX_MEMBERS):
            yield batch
            batch, members = [], 0
        batch.append(one)
        members += len(one.container.members)
    if batch:
        yield batch
