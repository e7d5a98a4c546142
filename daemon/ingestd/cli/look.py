"""What is going on: status, batches, jobs."""

import sys
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import click
import orjson

from ingestd.cli.operate import known_batch
from ingestd.cli.output import json_option, print_facts, print_json, print_rows
from ingestd.cli.session import Session
from ingestd.model import ACTIVE_STATES, BatchStatus
from ingestd.store import item, job, stats

FOLLOW_SECONDS = 0.5
PAGE = 1000
ITEM_COLUMNS = (
    "ordinal", "type", "hash", "cover_hash", "parent_hash", "decision", "reason", "waiting_for", "target_ids",
    "last_error", "updated_at",
)  # fmt: skip
JOB_TABLE = (
    "id",
    "sync_id",
    "state",
    "priority",
    "requested_by",
    "claimed_by",
    "items_done",
    "items_total",
    "last_error",
)


@click.command()
@click.argument("sync_id", required=False)
@click.option("--items", is_flag=True, help="Print the items of the batch and what was decided of each.")
@click.option("--follow", is_flag=True, help="Show a progress bar until the batch's job has ended.")
@json_option
@click.pass_obj
def status(session: Session, sync_id: str | None, items: bool, follow: bool, as_json: bool) -> None:
    """What is going on, or where one batch stands."""
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
        print_rows(list(_items(session, known["id"])), ITEM_COLUMNS[1:], as_json=as_json)
        return
    _print_batch(session, known, as_json=as_json)


def _print_overview(session: Session, *, as_json: bool) -> None:
    db = session.context.db
    control = db.read(job.control)
    facts: dict[str, Any] = {
        "paused": control.paused,
        "paused_by": control.by,
        "paused_reason": control.reason,
        "jobs": db.read(stats.job_counts),
        "batches": db.read(stats.batch_counts),
    }
    if as_json:
        print_json(facts)
        return
    lines = {"paused": f"by {control.by}: {control.reason or 'no reason given'}" if control.paused else "no"}
    for what in ("jobs", "batches"):
        lines[what] = ", ".join(f"{count} {name}" for name, count in sorted(facts[what].items())) or "none open"
    print_facts(lines)
    print_rows(db.read(stats.active_jobs), JOB_TABLE, as_json=False)


def _print_batch(session: Session, known: dict[str, Any], *, as_json: bool) -> None:
    db, batch_id = session.context.db, known["id"]
    known["manifest_summary"] = orjson.loads(known["manifest_summary"]) if known["manifest_summary"] else None
    known["decisions"] = dict(db.read(lambda tx: item.tally(tx, batch_id)))
    known["containers"] = dict(db.read(lambda tx: item.container_tally(tx, batch_id)))
    jobs = db.read(lambda tx: stats.jobs_of_batch(tx, known["sync_id"], batch_id))
    if as_json:
        print_json({**known, "jobs": jobs})
        return
    for what in ("decisions", "containers"):
        known[what] = ", ".join(f"{count} {name}" for name, count in sorted(known[what].items())) or None
    print_facts(known)
    print_rows(jobs, JOB_TABLE, as_json=False)


def _items(session: Session, batch_id: int) -> Iterator[dict[str, Any]]:
    after = -1
    while rows := session.context.db.read(partial(item.page, batch_id=batch_id, after=after, most=PAGE)):
        for row in rows:
            shown = dict(zip(ITEM_COLUMNS, row, strict=True))
            shown["target_ids"] = orjson.loads(shown["target_ids"]) if shown["target_ids"] else None
            yield shown
        after = rows[-1][0]


def _follow(session: Session, sync_id: str, batch_id: int) -> None:
    """A progress bar on standard error until the newest job of the batch has ended."""
    newest = _newest(session, sync_id, batch_id)
    if newest is None:
        click.echo("ingestd: this batch has no job to follow", err=True)
        return
    with click.progressbar(
        length=max(1, newest["items_total"]), label=sync_id, file=sys.stderr
    ) as bar:
        while newest and newest["state"] in ACTIVE_STATES:
            bar.length = max(1, newest["items_total"])
            bar.update(newest["items_done"] - bar.pos)
            time.sleep(FOLLOW_SECONDS)
            newest = _newest(session, sync_id, batch_id)
        bar.update((newest["items_done"] if newest else 0) - bar.pos)


def _newest(session: Session, sync_id: str, batch_id: int) -> dict[str, Any] | None:
    jobs = session.context.db.read(lambda tx: stats.jobs_of_batch(tx, sync_id, batch_id, most=1))
    return jobs[0] if jobs else None


@click.command()
@click.option("--status", "wanted", type=click.Choice([status.value for status in BatchStatus]))
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 100_000))
@json_option
@click.pass_obj
def batches(session: Session, wanted: str | None, limit: int, as_json: bool) -> None:
    """Batches, newest first."""
    rows = session.context.db.read(lambda tx: stats.batches(tx, status=wanted, most=limit))
    columns = ("sync_id", "type", "action", "status", "item_count", "source_host", "discovered_at", "last_error")
    print_rows(rows, columns, as_json=as_json)


@click.command()
@json_option
@click.pass_obj
def jobs(session: Session, as_json: bool) -> None:
    """Running, queued and waiting jobs, then those that ended last."""
    rows = session.context.db.read(lambda tx: stats.active_jobs(tx) + stats.finished_jobs(tx))
    print_rows(rows, JOB_TABLE, as_json=as_json)


COMMANDS = (status, batches, jobs)
