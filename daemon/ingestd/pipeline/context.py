"""What every stage uses: database, mount, settings and instruments."""

from dataclasses import dataclass, field

from ingestd.config import Settings
from ingestd.mount.access import Mount
from ingestd.pipeline.instruments import Instruments
from ingestd.pipeline.source_gate import SourceGate
from ingestd.store.db import Database


@dataclass(frozen=True, slots=True)
class Context:
    """The database, mount, settings and instruments of one process; the gate takes part in each check of the mount."""

    settings: Settings
    db: Database
    mount: Mount
    instruments: Instruments = field(default_factory=Instruments)
    gate: SourceGate = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "gate", SourceGate(self.settings.mount, self.db, self.mount))
        self.mount.approve = self.gate.approve
