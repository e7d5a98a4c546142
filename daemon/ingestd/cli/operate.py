"""What operators do: scan, preflight, queue, cancel, pause, resume."""

from functools import partial
from typing import Any

import click

from ingestd.cli.output import json_option, print_facts, print_json, print_rows, shown
from ingestd.cli.session import Session
from ingestd.errors import IngestdError, NotFound
from ingestd.model import Scope
from ingestd.pipeline import preflight as planning
from ingestd.pipeline import queueing
from ingestd.pipeline.scanner import Scanner
from ingestd.store import stats


@click.command()
@json_option
@click.pass_obj
def scan(session: Session, as_json: bool) -> None:
    """One full scan; prints what is new or changed."""
    sync_ids = Scanner(session.context).scan()
    rows = [session.context.db.read(partial(stats.batch, sync_id=sync_id)) for sync_id in sync_ids]
    columns = ("sync_id", "type", "action", "status", "item_count", "last_error")
    print_rows([row for row in rows if row], columns, as_json=as_json)


@click.command()
@click.argument("sync_id")
@json_option
@click.pass_obj
def preflight(session: Session, sync_id: str, as_json: bool) -> None:
    """Validates and decides; writes nothing into the library; prints the plan."""
    plan = planning.preflight(session.context, sync_id)
    if as_json:
        print_json({"sync_id": sync_id, **plan})
        return
    facts: dict[str, Any] = {"sync_id": sync_id, "items": plan["item_count"], **plan["counts"]}
    print_facts(facts)
    for sample in plan["failure_samples"]:
        click.echo(f"will fail: {sample['type']} {sample['hash']}: {shown(sample['error'])}")


@click.command()
@click.argument("sync_ids", nargs=-1, required=True, metavar="SYNC_ID…")
@click.option("--priority", type=click.IntRange(-(2**31), 2**31 - 1), help="Lower numbers are taken first.")
@click.option("--force", is_flag=True, help="Allow removals beyond queue.removal_limit, for the manifest as it is now.")
@click.option("--only", type=click.Choice(["failed", "deferred"]), help="Take up only such items.")
@click.option("--reimport", is_flag=True, help="Take up every item again, whatever was decided before.")
@json_option
@click.pass_obj
def queue(
    session: Session,
    sync_ids: tuple[str, ...],
    priority: int | None,
    force: bool,
    only: str | None,
    reimport: bool,
    as_json: bool,
) -> int:
    """Queues batches for import; a new priority for a job not yet running re-prioritises it."""
    if only and reimport:
        raise click.UsageError("--only and --reimport exclude each other")
    scope = Scope.REIMPORT if reimport else Scope(only) if only else Scope.ALL
    results = [
        _queue_one(session, queueing.Request(sync_id, session.requested_by, priority, force, scope))
        for sync_id in sync_ids
    ]
    print_rows(results, ("sync_id", "job_id", "state", "priority", "error"), as_json=as_json)
    return max(int(result["exit_status"]) for result in results)


def _queue_one(session: Session, request: queueing.Request) -> dict[str, Any]:
    result: dict[str, Any] = {"sync_id": request.sync_id, "job_id": None, "state": None, "priority": None}
    result.update(is_new=False, error=None, exit_status=0)
    try:
        queued = queueing.queue_and_tell(session.context, request)
    except IngestdError as error:
        result.update(error=str(error), exit_status=error.exit_status)
    else:
        made = queued.job
        result.update(job_id=made.id, state=made.state, priority=made.priority, is_new=queued.is_new)
    return result


@click.command()
@click.argument("sync_id")
@json_option
@click.pass_obj
def cancel(session: Session, sync_id: str, as_json: bool) -> None:
    """Cancels the waiting or queued job of a batch."""
    cancelled = queueing.cancel(session.context, sync_id, session.requested_by)
    row = {"sync_id": sync_id, "job_id": cancelled.id, "state": cancelled.state}
    print_rows([row], tuple(row), as_json=as_json)


@click.command()
@click.option("--reason", help="Why; shown to everybody who looks.")
@click.pass_obj
def pause(session: Session, reason: str | None) -> None:
    """Stops claiming on every host."""
    changed = queueing.pause(session.context, session.requested_by, reason)
    click.echo("ingestd: paused" if changed else "ingestd: was paused already", err=True)


@click.command()
@click.pass_obj
def resume(session: Session) -> None:
    """Lets claiming go on."""
    changed = queueing.resume(session.context, session.requested_by)
    click.echo("ingestd: resumed" if changed else "ingestd: was not paused", err=True)


def known_batch(session: Session, sync_id: str) -> dict[str, Any]:
    """The batch row as commands show it. Raises NotFound."""
    row = session.context.db.read(lambda tx: stats.batch(tx, sync_id))
    if row is None:
        raise NotFound(f"there is no batch {sync_id}; `ingestd scan` records what is on the mount")
    return row


COMMANDS = (scan, preflight, queue, cancel, pause, resume)
