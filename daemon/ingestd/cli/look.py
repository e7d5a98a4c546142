"""The commands status, batches and jobs."""

import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import click
import orjson

from ingestd.cli.operate import known_batch
from ingestd.cli.output import echo, json_option, print_facts, print_json, print_rows, shown
from ingestd.cli.session import Session, as_sync_id
from ingestd.model import ACTIVE_STATES, BatchStatus, JobState
from ingestd.store import item, job, stats

FOLLOW_SECONDS = 0.5
PAGE = 1000
ITEM_COLUMNS = (
    "ordinal", "type", "hash", "cover_hash", "parent_hash", "decision", "reason", "waiting_for", "target_ids",
    "last_error", "updated_at",
)  # fmt: skip
BATCH_TABLE = ("sync_id", "type", "action", "status", "item_count", "source_host", "discovered_at", "last_error")
JOB_TABLE = (
    "id", "sync_id", "state", "priority", "progress", "requested_by", "claimed_by", "queued_at", "heartbeat_at",
    "finished_at", "last_error",
)  # fmt: skip
JOB_ORDER = (JobState.RUNNING, JobState.QUEUED, JobState.WAITING)


@click.command()
@click.argument("sync_id", required=False, type=as_sync_id)
@click.option("--items", is_flag=True, help="Print the items of the batch with their decisions.")
@click.option("--follow", is_flag=True, help="Show a progress bar until the job of the batch has finished.")
@json_option
@click.pass_obj
def status(session: Session, sync_id: str | None, items: bool, follow: bool, as_json: bool) -> None:
    """Shows the state of the queue, or of one batch."""
    if sync_id is None:
        if items or follow:
            raise click.UsageError("--items and --follow need a SYNC_ID")
        _print_overview(session, as_json=as_json)
        return
    known = known_batch(session, sync_id)
    if follow:
        _follow(session, sync_id, known["id"])
        known = known_batch(session, sync_id)
    if items:
        empty = "this batch has no items yet; `ingestd preflight` reads its manifest and plans them"
        print_rows(_items(session, known["id"]), ITEM_COLUMNS[1:], as_json=as_json, empty=empty)
        return
    _print_batch(session, known, as_json=as_json)


def _print_overview(session: Session, *, as_json: bool) -> None:
    db = session.context.db
    control = db.read(job.control)
    active = _in_order(db.read(stats.active_jobs))
    jobs, batches = db.read(stats.job_counts), db.read(stats.batch_counts)
    if as_json:
        paused = {"paused": control.paused, "paused_by": control.by, "paused_reason": control.reason}
        print_json({**paused, "paused_at": control.at, "jobs": jobs, "batches": batches, "active_jobs": active})
        return
    print_facts({"paused": _pause(control), "jobs": _counts(jobs, "none"), "batches": _counts(batches, "none open")})
    if active:
        _print_jobs(active, as_json=False, empty="")


def _pause(control: job.Control) -> str:
    if not control.paused:
        return "no"
    return f"since {shown(control.at)} by {control.by}: {control.reason or 'no reason given'}"


def _counts(counts: dict[str, int], none: str) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or none


def _print_batch(session: Session, known: dict[str, Any], *, as_json: bool) -> None:
    db, batch_id = session.context.db, known["id"]
    known["manifest_summary"] = orjson.loads(known["manifest_summary"]) if known["manifest_summary"] else None
    counts = {
        "decisions": dict(db.read(lambda tx: item.tally(tx, batch_id))),
        "containers": dict(db.read(lambda tx: item.container_tally(tx, batch_id))),
    }
    jobs = db.read(lambda tx: stats.jobs_of_batch(tx, known["sync_id"], batch_id))
    if as_json:
        print_json({**known, **counts, "jobs": jobs})
        return
    print_facts({**known, **{what: _counts(found, "none yet") for what, found in counts.items()}})
    _print_jobs(jobs, as_json=False, empty="this batch has never been queued; `ingestd queue` queues it")


def _items(session: Session, batch_id: int) -> Iterator[dict[str, Any]]:
    after = -1
    while rows := session.context.db.read(partial(item.page, batch_id=batch_id, after=after, limit=PAGE)):
        for row in rows:
            found = dict(zip(ITEM_COLUMNS, row, strict=True))
            found["target_ids"] = orjson.loads(found["target_ids"]) if found["target_ids"] else None
            yield found
        after = rows[-1][0]


def _follow(session: Session, sync_id: str, batch_id: int) -> None:
    """Shows a progress bar on standard error until the newest job of the batch has finished."""
    newest = _newest(session, sync_id, batch_id)
    if newest is None:
        echo("this batch has no job to follow")
        return
    with click.progressbar(length=max(1, newest["items_total"]), label=sync_id, file=sys.stderr) as bar:
        while newest and newest["state"] in ACTIVE_STATES:
            bar.length = max(1, newest["items_total"])
            bar.update(newest["items_done"] - bar.pos)
            time.sleep(FOLLOW_SECONDS)
            newest = _newest(session, sync_id, batch_id)
        bar.update((newest["items_done"] if newest else 0) - bar.pos)


def _newest(session: Session, sync_id: str, batch_id: int) -> dict[str, Any] | None:
    jobs = session.context.db.read(lambda tx: stats.jobs_of_batch(tx, sync_id, batch_id, limit=1))
    return jobs[0] if jobs else None


@click.command()
@click.option("--status", "wanted", type=click.Choice([status.value for status in BatchStatus]))
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 100_000))
@json_option
@click.pass_obj
def batches(session: Session, wanted: str | None, limit: int, as_json: bool) -> None:
    """Lists batches, newest first."""
    which = stats.Filter(status=wanted)
    rows, _ = session.context.db.read(lambda tx: stats.batch_page(tx, which, before=stats.NEWEST, limit=limit))
    empty = "no batches match these filters" if wanted else "no batches yet; `ingestd scan` records new bundles"
    print_rows(rows, BATCH_TABLE, as_json=as_json, empty=empty)


@click.command()
@json_option
@click.pass_obj
def jobs(session: Session, as_json: bool) -> None:
    """Lists running, queued and waiting jobs, then recently finished ones."""
    db = session.context.db
    rows = _in_order(db.read(stats.active_jobs)) + db.read(stats.finished_jobs)
    _print_jobs(rows, as_json=as_json, empty="no jobs yet; queue a batch with `ingestd queue`")


def _in_order(rows: list[stats.Row]) -> list[stats.Row]:
    return sorted(rows, key=lambda row: JOB_ORDER.index(row["state"]))


def _print_jobs(rows: Sequence[stats.Row], *, as_json: bool, empty: str) -> None:
    printed = rows if as_json else [{**row, "progress": f"{row['items_done']}/{row['items_total']}"} for row in rows]
    print_rows(printed, JOB_TABLE, as_json=as_json, empty=empty)


COMMANDS = (status, batches, jobs)
