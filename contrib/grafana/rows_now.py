"""The first row: the current state at a glance."""

from grafana_foundation_sdk.models import common as common_model
from panels import ALL, CHOSEN, Panel, Query, Text, database, local, matching, number
from style import FEW_IS_GOOD, GREEN, NONE_IS_GOOD, ORANGE, RED, YELLOW, Steps, words

RATIO: Steps = ((None, GREEN), (0.01, YELLOW), (0.1, RED))
WAIT: Steps = ((None, GREEN), (900, YELLOW), (3600, RED))
DAY: Steps = ((None, GREEN), (21600, YELLOW), (86400, RED))
HEARTBEAT: Steps = ((None, GREEN), (0.5, ORANGE), (1, RED))
RESETS: Steps = ((None, GREEN), (0.5, YELLOW), (1.5, RED))


def now() -> list[Panel]:
    return [
        *(_hosts_down(), _database(), _mount(), _paused(), _running(), _queued(), _oldest_job(), _items_failing()),
        *(_batches(), _items_waiting(), _waiting_longest(), _heartbeat(), _stale_resets(), _poison(), _versions()),
    ]


def _hosts_down() -> Panel:
    text = Text("Hosts down", "Daemons that did not respond to the last scrape.", ("IngestdAllDown", "IngestdDown"))
    down = f"count (up{CHOSEN}) - sum (up{CHOSEN})"
    return number(text, "none", Query(down, "hosts"), steps=NONE_IS_GOOD, none="no hosts")


def _database() -> Panel:
    text = Text("Database", "Whether all hosts can reach the database.", ("IngestdDatabaseUnreachable",))
    mappings = words(reachable=(1, GREEN), unreachable=(0, RED))
    return number(text, "none", Query(local("database_up", how="min"), "database"), mappings=mappings)


def _mount() -> Panel:
    text = Text("Mount", "Whether all hosts can read the mount.", ("IngestdMountUnavailable",))
    mappings = words(readable=(1, GREEN), unavailable=(0, RED))
    return number(text, "none", Query(local("mount_up", how="min"), "mount"), mappings=mappings)


def _paused() -> Panel:
    text = Text("Queue", "While the queue is paused, no host claims jobs.", ("IngestdPaused",))
    mappings = words(open=(0, GREEN), paused=(1, ORANGE))
    return number(text, "none", Query(database("paused"), "queue"), mappings=mappings)


def _running() -> Panel:
    return number(Text("Running", "Jobs being imported."), "none", Query(_jobs("running"), "running"))


def _queued() -> Panel:
    return number(Text("Queued", "Jobs waiting for a worker."), "none", Query(_jobs("queued"), "queued"))


def _jobs(state: str) -> str:
    jobs = matching(ALL, f'state="{state}"')
    return f"max (ingestd_queue_jobs{jobs})"


def _oldest_job() -> Panel:
    alerts = ("IngestdQueueWaitHigh", "IngestdQueueNotDraining")
    text = Text("Oldest job", "Age of the oldest queued job.", alerts)
    return number(text, "s", Query(database("queue_oldest_job_age_seconds"), "age"), steps=WAIT)


def _items_failing() -> Panel:
    text = Text("Items failing", "Failed share of the items in the last hour.", ("IngestdItemFailureRatioHigh",))
    failed = matching(CHOSEN, 'decision="failed"')
    ratio = f"sum (increase(ingestd_items_total{failed}[1h])) / (sum (increase(ingestd_items_total{CHOSEN}[1h])) > 0)"
    return number(text, "percentunit", Query(ratio, "failing"), steps=RATIO, none="no items")


def _batches() -> Panel:
    alerts = ("IngestdBatchesFailed", "IngestdBatchesInvalid", "IngestdBatchesHeld")
    text = Text(
        "Batches that need attention",
        "Failed, partial, invalid and held batches, until they are queued, approved or delivered again.",
        alerts,
    )
    unwell = matching(ALL, 'status=~"failed|partial|invalid|held"')
    query = Query(f"max by (status) (ingestd_batches{unwell})", "{{status}}")
    return number(text, "none", query, steps=FEW_IS_GOOD, width=6)


def _items_waiting() -> Panel:
    text = Text("Items waiting", "Deferred items waiting for their parent.")
    return number(text, "none", Query(database("items_waiting"), "items"))


def _waiting_longest() -> Panel:
    text = Text("Waiting longest", "Age of the oldest deferred item.", ("IngestdItemsWaitingTooLong",))
    return number(text, "s", Query(database("items_waiting_oldest_age_seconds"), "age"), steps=DAY)


def _heartbeat() -> Panel:
    about = "Of a running job, relative to the age at which it is reset to the queue."
    text = Text("Oldest heartbeat", about, ("IngestdHeartbeatLate", "IngestdHeartbeatNotReset"))
    share = f"{database('job_heartbeat_age_seconds')} / min (ingestd_stale_threshold_seconds{ALL})"
    return number(text, "percentunit", Query(share, "heartbeat"), steps=HEARTBEAT, none="none running")


def _stale_resets() -> Panel:
    text = Text("Stale resets", "Jobs taken from dead or silent workers in the last hour.", ("IngestdStaleResets",))
    return number(
        text, "none", Query(f"sum (increase(ingestd_stale_resets_total{CHOSEN}[1h]))", "resets"), steps=RESETS
    )


def _poison() -> Panel:
    text = Text("Poison items", "Items that crashed three workers, in the last hour.", ("IngestdPoisonItem",))
    poison = matching(CHOSEN, 'reason="poison"')
    query = Query(f"sum (increase(ingestd_item_failures_total{poison}[1h]))", "items")
    return number(text, "none", query, steps=NONE_IS_GOOD)


def _versions() -> Panel:
    text = Text("Versions", "More than one during a deployment.")
    name = common_model.BigValueTextMode.NAME
    return number(text, "none", Query(local("build_info", "version"), "{{version}}"), shows=name)
