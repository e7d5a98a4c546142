"""The commands of operators: scan, preflight, queue and cancel, locally or remotely; pause and resume."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial, wraps
from pathlib import Path
from typing import Any, Protocol

import click

from ingestd.cli.client import Address, Client, as_url, read_token
from ingestd.cli.output import Row, echo, json_option, print_facts, print_json, print_rows, shown
from ingestd.cli.remote import Remote
from ingestd.cli.session import Session, as_sync_id, as_text
from ingestd.errors import ConfigError, DaemonUnavailable, DatabaseUnavailable, IngestdError, NoDaemon, NotFound
from ingestd.model import Scope
from ingestd.pipeline import ordering, queueing
from ingestd.pipeline import preflight as planning
from ingestd.pipeline.scanner import Scanner
from ingestd.records import Item, Standing, SummarizedBatch
from ingestd.store import item, removal
from ingestd.store.queries import batches, items, jobs

OUTAGES = (ConfigError, DatabaseUnavailable, DaemonUnavailable, NoDaemon)
"""errors that would also stop the next batch"""


class Operator(Protocol):
    """Runs the commands that can run locally or remotely; both print the same."""

    def scan(self) -> tuple[list[SummarizedBatch], int]:
        """The new and changed batches, and the number of bundles without a readable manifest."""

    def preflight(self, sync_id: str) -> Row:
        """The plan of a batch."""

    def queue(self, sync_id: str, priority: int | None, force: bool, scope: Scope) -> Row:
        """The job, as `queue` prints it."""

    def oldest_first(self, sync_ids: Sequence[str]) -> list[int]:
        """The places of batches in order of version."""

    def cancel(self, sync_id: str) -> Row:
        """The job, as `cancel` prints it."""

    def standing(self, sync_id: str) -> Standing:
        """How a batch stands. Raises NotFound."""

    def items(self, sync_id: str, page: int) -> Iterator[Item]:
        """The listed items of a batch, in order of the manifest, read in pages of so many."""

    def session_here(self) -> Session:
        """The session of a command that runs on this host only. Raises UsageError elsewhere."""


class Local:
    """Runs them in this process, with the database and the mount of this host."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def scan(self) -> tuple[list[SummarizedBatch], int]:
        scanner = Scanner(self._session.context)
        found = [self._session.context.db.read(partial(batches.find, sync_id=name)) for name in scanner.scan()]
        return [batch for batch in found if batch], scanner.unrecorded

    def preflight(self, sync_id: str) -> Row:
        known_batch(self._session, sync_id)
        return {"sync_id": sync_id, **planning.preflight(self._session.context, sync_id)}

    def queue(self, sync_id: str, priority: int | None, force: bool, scope: Scope) -> Row:
        request = queueing.QueueRequest(sync_id, self._session.requested_by, priority, force, scope)
        queued = queueing.enqueue(self._session.context, request)
        made = queued.job
        return {"job_id": made.id, "state": made.state, "priority": made.priority, "is_new": queued.is_new}

    def oldest_first(self, sync_ids: Sequence[str]) -> list[int]:
        return ordering.oldest_first(self._session.context, sync_ids)

    def cancel(self, sync_id: str) -> Row:
        cancelled = queueing.cancel(self._session.context, sync_id, self._session.requested_by)
        return {"sync_id": sync_id, "job_id": cancelled.id, "state": cancelled.state}

    def standing(self, sync_id: str) -> Standing:
        read, known = self._session.context.db.read, known_batch(self._session, sync_id)
        return Standing(
            known,
            decisions=dict(read(lambda tx: item.tally(tx, known.id))),
            containers=dict(read(lambda tx: item.container_tally(tx, known.id))),
            removals=read(lambda tx: removal.find(tx, known.id, known.manifest_sha256)),
            jobs=read(lambda tx: jobs.of_batch(tx, known.id)),
        )

    def items(self, sync_id: str, page: int) -> Iterator[Item]:
        known = known_batch(self._session, sync_id)
        after: int | None = -1
        while after is not None:
            following = partial(items.page, batch_id=known.id, after=after, limit=page)
            found, after = self._session.context.db.read(following)
            yield from found

    def session_here(self) -> Session:
        return self._session


def operated(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command its operator, this host or the daemon that --url names, and the option --json."""

    @json_option
    @click.option("--url", metavar="URL", type=as_url, help="Run it through the HTTP API of a daemon on another host.")
    @click.option("--token-file", type=click.Path(path_type=Path), help="File with the token for --url.")
    @wraps(command)
    @click.pass_obj
    def call(session: Session, /, url: Address | None, token_file: Path | None, **parameters: Any) -> None:
        if (url is None) != (token_file is None):
            raise click.UsageError("--url and --token-file need each other")
        remote = None if url is None or token_file is None else _remote(url, token_file)
        command(remote or Local(session), **parameters)

    return call


def _remote(url: Address, token_file: Path) -> Remote:
    token = read_token(token_file)
    if url.is_overheard:
        echo(f"warning: the token is sent to {url} unencrypted, and can be overheard on the way; use https")
    return Remote(Client(url, token))


@click.command()
@operated
def scan(operator: Operator, as_json: bool) -> None:
    """Runs one full scan and prints the new and changed batches."""
    rows, unrecorded = operator.scan()
    columns = ("sync_id", "type", "action", "status", "item_count", "last_error")
    print_rows(rows, columns, as_json=as_json, empty="nothing new")
    if unrecorded:
        echo(f"{unrecorded} bundles have no readable manifest yet; a later scan looks again")


@click.command()
@click.argument("sync_id", type=as_sync_id)
@operated
def preflight(operator: Operator, sync_id: str, as_json: bool) -> None:
    """Validates a batch and prints the plan; writes nothing into the library."""
    plan = operator.preflight(sync_id)
    if as_json:
        print_json(plan)
        return
    facts: dict[str, Any] = {"sync_id": sync_id, "items": plan["item_count"], **plan["counts"]}
    print_facts(facts)
    for sample in plan["failure_samples"]:
        click.echo(shown(f"will fail: {sample['type']} {sample['hash']}: {sample['error']}"))


@click.command()
@click.argument("sync_ids", nargs=-1, required=True, metavar="SYNC_ID…", type=as_sync_id)
@click.option("--priority", type=click.IntRange(-(2**31), 2**31 - 1), help="Lower numbers first.")
@click.option("--force", is_flag=True, help="Allow this manifest to remove more than queue.removal_limit.")
@click.option("--only", type=click.Choice(["failed", "deferred"]), help="Process only failed, or only deferred, items.")
@click.option("--reimport", is_flag=True, help="Process every item again.")
@operated
def queue(
    operator: Operator,
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
    one = partial(operator.queue, priority=priority, force=force, scope=scope)
    places = operator.oldest_first(sync_ids) if len(sync_ids) > 1 else [0]
    click.get_current_context().exit(_queue_all(one, sync_ids, places, as_json=as_json))


def _queue_all(
    queue_one: Callable[[str], Row], sync_ids: Sequence[str], places: Sequence[int], *, as_json: bool
) -> int:
    """Queues batches in the order of `places`; returns the worst status.

    Prints the results in the order of `sync_ids`, also if an outage ends it.
    """
    results: dict[int, Row] = {}
    try:
        for place in places:
            results[place] = _result(queue_one, sync_ids[place])
    finally:
        if results:
            columns = ("sync_id", "job_id", "state", "priority", "is_new", "error")
            print_rows([results[place] for place in sorted(results)], columns, as_json=as_json, empty="")
    return max(int(result["exit_status"]) for result in results.values())


def _result(queue_one: Callable[[str], Row], sync_id: str) -> Row:
    """The result for one batch. Raises errors that would also stop the next batch."""
    result: Row = {"sync_id": sync_id, "job_id": None, "state": None, "priority": None}
    result.update(is_new=False, error=None, exit_status=0)
    try:
        return {**result, **queue_one(sync_id)}
    except OUTAGES:
        raise
    except IngestdError as error:
        return {**result, "error": str(error), "exit_status": error.exit_status}


@click.command()
@click.argument("sync_id", type=as_sync_id)
@operated
def cancel(operator: Operator, sync_id: str, as_json: bool) -> None:
    """Cancels the waiting or queued job of a batch, or the retry of its failed job."""
    row = operator.cancel(sync_id)
    print_rows([row], tuple(row), as_json=as_json, empty="")


@click.command()
@click.option("--reason", metavar="TEXT", type=as_text, help="Why the queue is paused, shown on the pages.")
@click.pass_obj
def pause(session: Session, reason: str | None) -> None:
    """Stops claiming on every host."""
    changed = queueing.pause(session.context, session.requested_by, reason)
    echo("paused" if changed else "was paused already")


@click.command()
@click.pass_obj
def resume(session: Session) -> None:
    """Resumes claiming on every host."""
    changed = queueing.resume(session.context, session.requested_by)
    echo("resumed" if changed else "was not paused")


def known_batch(session: Session, sync_id: str) -> SummarizedBatch:
    """Raises NotFound."""
    found = session.context.db.read(lambda tx: batches.find(tx, sync_id))
    if found is None:
        raise NotFound(f"there is no batch {sync_id}; `ingestd scan` records what is on the mount")
    return found


COMMANDS = (scan, preflight, queue, cancel, pause, resume)
