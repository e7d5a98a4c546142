"""Puts back what threads hold that do not end in time when the daemon stops."""

from collections.abc import Sequence
from functools import partial

import structlog

from ingestd.errors import IngestdError, LeaseLost
from ingestd.model import Lease
from ingestd.pipeline.context import Context
from ingestd.pipeline.importer import completion
from ingestd.store import request
from ingestd.store.connection import Limits
from ingestd.store.db import Database
from ingestd.store.queries import server
from ingestd.store.request import Claim

log = structlog.get_logger()

LIMITS = Limits(statement=1.0, lock=1)


def put_back(context: Context, leases: Sequence[Lease], claims: Sequence[Claim]) -> None:
    """Ends what all other threads do in the database, and puts their jobs and requests back into the queue.

    Takes as long as the database does, so it runs in a thread of its own.
    """
    db = context.db
    numbers = db.interrupt(LIMITS)
    try:
        _kill(db, numbers)
        for lease in leases:
            _release(db, lease)
        for claim in claims:
            db.transaction(partial(request.release, claim=claim))
    except IngestdError as error:
        # Their jobs stay claimed by a process that is dead soon, which the next daemon here recognises.
        log.warning("release_failed", error=str(error), jobs=[lease.job_id for lease in leases])
    finally:
        db.close()


def _kill(db: Database, numbers: Sequence[int]) -> None:
    """Ends statements that the server is still running, and frees their locks."""
    for number in db.read(partial(server.running, numbers=numbers)):
        try:
            db.read(partial(server.kill, number=number))
        except IngestdError as error:
            log.debug("kill_failed", connection=number, error=str(error))


def _release(db: Database, lease: Lease) -> None:
    """The fence keeps the thread of the lease from writing afterwards."""
    try:
        db.transaction(partial(completion.release, lease=lease, reason="stopping"))
    except LeaseLost:
        return
    log.warning("job_released", reason="stopping", job_id=lease.job_id, worker=lease.worker_id)
