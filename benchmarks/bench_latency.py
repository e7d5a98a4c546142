"""Latency from a sentinel to its `job_claimed` event, on an idle daemon with inotify and queue.auto.

Compared with a bare script that does the same reads and SQL statements one after another.
"""

import hashlib
import json
import os
import sys
import time
from typing import Any

from common import Bench, bench, lean_item, median, put, report

from ingestd.app import Daemon
from ingestd.config import Settings
from ingestd.format.manifest import parse_manifest

BUNDLES = int(os.environ.get("BUNDLES", "15"))
ROUNDS = int(os.environ.get("ROUNDS", "5"))


def main() -> None:
    ratios = []
    with bench() as world:
        for number in range(ROUNDS):
            ours, bare = round_of(world, number)
            ratios.append(ours / bare)
            print(f"  ingestd {ours * 1000:.1f} ms; bare script {bare * 1000:.1f} ms", flush=True)
    report("latency relative to a bare script", ratios, "at most 4", median(ratios) <= 4)
    sys.exit(0 if median(ratios) <= 4 else 1)


def round_of(world: Bench, number: int) -> tuple[float, float]:
    """Median seconds of the daemon and of the script, bundle by bundle in turn."""
    settings = world.settings(queue={"auto": ["create"]}, mount={"watch": "inotify", "verify": "none"})
    daemon = Daemon(settings)
    daemon.start()
    try:
        wait_for(lambda: daemon.watcher.kind == "inotify" and daemon.scanner.last_success is not None)
        with_daemon(world, f"{number}/warm")
        ours = [with_daemon(world, f"{number}/{i}") for i in range(BUNDLES)]
    finally:
        daemon.stop()
    return median(ours), median([with_script(world, settings, f"{number}/bare/{i}") for i in range(BUNDLES)])


def with_daemon(world: Bench, salt: str) -> float:
    """Seconds, by the database's clock, from just before the sentinel to the claim."""
    before = world.sql("SELECT UTC_TIMESTAMP(6)")[0][0]
    sync_id = put(world, [lean_item(0, salt)])
    claimed = "SELECT e.created_at FROM ingest_event e JOIN ingest_batch b ON b.id = e.batch_id"
    found = wait_for(lambda: world.sql(f"{claimed} WHERE b.sync_id = '{sync_id}' AND e.event_type = 'job_claimed'"))
    wait_for(lambda: world.sql(f"SELECT 1 FROM ingest_batch WHERE sync_id = '{sync_id}' AND status = 'imported'"))
    seconds: float = (found[0][0] - before).total_seconds()
    return seconds


def with_script(world: Bench, settings: Settings, salt: str) -> float:
    """Seconds for the same work on one connection."""
    connection = world.owner()
    with connection.cursor() as cursor:
        cursor.execute("SELECT UTC_TIMESTAMP(6)")
        before = cursor.fetchone()[0]
        sync_id = put(world, [lean_item(0, salt)])
        bare(cursor, (settings.mount.root / "sync" / f"{sync_id}.json").read_bytes(), sync_id)
        cursor.execute("SELECT created_at FROM ingest_event ORDER BY id DESC LIMIT 1")
        after = cursor.fetchone()[0]
    connection.close()
    seconds: float = (after - before).total_seconds()
    return seconds


def bare(cursor: Any, data: bytes, sync_id: str) -> None:
    """Record, queue, claim: the statements of the daemon, in three transactions."""
    manifest = parse_manifest(data, sync_id=sync_id)
    event = "INSERT INTO ingest_event (batch_id, event_type, payload) VALUES (%s, %s, %s)"
    cursor.execute("BEGIN")
    cursor.execute("SELECT id FROM ingest_batch WHERE sync_id = %s FOR UPDATE", (sync_id,))
    cursor.execute("SELECT UTC_TIMESTAMP(6)")
    cursor.execute(
        "INSERT INTO ingest_batch (sync_id, type, action, status, item_count, manifest_sha256, manifest_summary,"
        " manifest_completed_at, discovered_at)"
        " VALUES (%s, %s, %s, 'new', 1, %s, %s, %s, UTC_TIMESTAMP(6)) RETURNING id",
        (sync_id, manifest.type, manifest.action.value, hashlib.sha256(data).hexdigest(),
         json.dumps(manifest.summary), manifest.completed_at),
    )  # fmt: skip
    batch_id = cursor.fetchone()[0]
    cursor.execute(event, (batch_id, "scan", json.dumps({"phase": "scan", "manifest_path": f"sync/{sync_id}.json"})))
    cursor.execute("COMMIT")
    cursor.execute("BEGIN")
    cursor.execute("SELECT id FROM ingest_batch WHERE sync_id = %s FOR UPDATE", (sync_id,))
    cursor.execute("SELECT id FROM import_job WHERE active_batch_id = %s", (batch_id,))
    cursor.execute("INSERT INTO import_job (batch_id, state, queued_at, items_total)"
                   " VALUES (%s, 'queued', UTC_TIMESTAMP(6), 1) RETURNING id", (batch_id,))  # fmt: skip
    job_id = cursor.fetchone()[0]
    cursor.execute("UPDATE ingest_batch SET status = 'queued' WHERE id = %s", (batch_id,))
    cursor.execute(event, (batch_id, "job_queued", json.dumps({"phase": "job_queue", "job_id": job_id})))
    cursor.execute("COMMIT")
    cursor.execute("BEGIN")
    cursor.execute("SELECT paused FROM ingest_control WHERE id = 1")
    cursor.execute("SELECT id, claim_token FROM import_job WHERE state = 'queued' ORDER BY priority, id LIMIT 1"
                   " FOR UPDATE SKIP LOCKED")  # fmt: skip
    cursor.execute("UPDATE import_job SET state = 'running', claim_token = claim_token + 1,"
                   " claimed_at = UTC_TIMESTAMP(6), claimed_by = 'bare', heartbeat_at = UTC_TIMESTAMP(6)"
                   " WHERE id = %s AND state = 'queued'", (job_id,))  # fmt: skip
    started = "UPDATE ingest_batch SET status = 'importing', started_at = UTC_TIMESTAMP(6) WHERE id = %s"
    cursor.execute(started, (batch_id,))
    cursor.execute(event, (batch_id, "job_claimed", json.dumps({"phase": "job_claim", "job_id": job_id})))
    cursor.execute("COMMIT")
    cursor.execute("UPDATE import_job SET state = 'done' WHERE id = %s", (job_id,))


def wait_for(condition: Any, seconds: float = 30.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.005)
    return value


if __name__ == "__main__":
    main()
