"""What every stage uses: database, mount, settings and instruments."""

from dataclasses import dataclass, field

from ingestd.config import Settings
from ingestd.mount.access import Mount
from ingestd.pipeline.instruments import Instruments
from ingestd.store.db import Database


@dataclass(frozen=True, slots=True)
class Context:
    """The database, mount, settings and instruments of one process."""

    settings: Settings
    db: Database
    mount: Mount
    instruments: Instruments = field(default_factory=Instruments)
