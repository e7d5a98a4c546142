"""What every stage uses: database, mount, settings, instruments, and what passed lately."""

from dataclasses import dataclass, field

from ingestd.config import Settings
from ingestd.mount.access import Mount
from ingestd.pipeline.ahead import Ahead
from ingestd.pipeline.instruments import Instruments
from ingestd.pipeline.passes import Passes
from ingestd.pipeline.source_gate import SourceGate
from ingestd.pipeline.unsettled import Unsettled
from ingestd.service import tick
from ingestd.store.connection import limits_for
from ingestd.store.db import Database


@dataclass(frozen=True, slots=True)
class Context:
    """What the stages of one process share; the gate takes part in each check of the mount."""

    settings: Settings
    db: Database
    mount: Mount
    instruments: Instruments = field(default_factory=Instruments)
    passes: Passes = field(default_factory=Passes)
    unsettled: Unsettled = field(default_factory=Unsettled)
    ahead: Ahead = field(default_factory=Ahead)
    gate: SourceGate = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "gate", SourceGate(self.settings.mount, self.db, self.mount))
        self.mount.approve = self.gate.approve


def make_context(settings: Settings) -> Context:
    """The context that all stages of one process share."""
    db = Database(settings.database, limits_for(settings.worker.stale_after), loads=True)
    db.on_failure = tick
    return Context(settings, db, Mount(settings.mount))
