"""Imports the galleries and collections of one run, each in a transaction of its own."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from ingestd.format.container import Container
from ingestd.model import Lease, Verdict
from ingestd.pipeline.evaluate import Bundle
from ingestd.pipeline.importer import container_writer, suspects
from ingestd.pipeline.importer.fence import Fence
from ingestd.pipeline.importer.suspects import Suspect, Suspects
from ingestd.pipeline.instruments import Instruments
from ingestd.pipeline.removals import RemovalCount
from ingestd.store import item
from ingestd.store.item import OpenContainer


@dataclass(frozen=True, slots=True)
class ContainersImporter:
    """Imports containers for one run; counts what they take out of sight in `removed`."""

    lease: Lease
    fence: Fence
    bundle: Bundle
    removed: RemovalCount
    suspects: Suspects
    instruments: Instruments

    def import_all(self, containers: Iterable[Container]) -> None:
        """Imports those that are undecided. Raises what `ItemsImporter` raises."""
        batch_id, scope = self.lease.batch_id, self.lease.scope
        rows = self.fence.read(lambda tx: item.undecided_containers(tx, batch_id, scope))
        for container in containers:
            row = rows.get(container.identity)
            if row is not None:
                self.fence.check()
                self._import(row, container)
        self.suspects.end()

    def _import(self, row: OpenContainer, container: Container) -> None:
        write = partial(
            container_writer.write,
            batch_id=self.lease.batch_id,
            row=row,
            bundle=self.bundle,
            container=container,
            removed=self.removed,
        )
        try:
            self.fence.fenced(write)
        except Exception as error:
            if suspects.is_of_run(error):
                raise
            suspect = Suspect(partial(self.fence.fenced, write), partial(self._fail, row.id, container))
            self._fail_or_wait(suspect, error)
        else:
            self.suspects.passed()

    def _fail_or_wait(self, suspect: Suspect, error: Exception) -> None:
        if suspects.is_certain(error):
            suspects.fail(suspect, error)
        else:
            self.suspects.add(suspect, error)

    def _fail(self, row_id: int, container: Container, verdict: Verdict) -> None:
        record = partial(container_writer.record, batch_id=self.lease.batch_id, row_id=row_id, container=container)
        self.fence.fenced(partial(record, outcome=container_writer.Outcome(verdict)))
        self.instruments.item_failures.labels(verdict.reason).inc()
