"""A world whose database is reached through a proxy that injects faults, with pauses of a few milliseconds."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ingestd.config import Settings
from ingestd.pipeline.context import Context
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.store import attempts, cuts
from support.mariadb_proxy import MariaDBProxy, mariadb_proxy
from support.world import World


@dataclass
class ProxiedWorld(World):
    """Contexts of this world connect through `proxy`; `sql` and what tests look at does not."""

    proxy: MariaDBProxy = field(kw_only=True)

    def settings(self, **overrides: dict[str, Any]) -> Settings:
        settings = super().settings(**overrides)
        database = settings.database.model_copy(update={"unix_socket": str(self.proxy.path)})
        return settings.model_copy(update={"database": database})

    def queued(self, context: Context, *items: Any, **envelope: Any) -> str:
        """A bundle that was delivered, recorded and queued without faults; returns its sync_id."""
        faults, self.proxy.faults = self.proxy.faults, []
        sync_id = self.put(*items, **envelope)
        self.scan(context)
        enqueue(context, QueueRequest(sync_id, "tester"))
        self.proxy.faults = faults
        return sync_id


@contextmanager
def proxied(world: World, folder: Path) -> Iterator[ProxiedWorld]:
    with pytest.MonkeyPatch.context() as patch, mariadb_proxy(world.server.socket, folder / "p.sock") as proxy:
        patch.setattr(attempts, "MAX_PAUSE", 0.005)
        patch.setattr(cuts, "QUIET_SECONDS", 0.01)
        made = ProxiedWorld(world.server, world.root, proxy=proxy)
        yield made
        made.close()
