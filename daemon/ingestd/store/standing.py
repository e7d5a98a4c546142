"""How a batch stands when its import begins; read at once, while its row is locked."""

from dataclasses import dataclass
from datetime import datetime

from ingestd.model import Version
from ingestd.store.db import Tx
from ingestd.store.sql import Queries
from ingestd.store.versions import generations

_sql = Queries("version")


@dataclass(frozen=True, slots=True)
class Standing:
    """The version of a consumable batch, the revision of the order of its time, and both at its last import.

    `imported` is (completed_at, generation, revision); its generation is None before the first import. `now` is the
    time of the database. `has_rows`: items, containers or removals are recorded of it.
    """

    version: Version
    revision: int
    imported: tuple[datetime | None, int | None, int | None]
    now: datetime
    has_rows: bool

    @property
    def has_moved(self) -> bool:
        """Whether the version, or the revision, was another one when its last import began."""
        before, version = self.imported, self.version
        return before[1] is not None and before != (version.completed_at, version.generation, self.revision)


def standing(tx: Tx, batch_id: int) -> Standing:
    # The revision is older than the generation that is counted next: so a change between both is not missed.
    at, sync_id, has_prior, revision, *imported, now, has_rows = _sql.standing(tx.connection, batch_id=batch_id)
    following = generations(tx, [sync_id]) if has_prior else {}
    version = Version(at, sync_id, following.get(sync_id, 0))
    imported_at, generation, imported_revision = imported
    return Standing(version, revision, (imported_at, generation, imported_revision), now, bool(has_rows))
