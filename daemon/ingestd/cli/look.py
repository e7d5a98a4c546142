"""The commands status, batches and jobs."""

import sys
import time
from collections.abc import Sequence
from functools import partial

import click

from ingestd.cli.in_time import in_time
from ingestd.cli.operate import Operator, operated
from ingestd.cli.output import echo, pause_facts, print_facts, print_json, print_rows, shown
from ingestd.cli.session import as_sync_id
from ingestd.model import BatchStatus, JobState
from ingestd.records import Job, Standing, as_dict
from ingestd.store.queries.overview import Overview

FOLLOW_SECONDS = 0.5
"""between two looks at a job"""
UNSUCCESSFUL = (BatchStatus.FAILED, BatchStatus.INVALID)
QUEUEABLE = "this batch has never been queued; `ingestd queue` queues it"
NEVER_QUEUED = {
    BatchStatus.INVALID: "never queued: this batch is invalid; a corrected delivery is checked again",
    BatchStatus.HELD: "never queued: this batch removes more than queue.removal_limit allows;"
    " `ingestd queue --force` approves that",
}
PAGE = 1000
ITEM_TABLE = (
    "type", "hash", "cover_hash", "parent_hash", "decision", "reason", "waiting_for", "target_ids",
    "last_error", "updated_at",
)  # fmt: skip
BATCH_TABLE = (
    "sync_id",
    "type",
    "action",
    "status",
    "item_count",
    "source_host",
    "discovered_at",
    "retry_at",
    "last_error",
)
JOB_TABLE = (
    "id", "sync_id", "state", "priority", "progress", "result", "requested_by", "claimed_by", "queued_at",
    "heartbeat_at", "finished_at", "last_error",
)  # fmt: skip


@click.command()
@click.argument("sync_id", required=False, type=as_sync_id)
@click.option("--items", is_flag=True, help="Print the items of the batch with their decisions.")
@click.option("--follow", is_flag=True, help="Show a progress bar until the job of the batch has finished.")
@operated
def status(operator: Operator, sync_id: str | None, items: bool, follow: bool, as_json: bool) -> None:
    """Shows the state of the queue, or of one batch.

    With --follow it exits 1 if the job or the batch failed, or the batch is invalid. It waits out an outage
    of five minutes.
    """
    if sync_id is None:
        if items or follow:
            raise click.UsageError("--items and --follow need a SYNC_ID")
        _print_overview(operator.overview(), as_json=as_json)
        return
    standing = operator.standing(sync_id)
    has_failed = False
    if follow:
        job = _follow(operator, sync_id)
        standing = in_time(partial(operator.standing, sync_id))
        has_failed = standing.batch.status in UNSUCCESSFUL or (job is not None and job.state is JobState.FAILED)
    if items:
        empty = "this batch has no items yet; `ingestd preflight` reads its manifest and plans them"
        print_rows(operator.items(sync_id, PAGE), ITEM_TABLE, as_json=as_json, empty=empty)
    else:
        _print_batch(standing, as_json=as_json)
    click.get_current_context().exit(int(has_failed))


def _print_overview(found: Overview, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    counts = {"jobs": _counts(found.jobs, "none"), "batches": _counts(found.batches, "none open")}
    print_facts({"paused": pause_facts(found), **counts})
    for known in found.refused_mounts:
        print_facts({"mount": known.sentence})
    for listing in found.broken_listings:
        print_facts({"listing": f"{listing.host} since {shown(listing.since)}: {listing.problem}"})
    for bundle in found.stuck_bundles:
        print_facts({"stuck": f"{bundle.sync_id} since {shown(bundle.since)}: {bundle.reason}"})
    if found.active_jobs:
        _print_jobs(found.active_jobs, as_json=False, empty="")


def _counts(counts: dict[str, int], none: str) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or none


def _print_batch(standing: Standing, *, as_json: bool) -> None:
    facts, removals = as_dict(standing.batch), standing.removals
    counts = {"decisions": standing.decisions, "containers": standing.containers}
    if as_json:
        print_json({**facts, **counts, "removals": removals, "jobs": standing.jobs})
        return
    shown_counts = {what: _counts(count, "none yet") for what, count in counts.items()}
    print_facts({**facts, **shown_counts, "removed": removals.removed, "would_remove": removals.expected})
    _print_jobs(standing.jobs, as_json=False, empty=NEVER_QUEUED.get(standing.batch.status, QUEUEABLE))


def _follow(operator: Operator, sync_id: str) -> Job | None:
    """Shows a progress bar on standard error until the newest job of the batch has finished; returns that job."""
    newest = _newest(operator, sync_id)
    if newest is None:
        echo("this batch has no job to follow")
        return None
    with click.progressbar(length=max(1, newest.items_total), label=sync_id, file=sys.stderr) as bar:
        while newest and newest.is_active:
            bar.length = max(1, newest.items_total)
            bar.update(newest.items_done - bar.pos)
            time.sleep(FOLLOW_SECONDS)
            newest = _newest(operator, sync_id)
        bar.update((newest.items_done if newest else 0) - bar.pos)
    if newest and newest.state is JobState.CANCELLED:
        echo(f"job {newest.id} was cancelled")
    return newest


def _newest(operator: Operator, sync_id: str) -> Job | None:
    jobs = in_time(partial(operator.standing, sync_id)).jobs
    return jobs[0] if jobs else None


@click.command()
@click.option("--status", "wanted", type=click.Choice([status.value for status in BatchStatus]))
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 100_000))
@operated
def batches(operator: Operator, wanted: str | None, limit: int, as_json: bool) -> None:
    """Lists batches, newest first."""
    rows = operator.batches(wanted, limit)
    empty = "no batches match these filters" if wanted else "no batches yet; `ingestd scan` records new bundles"
    print_rows(rows, BATCH_TABLE, as_json=as_json, empty=empty)


@click.command()
@operated
def jobs(operator: Operator, as_json: bool) -> None:
    """Lists running, queued and waiting jobs, then recently finished ones."""
    _print_jobs(operator.jobs(), as_json=as_json, empty="no jobs yet; queue a batch with `ingestd queue`")


def _print_jobs(found: Sequence[Job], *, as_json: bool, empty: str) -> None:
    rows = [
        {
            **as_dict(job),
            "progress": f"{job.items_done}/{job.items_total}",
            "result": job.result and _counts(job.result, ""),
        }
        for job in found
    ]
    print_rows(found if as_json else rows, JOB_TABLE, as_json=as_json, empty=empty)


COMMANDS = (status, batches, jobs)
