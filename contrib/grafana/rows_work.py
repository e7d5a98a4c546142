"""The rows about work: queue, items and running jobs."""

from grafana_foundation_sdk.models import dashboard as model
from panels import ALL, Panel, Query, Text, course, database, quantiles, rate, rows_of
from style import GREEN, ORANGE, RED, thresholds

OPERATOR = "http://${operator:raw}"


def queue_and_wait() -> list[Panel]:
    return [_jobs_by_state(), _wait(), _runs_ended(), _durations(), _claimed(), _batches()]


def _jobs_by_state() -> Panel:
    alerts = ("IngestdQueueNotDraining", "IngestdPaused")
    text = Text("Jobs by state", "Active jobs; waiting jobs follow another batch.", alerts)
    return course(text, "none", Query(database("queue_jobs", "state"), "{{state}}"), stacked=True)


def _wait() -> Panel:
    text = Text("Wait", "Time from queued to claimed, and the age of the oldest queued job.", ("IngestdQueueWaitHigh",))
    oldest = Query(database("queue_oldest_job_age_seconds"), "oldest queued")
    return course(text, "s", *quantiles("job_queue_wait_seconds"), oldest, colours={"oldest queued": ORANGE})


def _runs_ended() -> Panel:
    text = Text(
        "Finished runs",
        "Released: the daemon stopped or the mount disappeared. Lost: another worker took over.",
        ("IngestdJobsGivenBack",),
    )
    query = Query(f"60 * {rate('jobs_finished_total', 'outcome')}", "{{outcome}}")
    return course(text, "cpm", query, stacked=True)


def _durations() -> Panel:
    text = Text("Duration of jobs", "Successful runs.")
    return course(text, "s", *quantiles("job_duration_seconds", 'outcome="done"'))


def _claimed() -> Panel:
    text = Text("Jobs claimed", "By host.", ("IngestdQueueNotDraining",))
    query = Query(f"60 * {rate('jobs_claimed_total', 'instance')}", "{{instance}}")
    return course(text, "cpm", query, stacked=True)


def _batches() -> Panel:
    alerts = ("IngestdBatchesFailed", "IngestdBatchesInvalid", "IngestdBatchesGivenUp")
    text = Text("Batches by status", "All but imported batches. Given up: failed in every retry.", alerts)
    given_up = Query(database("batches_given_up"), "given up")
    by_status = Query(database("batches", "status"), "{{status}}")
    return course(text, "none", by_status, given_up, colours={"given up": RED})


def items_by_decision() -> list[Panel]:
    return [_items(), _failures(), _waiting()]


def _items() -> Panel:
    text = Text("Items", "Decisions of imports.")
    query = Query(rate("items_total", "decision"), "{{decision}}")
    return course(text, "cps", query, stacked=True, width=12)


def _failures() -> Panel:
    alerts = ("IngestdItemFailureRatioHigh", "IngestdPoisonItem", "IngestdInternalErrors")
    text = Text("Failures", "Failed items and containers by reason.", alerts)
    query = Query(f"60 * {rate('item_failures_total', 'reason')}", "{{reason}}")
    return course(text, "cpm", query, stacked=True, width=6, colours={"poison": RED, "internal_error": RED})


def _waiting() -> Panel:
    text = Text("Items waiting", "Deferred items, and the age of the oldest (right).", ("IngestdItemsWaitingTooLong",))
    items = Query(database("items_waiting"), "items")
    oldest = Query(database("items_waiting_oldest_age_seconds"), "oldest")
    right = [model.DynamicConfigValue("unit", "s"), model.DynamicConfigValue("custom.axisPlacement", "right")]
    return course(text, "none", items, oldest, width=6).override_by_name("oldest", right)


def running_jobs() -> list[Panel]:
    return [_running(), _heartbeats()]


def _running() -> Panel:
    about = "Heartbeats come with every chunk, and every few seconds while there is progress."
    text = Text("Running jobs", about, ("IngestdHeartbeatLate", "IngestdHeartbeatNotReset"))
    columns = {
        name: Query(database(name, "sync_id", "worker")) for name in ("job_heartbeat_age_seconds", "job_progress_ratio")
    }
    jobs = rows_of(text, *columns.values(), transformations=_as_columns("heartbeat age", "progress"), width=16)
    jobs.override_by_name("sync_id", [_operator_page()]).override_by_name("heartbeat age", _seconds())
    return jobs.override_by_name("progress", _share())


def _as_columns(*titles: str) -> list[model.DataTransformerConfig]:
    """One line per sync_id and worker, with one column per query."""
    values = [f"Value #{chr(ord('A') + number)}" for number in range(len(titles))]
    order = {name: place for place, name in enumerate(("sync_id", "worker", *values))}
    renamed = dict(zip(values, titles, strict=True))
    organize = {"excludeByName": {"Time": True}, "renameByName": renamed, "indexByName": order}
    return [
        model.DataTransformerConfig(id_val="merge", options={}),
        model.DataTransformerConfig(id_val="organize", options=organize),
    ]


def _operator_page() -> model.DynamicConfigValue:
    link = {"title": "Open the batch page", "url": OPERATOR + "/batches/${__value.raw}", "targetBlank": True}
    return model.DynamicConfigValue("links", [link])


def _seconds() -> list[model.DynamicConfigValue]:
    # Half and all of the default of worker.stale_after.
    steps = thresholds(((None, GREEN), (450, ORANGE), (900, RED))).build()
    cell = model.DynamicConfigValue("custom.cellOptions", {"type": "color-background", "mode": "basic"})
    return [model.DynamicConfigValue("unit", "s"), model.DynamicConfigValue("thresholds", steps), cell]


def _share() -> list[model.DynamicConfigValue]:
    limits = [model.DynamicConfigValue("min", 0), model.DynamicConfigValue("max", 1)]
    cell = model.DynamicConfigValue("custom.cellOptions", {"type": "gauge", "mode": "basic"})
    return [model.DynamicConfigValue("unit", "percentunit"), *limits, cell]


def _heartbeats() -> Panel:
    text = Text("Age of heartbeats", "Above the line, a job is reset to the queue.", ("IngestdStaleResets",))
    ages = Query(database("job_heartbeat_age_seconds", "sync_id", "worker"), "{{sync_id}} {{worker}}")
    limit = Query(f"min (ingestd_stale_threshold_seconds{ALL})", "reset")
    return course(text, "s", ages, limit, colours={"reset": RED})
