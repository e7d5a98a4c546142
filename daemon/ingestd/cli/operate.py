"""The commands of operators: scan, preflight, queue and cancel, locally or remotely; pause and resume."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial, wraps
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import click

from ingestd.cli.client import Address, Client, as_url, read_token
from ingestd.cli.output import Row, echo, json_option, pause_facts, print_facts, print_json, print_rows, shown
from ingestd.cli.session import Session, as_sync_id, as_text
from ingestd.errors import (
    ConfigError,
    DaemonBusy,
    DaemonUnavailable,
    DatabaseContention,
    DatabaseUnavailable,
    IngestdError,
    NoDaemon,
    NotEligible,
    ScanIncomplete,
)
from ingestd.model import JobState, Scope
from ingestd.records import Event, Item, Job, ListedBatch, Standing, SummarizedBatch
from ingestd.removal_counts import Removals
from ingestd.store.queries.events import Filter
from ingestd.store.queries.overview import Overview
from ingestd.wording import counted

MIN_PREFIX, SYNC_ID_LENGTH = 6, 36
"""characters that a shortened sync_id must have, and that a whole one has"""
MAX_REASON = 1000
MAX_SHOWN = 10
"""sync_ids in one message"""
OUTAGES = (ConfigError, DatabaseUnavailable, DaemonUnavailable, NoDaemon)
"""errors that would also stop the next batch"""
OBSTACLES = (DaemonBusy, DatabaseContention)
"""errors of these kinds that may be about one batch only, such as one that others hold"""


class ScanResult(NamedTuple):
    """What is new or changed, how many bundles have no readable manifest, why some of these wait, what was left out."""

    batches: list[SummarizedBatch]
    unrecorded: int
    reasons: Mapping[str, str] = {}
    left_out: Sequence[str] = ()


class Operator(Protocol):
    """Runs the commands that can run locally or remotely; both print the same."""

    def scan(self) -> ScanResult:
        """One full scan."""

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

    def events(self, sync_id: str | None, wanted: Filter, page: int) -> Iterator[Event]:
        """Events of one batch or of all, newest first, read in pages of so many. Raises NotFound."""

    def pause(self, reason: str | None) -> bool:
        """False when the queue was paused already; the reason of that pause stays."""

    def resume(self) -> bool:
        """False when the queue was not paused."""

    def accept_mount(self) -> Row:
        """What the host expected before, and what it expects now."""

    def overview(self) -> Overview:
        """The state of the queue."""

    def batches(self, status: str | None, limit: int) -> Iterable[ListedBatch]:
        """The newest batches."""

    def jobs(self) -> list[Job]:
        """Active jobs, then those that finished last."""

    def beginning_with(self, prefix: str) -> list[str]:
        """sync_ids with this prefix, two at most."""


def operated(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command its operator and the option --json."""
    return json_option(addressed(command))


def addressed(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command its operator: this host, or the daemon that --url names. It gets whole sync_ids."""

    @click.option("--url", metavar="URL", type=as_url, help="Run it through the HTTP API of a daemon on another host.")
    @click.option("--token-file", type=click.Path(path_type=Path), help="File with the token for --url.")
    @wraps(command)
    @click.pass_obj
    def call(session: Session, /, url: Address | None, token_file: Path | None, **parameters: Any) -> None:
        if (url is None) != (token_file is None):
            raise click.UsageError("--url and --token-file need each other")
        remote = None if url is None or token_file is None else _remote(url, token_file)
        operator = remote or _local(session)
        command(operator, **{name: _completed(operator, name, value) for name, value in parameters.items()})

    return call


def _completed(operator: Operator, name: str, value: Any) -> Any:
    """The value of a parameter, with shortened sync_ids completed."""
    if name == "sync_id" and value is not None:
        return _whole(operator, value)
    return tuple(_whole(operator, part) for part in value) if name == "sync_ids" else value


def _whole(operator: Operator, sync_id: str) -> str:
    """The sync_id that begins with what was given. Raises NotEligible if there are several.

    If there is none, the command reports what was given as unknown.
    """
    if not MIN_PREFIX <= len(sync_id) < SYNC_ID_LENGTH:
        return sync_id
    found = sorted(operator.beginning_with(sync_id))
    if len(found) > 1:
        raise NotEligible(f"several batches begin with {sync_id}: {', '.join(found)}, …; give more characters")
    return found[0] if found else sync_id


def _local(session: Session) -> Operator:
    from ingestd.cli.local import Local

    return Local(session)


def _remote(url: Address, token_file: Path) -> Operator:
    # Only the commands that are sent elsewhere load what knows the API.
    from ingestd.cli.remote import Remote

    token = read_token(token_file)
    if url.is_overheard:
        echo(f"warning: the token is sent to {url} unencrypted, and can be overheard on the way; use https")
    return Remote(Client(url, token))


@click.command()
@operated
def scan(operator: Operator, as_json: bool) -> None:
    """Runs one full scan and prints the new and changed batches."""
    rows, unrecorded, reasons, left_out = operator.scan()
    columns = ("sync_id", "type", "action", "status", "item_count", "last_error")
    print_rows(rows, columns, as_json=as_json, empty="nothing new")
    if unrecorded:
        waiting = f"{counted(unrecorded, 'bundle')} without a readable manifest yet"
        echo(f"{waiting}: {_some(list(reasons))}; a later scan looks again")
        for sync_id, reason in islice(reasons.items(), MAX_SHOWN):
            if reason:
                echo(f"{sync_id}: {reason}")
    if left_out:
        problem = f"left out {counted(len(left_out), 'bundle')} because reading takes long"
        raise ScanIncomplete(f"{problem}: {_some(left_out)}")


def _some(sync_ids: Sequence[str]) -> str:
    return f"{', '.join(sync_ids[:MAX_SHOWN])}{', …' if sync_ids[MAX_SHOWN:] else ''}"


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
    print_facts({**facts, "would_remove": Removals(**plan["removals"])})
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

    Prints the results in the order of `sync_ids`. After an outage the other batches are not tried, and reported so.
    """
    results: dict[int, Row] = {}
    try:
        for place in places:
            results[place] = _result(queue_one, sync_ids[place])
    except OUTAGES as outage:
        untried = {place: _refused(sync_ids[place], f"not queued: {outage}", outage) for place in places}
        results = {**untried, **results} if results else {}
        raise
    finally:
        if results:
            columns = ("sync_id", "job_id", "state", "priority", "scope", "is_new", "error")
            print_rows([results[place] for place in sorted(results)], columns, as_json=as_json, empty="")
    return max(int(result["exit_status"]) for result in results.values())


def _result(queue_one: Callable[[str], Row], sync_id: str) -> Row:
    """The result for one batch. Raises errors that would also stop the next batch."""
    try:
        return {**_row(sync_id), **queue_one(sync_id)}
    except IngestdError as error:
        if isinstance(error, OUTAGES) and not isinstance(error, OBSTACLES):
            raise
        return _refused(sync_id, str(error), error)


def _refused(sync_id: str, reason: str, error: IngestdError) -> Row:
    return {**_row(sync_id), "error": reason, "exit_status": error.exit_status}


def _row(sync_id: str) -> Row:
    row: Row = {"sync_id": sync_id, "job_id": None, "state": None, "priority": None, "scope": None}
    return {**row, "is_new": False, "error": None, "exit_status": 0}


@click.command()
@click.argument("sync_id", type=as_sync_id)
@operated
def cancel(operator: Operator, sync_id: str, as_json: bool) -> None:
    """Cancels the waiting or queued job of a batch, or the retry of its failed job."""
    row = operator.cancel(sync_id)
    if row["state"] != JobState.CANCELLED:
        echo(f"the retry of job {row['job_id']} was cancelled")
    print_rows([row], tuple(row), as_json=as_json, empty="")


def as_reason(value: str) -> str:
    """Validates a reason: no longer than what the HTTP interface accepts."""
    if len(value) > MAX_REASON:
        raise click.BadParameter(f"longer than {MAX_REASON} characters")
    return as_text(value)


@click.command()
@click.option("--reason", metavar="TEXT", type=as_reason, help="Why the queue is paused, shown on the pages.")
@addressed
def pause(operator: Operator, reason: str | None) -> None:
    """Stops claiming on every host."""
    echo("paused" if operator.pause(reason) else f"was paused already, {pause_facts(operator.overview())}")


@click.command()
@addressed
def resume(operator: Operator) -> None:
    """Resumes claiming on every host."""
    echo("resumed" if operator.resume() else "was not paused")


COMMANDS = (scan, preflight, queue, cancel, pause, resume)
