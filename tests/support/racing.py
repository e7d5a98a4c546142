"""Jobs that race each other."""

from collections.abc import Callable
from typing import Any, TypeVar

from ingestd.model import Lease
from ingestd.pipeline import queueing
from ingestd.pipeline.claims import claim
from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.importer.run import Run
from ingestd.pipeline.queueing import QueueRequest, enqueue
from support.wait import stop_event

T = TypeVar("T")
INSTANCE = str(this_instance())
LONG_AGO = "UPDATE import_job SET heartbeat_at = UTC_TIMESTAMP(6) - INTERVAL 1 HOUR WHERE state = 'running'"
Race = Callable[..., list[Any]]


def take(context: Context, slot: int = 0) -> Lease:
    lease = claim(context, f"test/pid:1/{slot}", INSTANCE)
    assert lease is not None
    return lease


def runner(context: Context, lease: Lease) -> Callable[[], str]:
    return lambda: Run(context, lease, stop_event()).execute()


def ask(context: Context, sync_id: str, **more: Any) -> queueing.Queued:
    return enqueue(context, QueueRequest(sync_id, "tester", **more))
