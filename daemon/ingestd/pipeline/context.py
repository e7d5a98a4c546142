"""What every stage works with."""

from dataclasses import dataclass, field

from ingestd.bundle.mount import Mount
from ingestd.config import Settings
from ingestd.pipeline.counters import Counters
from ingestd.store.db import Database


@dataclass(frozen=True, slots=True)
class Context:
    """The database, the mount and the settings of one process, and what it counts."""

    settings: Settings
    db: Database
    mount: Mount
    counters: Counters = field(default_factory=Counters)
