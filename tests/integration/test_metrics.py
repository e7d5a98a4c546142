"""Contents of a scrape, over a real listener, also while the database is frozen."""

import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from ingestd import logs
from ingestd.app import Daemon
from ingestd.errors import CannotListen, MountUnavailable
from ingestd.model import DECIDED, FAILURES
from ingestd.pipeline.claims import claim
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.importer.run import Run
from ingestd.pipeline.pausing import pause
from ingestd.pipeline.queueing import QueueRequest, enqueue
from support.disposable_db import disposable_world, frozen
from support.programs import demand
from support.scraped import daemon_of, get
from support.wait import stop_event, until
from support.world import World, cover, photo, sample

DECISIONS = [decision.value for decision in DECIDED]
REASONS = [reason.value for reason in FAILURES]
KINDS = ["deadlock", "lock_wait", "connection", "timeout", "other"]
OUTCOMES = ["done", "failed", "released", "lost"]
DATABASE_WIDE: dict[str, dict[str, list[str]]] = {
    "queue_jobs": {"state": ["waiting", "queued", "running"]},
    "queue_oldest_job_age_seconds": {},
    "paused": {},
    "batches": {"status": ["new", "ready", "invalid", "queued", "importing", "partial", "failed"]},
    "batches_given_up": {},
    "items_waiting": {},
    "items_waiting_oldest_age_seconds": {},
}
LOCAL: dict[str, dict[str, list[str]]] = {
    "database_up": {},
    "database_scrape_duration_seconds": {},
    "mount_up": {},
    "scan_last_success_timestamp_seconds": {},
    "sentinels_unrecorded": {},
    "workers": {"state": ["idle", "busy"]},
    "stale_threshold_seconds": {},
    "scan_interval_seconds": {},
    "draining": {},
    "items_total": {"decision": DECISIONS},
    "item_failures_total": {"reason": REASONS},
    "jobs_claimed_total": {},
    "stale_resets_total": {},
    "leases_lost_total": {},
    "jobs_finished_total": {"outcome": OUTCOMES},
    "batches_discovered_total": {"source": ["inotify", "poll", "scan"]},
    "scans_total": {"result": ["ok", "error"]},
    "heartbeats_total": {"result": ["ok", "error"]},
    "preflights_total": {"result": ["ok", "failed"]},
    "database_errors_total": {"kind": KINDS},
    "documents_read_bytes_total": {},
    "log_lines_dropped_total": {},
    "job_duration_seconds_count": {"outcome": OUTCOMES},
    "job_queue_wait_seconds_count": {},
    "discovery_delay_seconds_count": {},
    "chunk_duration_seconds_count": {},
    "scan_duration_seconds_count": {},
}


def labelled(expected: dict[str, dict[str, list[str]]]) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    found: set[tuple[str, tuple[tuple[str, str], ...]]] = set()
    for name, labels in expected.items():
        found |= {(name, ((label, value),)) for label, values in labels.items() for value in values}
        found |= set() if labels else {(name, ())}
    return found


def test_every_value_of_every_label_is_there_from_the_start(world: World) -> None:
    lost = logs.dropped()  # by earlier tests in this process, too
    with daemon_of(world) as scraped:
        samples = scraped.samples()
        assert labelled({**DATABASE_WIDE, **LOCAL}) <= set(samples)
        assert samples.pop(("log_lines_dropped_total", ())) == lost
        counters = {key: value for key, value in samples.items() if key[0].endswith("_total")}
        moved = {name for (name, _), value in counters.items() if value}
        assert moved <= {"scans_total", "process_cpu_seconds_total"}
        assert samples["database_up", ()] == 1
        assert samples["mount_up", ()] == 1
        assert samples["stale_threshold_seconds", ()] == 900
        assert samples["workers", (("state", "idle"),)] == 4
        assert "process_start_time_seconds" in {name for name, _ in samples}
        assert not [name for name, _ in samples if name.endswith("_created")]


def test_promtool_finds_nothing_to_say(world: World) -> None:
    tool = demand("promtool", "prometheus")
    with daemon_of(world) as scraped:
        text = get(scraped.address)
    checked = subprocess.run([tool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_an_import_moves_the_counters(world: World) -> None:
    with daemon_of(world, queue={"auto": ["create"]}) as scraped:
        world.file(f"{photo('a')['path']}/source/source.json", b'{"a": 1}')
        world.put(photo("a"), photo("b"), cover("c", "unknown"), {"type": "photo", "hash": "bad"})
        until(lambda: scraped.value("jobs_finished_total", outcome="done") == 1)
        samples = scraped.samples()
        assert samples["items_total", (("decision", "created"),)] == 2
        assert samples["items_total", (("decision", "deferred"),)] == 1
        assert samples["items_total", (("decision", "failed"),)] == 1
        assert samples["item_failures_total", (("reason", "bad_entry"),)] == 1
        assert samples["batches_discovered_total", (("source", "inotify"),)] == 1
        assert samples["jobs_claimed_total", ()] == 1
        assert samples["preflights_total", (("result", "failed"),)] == 1
        assert samples["documents_read_bytes_total", ()] > 0
        assert samples["job_duration_seconds_count", (("outcome", "done"),)] == 1
        for name in ("job_queue_wait_seconds", "discovery_delay_seconds"):
            assert samples[f"{name}_count", ()] == 1
        assert samples["chunk_duration_seconds_count", ()] >= 2
        assert samples["scan_duration_seconds_count", ()] >= 1
        # The job counts as finished before its last transaction has ended.
        until(lambda: scraped.value("batches", status="partial") == 1)
        assert scraped.value("items_waiting") == 1
        assert 0 < (scraped.value("items_waiting_oldest_age_seconds") or 0) < 60


def test_a_lease_lost_and_a_scan_that_failed_are_counted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    context = world.context()
    sync_id = world.put(photo("a"))
    world.scan(context)
    enqueue(context, QueueRequest(sync_id, "tester"))
    lease = claim(context, "test/pid:1/0", str(this_instance()))
    assert lease is not None
    world.sql("UPDATE import_job SET claim_token = claim_token + 1")
    assert Run(context, lease, stop_event()).execute() == "lost"
    assert sample(context, "leases_lost_total") == 1
    monkeypatch.setattr(
        context.mount, "list_sentinels", lambda *_, **__: (_ for _ in ()).throw(MountUnavailable("gone"))
    )
    with pytest.raises(MountUnavailable):
        world.scan(context)
    assert sample(context, "scans_total", result="error") == 1
    assert sample(context, "scans_total", result="ok") == 1


def test_queued_and_running_jobs_are_reported(world: World) -> None:
    context = world.context()
    first, second = world.put(photo("a"), day=1), world.put(photo("b"), day=2)
    world.scan(context)
    for sync_id in (first, second):
        enqueue(context, QueueRequest(sync_id, "tester"))
    pause(context, "tester", "a look around")
    world.sql(
        "UPDATE import_job SET state = 'running', claimed_by = 'far/pid:1/0', items_done = 1, items_total = 4,"
        " heartbeat_at = UTC_TIMESTAMP(6) - INTERVAL 100 SECOND ORDER BY id LIMIT 1"
    )
    world.sql("UPDATE import_job SET queued_at = queued_at - INTERVAL 50 SECOND WHERE state = 'queued'")
    with daemon_of(world) as scraped:
        samples = scraped.samples()
        labels = (("sync_id", first), ("worker", "far/pid:1/0"))
        assert 100 <= samples["job_heartbeat_age_seconds", labels] < 160
        assert samples["job_progress_ratio", labels] == 0.25
        assert 50 <= samples["queue_oldest_job_age_seconds", ()] < 110
        assert samples["queue_jobs", (("state", "queued"),)] == 1
        assert samples["queue_jobs", (("state", "running"),)] == 1
        assert samples["paused", ()] == 1
    with daemon_of(world, metrics={"listen": "127.0.0.1:0", "per_job": False}) as scraped:
        assert not [name for name, _ in scraped.samples() if name.startswith("job_heartbeat_age")]


def test_there_is_nothing_but_metrics(world: World) -> None:
    with daemon_of(world) as scraped:
        for path in ("/", "/metrics/", "/favicon.ico"):
            with pytest.raises(urllib.error.HTTPError) as refused:
                get(scraped.address, path)
            with refused.value:
                assert refused.value.code == 404


def test_an_address_in_use_is_said(world: World) -> None:
    with daemon_of(world) as scraped:
        other = Daemon(world.settings(metrics={"listen": scraped.address}))
        with pytest.raises(CannotListen, match=rf"cannot listen on {scraped.address}: .*\[metrics\] listen"):
            other.start()
        other.stop()


@pytest.fixture
def disposable_db(world: World) -> Iterator[World]:
    with disposable_world(world) as made:
        yield made


def test_a_frozen_database_costs_its_own_metrics_and_at_most_three_seconds(disposable_db: World) -> None:
    with daemon_of(disposable_db) as scraped:
        until(lambda: scraped.value("database_up") == 1)
        with frozen(disposable_db):
            until(lambda: scraped.value("database_up") == 0)
            assert (scraped.value("database_scrape_duration_seconds") or 0.0) < 3
            samples = scraped.samples()
            assert labelled(LOCAL) <= set(samples)
            assert not labelled(DATABASE_WIDE) & set(samples)
        until(lambda: scraped.value("database_up") == 1)
        assert labelled(DATABASE_WIDE) <= set(scraped.samples())
