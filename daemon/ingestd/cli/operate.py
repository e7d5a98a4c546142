"""What operators do: scan, preflight, queue, cancel, pause, resume."""

from functools import partial
from typing import Any

import click

from ingestd.cli.output import json_option, print_facts, print_json, print_rows, shown, tell
from ingestd.cli.session import Session, as_sync_id, as_text
from ingestd.errors import ConfigError, DatabaseUnavailable, IngestdError, NotFound
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
    scanner = Scanner(session.context)
    sync_ids = scanner.scan()
    rows = [session.context.db.read(partial(stats.batch, sync_id=sync_id)) for sync_id in sync_ids]
    columns = ("sync_id", "type", "action", "status", "item_count", "last_error")
    print_rows([row for row in rows if row], columns, as_json=as_json, empty="nothing new")
    if scanner.unrecorded:
        tell(f"{scanner.unrecorded} bundles have no readable manifest yet; a later scan looks again")


@click.command()
@click.argument("sync_id", type=as_sync_id)
@json_option
@click.pass_obj
def preflight(session: Session, sync_id: str, as_json: bool) -> None:
    """Validates and decides; writes nothing into the library; prints the plan."""
    known_batch(session, sync_id)
    plan = planning.preflight(session.context, sync_id)
    if as_json:
        print_json({"sync_id": sync_id, **plan})
        return
    facts: dict[str, Any] = {"sync_id": sync_id, "items": plan["item_count"], **plan["counts"]}
    print_facts(facts)
    for sample in plan["failure_samples"]:
        click.echo(shown(f"will fail: {sample['type']} {sample['hash']}: {sample['error']}"))


@click.command()
@click.argument("sync_ids", nargs=-1, required=True, metavar="SYNC_ID…", type=as_sync_id)
@click.option("--priority", type=click.IntRange(-(2**31), 2**31 - 1), help="Lower numbers are taken first.")
@click.option("--force", is_flag=True, help="Allow removals beyond queue.removal_limit, for the manifest as it is now.")
@click.option("--only", type=click.Choice(["failed", "deferred"]), help="Take up only such items.")
@click.option("--reimport", is_flag=True, help="Take up every item again, whatever was decided before.")
@json_option
@click.pass_context
def queue(
    context: click.Context,
    sync_ids: tuple[str, ...],
    priority: int | None,
    force: bool,
    only: str | None,
    reimport: bool,
    as_json: bool,
) -> None:
    """Queues batches for import; a new priority for a job not yet running re-prioritises it."""
    if only and reimport:
        raise click.UsageError("--only and --reimport exclude each other")
    scope = Scope.REIMPORT if reimport else Scope(only) if only else Scope.ALL
    session: Session = context.obj
    by = session.requested_by
    requests = [queueing.Request(sync_id, by, priority, force, scope) for sync_id in sync_ids]
    context.exit(_queue_all(session, requests, as_json=as_json))


def _queue_all(session: Session, requests: list[queueing.Request], *, as_json: bool) -> int:
    """Queues one batch after another and prints what became of each, also if an outage ends it; the worst status."""
    results: list[dict[str, Any]] = []
    try:
        for request in requests:
            results.append(_queue_one(session, request))
    finally:
        if results:
            columns = ("sync_id", "job_id", "state", "priority", "is_new", "error")
            print_rows(results, columns, as_json=as_json, empty="")
    return max(int(result["exit_status"]) for result in results)


def _queue_one(session: Session, request: queueing.Request) -> dict[str, Any]:
    """What became of one batch; a database that no other batch would reach either is no result."""
    result: dict[str, Any] = {"sync_id": request.sync_id, "job_id": None, "state": None, "priority": None}
    result.update(is_new=False, error=None, exit_status=0)
    try:
        queued = queueing.queue_and_tell(session.context, request)
    except (DatabaseUnavailable, ConfigError):
        raise
    except IngestdError as error:
        return {**result, "error": str(error), "exit_status": error.exit_status}
    made = queued.job
    return {**result, "job_id": made.id, "state": made.state, "priority": made.priority, "is_new": queued.is_new}


@click.command()
@click.argument("sync_id", type=as_sync_id)
@json_option
@click.pass_obj
def cancel(session: Session, sync_id: str, as_json: bool) -> None:
    """Cancels the waiting or queued job of a batch."""
    cancelled = queueing.cancel(session.context, sync_id, session.requested_by)
    row = {"sync_id": sync_id, "job_id": cancelled.id, "state": cancelled.state}
    print_rows([row], tuple(row), as_json=as_json, empty="")


@click.command()
@click.option("--reason", metavar="TEXT", type=as_text, help="Why; shown to everybody who looks.")
@click.pass_obj
def pause(session: Session, reason: str | None) -> None:
    """Stops claiming on every host."""
    changed = queueing.pause(session.context, session.requested_by, reason)
    tell("paused" if changed else "was paused already")


@click.command()
@click.pass_obj
def resume(session: Session) -> None:
    """Lets claiming go on."""
    changed = queueing.resume(session.context, session.requested_by)
    tell("resumed" if changed else "was not paused")


def known_batch(session: Session, sync_id: str) -> dict[str, Any]:
    """The batch row as commands show it. Raises NotFound."""
    row = session.context.db.read(lambda tx: stats.batch(tx, sync_id))
    if row is None:
        raise NotFound(f"there is no batch {sync_id}; `ingestd scan` records what is on the mount")
    return row


COMMANDS = (scan, preflight, queue, cancel, pause, resume)
