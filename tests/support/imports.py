"""Large imports by real daemons, and the owner's view of them."""

from typing import Any

from ingestd.config import DatabaseSettings
from ingestd.pipeline.queueing import QueueRequest, enqueue
from support.process import Process
from support.wait import until
from support.world import World, md5, owner_sql

BIG = 6000
"""more than are planned in one transaction"""
CHUNKS = {"chunk_items": 20, "poll_interval": 0.1, "stop_seconds": 10.0}
STOP_SECONDS = 10.0
AUTO = {"auto": ["create", "update"]}


class View:
    """The owner's look at a database."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self._settings = settings

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        return owner_sql(self._settings, statement, *values)

    def one(self, statement: str) -> Any:
        ((value,),) = self.sql(statement)
        return value

    def items_done(self) -> int:
        return int(self.one("SELECT COALESCE(SUM(items_done), 0) FROM import_job"))

    def events(self, kind: str) -> int:
        return int(self.one(f"SELECT COUNT(*) FROM ingest_event WHERE event_type = '{kind}'"))

    def jobs(self) -> list[tuple[Any, ...]]:
        return self.sql("SELECT state, items_done, items_total FROM import_job ORDER BY id")

    def statuses(self) -> list[str]:
        return [status for (status,) in self.sql("SELECT DISTINCT status FROM ingest_batch ORDER BY 1")]

    def demand_each_item_once(self, count: int) -> None:
        """Every item was created, has one event, and its asset exists."""
        recorded = self.sql(
            "SELECT event_type, JSON_VALUE(payload, '$.hash'), COUNT(*) FROM ingest_event"
            " WHERE event_type LIKE 'item\\_%%' AND %s GROUP BY 1, 2",
            1,
        )
        assert {(kind, times) for kind, _, times in recorded} == {("item_created", 1)}
        assert len(recorded) == count
        assert self.sql("SELECT decision, COUNT(*) FROM ingest_batch_item GROUP BY 1") == [("created", count)]
        assert self.one("SELECT COUNT(*) FROM asset") == count


def lean(prefix: str, count: int) -> list[dict[str, Any]]:
    """Items without anything on the mount."""
    return [{"type": "photo", "hash": md5(f"{prefix}{number}")} for number in range(count)]


def view_of(world: World) -> View:
    return View(world.server.owner_settings())


def put_big(world: World) -> str:
    """A big bundle, in the queue."""
    sync_id = world.put(*lean("big", BIG))
    context = world.context()
    world.scan(context)
    enqueue(context, QueueRequest(sync_id, "tester"))
    return sync_id


def in_the_middle(view: View, process: Process, limit: int = BIG) -> None:
    until(lambda: process.has_ended() or view.items_done() > 0, what=lambda: f"for the first items; log: {process.log}")
    assert view.items_done() < limit / 2, "the signal comes in the middle"


def wait_for_end(view: View, process: Process, count: int) -> None:
    until(
        lambda: process.has_ended() or view.statuses() == ["imported"],
        seconds=60,
        what=lambda: f"for the import to end; jobs: {view.jobs()}; log: {process.log}",
    )
    assert view.statuses() == ["imported"], process.log
    assert {state for state, *_ in view.jobs()} == {"done"}
    view.demand_each_item_once(count)
