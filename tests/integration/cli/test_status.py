"""The commands status, batches and jobs."""

import json
import re
from typing import Any

import pytest

from ingestd.cli import look, output
from ingestd.pipeline.context import Context
from ingestd.records import Job
from support.command import RFC_3339, Result, Run, properties
from support.world import World, cover, md5, photo


def test_status_without_any_batches(configured: World, run: Run) -> None:
    result = run("status")
    assert (result.code, result.stderr) == (0, "")
    assert properties(result) == {"paused": "no", "jobs": "none", "batches": "none open"}
    assert run("status", "--json").json == {
        "paused": False, "paused_by": None, "paused_reason": None, "paused_at": None, "jobs": {}, "batches": {},
        "active_jobs": [],
        "refused_mounts": [], "broken_listings": [], "stuck_bundles": [],
    }  # fmt: skip


def test_status_shows_active_jobs_and_counts(configured: World, run: Run, context: Context) -> None:
    ids = [configured.put(photo(name)) for name in "abcd"]
    configured.import_all(context, ids[0])
    run("queue", ids[1], "--priority", "9")
    run("queue", ids[2])
    configured.sql("UPDATE import_job SET state = 'running' WHERE state = 'queued' AND priority = 100")
    result = run("status")
    head = "\n".join(result.stdout.splitlines()[:3])
    assert re.search(r"^jobs +1 queued, 1 running$", head, re.MULTILINE)
    assert re.search(r"^batches +1 new, 2 queued$", head, re.MULTILINE)
    table = Result(0, result.stdout.split("\n", 3)[3], "").table
    assert [(row["sync_id"], row["state"], row["progress"]) for row in table] == [
        (ids[2], "running", "0/1"),
        (ids[1], "queued", "0/1"),
    ]
    shown = run("status", "--json").json
    assert (shown["jobs"], shown["batches"]) == ({"queued": 1, "running": 1}, {"new": 1, "queued": 2})
    assert [job["sync_id"] for job in shown["active_jobs"]] == [ids[2], ids[1]]


def test_status_of_a_batch(configured: World, run: Run, context: Context) -> None:
    sync_id = configured.put(photo("a"), photo("b"), cover("c", "absent"))
    run("scan")
    never = run("status", sync_id)
    assert (never.code, never.stderr) == (
        0,
        "ingestd: this batch has never been queued; `ingestd queue` queues it\n",
    )
    assert properties(never)["decisions"] == "none yet"
    configured.import_all(context, sync_id)
    result = run("status", sync_id)
    assert (result.code, result.stderr) == (0, "")
    shown = properties(result)
    assert (shown["status"], shown["decisions"]) == ("partial", "2 created, 1 deferred")
    assert RFC_3339.fullmatch(shown["discovered_at"])
    assert json.loads(shown["manifest_summary"])["verification"]["passed"] is True
    assert " done " in result.stdout.splitlines()[-1]


def test_status_of_a_batch_as_json(configured: World, run: Run, context: Context) -> None:
    sync_id = configured.put(photo("a"))
    configured.import_all(context, sync_id)
    shown = run("status", sync_id, "--json").json
    assert (shown["sync_id"], shown["status"], shown["decisions"], shown["containers"]) == (
        sync_id, "imported", {"created": 1}, {},
    )  # fmt: skip
    assert shown["manifest_summary"]["created_at"].endswith("Z")
    (job,) = shown["jobs"]
    assert (job["state"], job["items_done"], job["items_total"]) == ("done", 1, 1)
    moments = [shown[key] for key in ("discovered_at", "started_at", "completed_at")]
    moments += [job[key] for key in ("queued_at", "claimed_at", "finished_at")]
    assert all(RFC_3339.fullmatch(moment) for moment in moments)


def test_status_with_items(configured: World, run: Run, context: Context) -> None:
    sync_id = configured.put(photo("a"), cover("c", "absent"))
    run("scan")
    none = run("status", sync_id, "--items")
    assert (none.code, none.stdout) == (0, "")
    assert "this batch has no items yet" in none.stderr
    assert run("status", sync_id, "--items", "--json") == (0, "[]\n", "")
    configured.import_all(context, sync_id)
    created, deferred = run("status", sync_id, "--items").table
    asset_id = configured.one("SELECT id FROM asset WHERE deleted_at IS NULL")
    assert (created["hash"], created["decision"], json.loads(created["target_ids"])) == (
        md5("a"), "created", {"asset_id": asset_id},
    )  # fmt: skip
    assert (deferred["decision"], deferred["reason"]) == ("deferred", "parent_missing")
    assert deferred["waiting_for"] == deferred["parent_hash"] == md5("absent")
    assert RFC_3339.fullmatch(created["updated_at"])
    first, second = run("status", sync_id, "--items", "--json").json
    assert (first["ordinal"], first["target_ids"], second["ordinal"]) == (0, {"asset_id": asset_id}, 1)


@pytest.mark.parametrize("as_json", [True, False])
def test_items_are_read_in_pages(
    configured: World, run: Run, context: Context, as_json: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look, "PAGE", 3)
    monkeypatch.setattr(output, "PAGE", 2)
    sync_id = configured.put(*(photo(f"p{i}") for i in range(7)))
    configured.import_all(context, sync_id)
    result = run("status", sync_id, "--items", *(["--json"] if as_json else []))
    rows = result.json if as_json else result.table
    assert [row["hash"] for row in rows] == [md5(f"p{i}") for i in range(7)]


def test_follow_waits_for_the_end_of_the_job(
    configured: World, run: Run, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync_id = configured.put(photo("a"))
    run("scan")
    run("queue", sync_id)
    seen: list[str] = []
    newest = look._newest

    def watched(*arguments: Any) -> Job | None:
        found = newest(*arguments)
        assert found is not None
        seen.append(found.state)
        if len(seen) == 2:
            # The job starts only now, while the command waits.
            configured.run_next(context)
        return found

    monkeypatch.setattr(look, "FOLLOW_SECONDS", 0.0)
    monkeypatch.setattr(look, "_newest", watched)
    result = run("status", sync_id, "--follow")
    assert result.code == 0
    assert seen == ["queued", "queued", "done"]
    assert sync_id in result.stderr
    assert properties(result)["status"] == "imported"


def test_follow_without_a_job(configured: World, run: Run, context: Context) -> None:
    sync_id = configured.put(photo("a"))
    run("scan")
    result = run("status", sync_id, "--follow", "--json")
    assert (result.code, result.stderr) == (0, "ingestd: this batch has no job to follow\n")
    assert result.json["status"] == "new"


def test_follow_of_a_finished_job_prints_the_status(configured: World, run: Run, context: Context) -> None:
    sync_id = configured.put(photo("a"))
    configured.import_all(context, sync_id)
    result = run("status", sync_id, "--follow", "--json")
    assert result.json["status"] == "imported"


def test_batches(configured: World, run: Run, context: Context) -> None:
    empty = run("batches")
    assert (empty.code, empty.stdout) == (0, "")
    assert empty.stderr.startswith("ingestd: no batches yet")
    first, second = configured.put(photo("a")), configured.put(photo("b"), status="uploading")
    configured.import_all(context, first)
    assert {row["sync_id"]: row["status"] for row in run("batches").table} == {first: "imported", second: "invalid"}
    (invalid,) = run("batches", "--status", "invalid").table
    assert (invalid["sync_id"], invalid["source_host"]) == (second, "-")
    assert invalid["last_error"].startswith("status: ")
    assert RFC_3339.fullmatch(invalid["discovered_at"])
    assert run("batches", "--status", "failed") == (0, "", "ingestd: no batches match these filters\n")
    newest = run("batches", "--limit", "1", "--json").json
    assert [row["id"] for row in newest] == [configured.one("SELECT MAX(id) FROM ingest_batch")]
    assert RFC_3339.fullmatch(newest[0]["discovered_at"])


def test_jobs(configured: World, run: Run, context: Context) -> None:
    assert run("jobs") == (0, "", "ingestd: no jobs yet; queue a batch with `ingestd queue`\n")
    assert run("jobs", "--json") == (0, "[]\n", "")
    ids = [configured.put(photo(name)) for name in "abcd"]
    configured.import_all(context, ids[0])
    for sync_id in ids[1:]:
        run("queue", sync_id)
    numbers = [row[0] for row in configured.sql("SELECT id FROM import_job ORDER BY id")]
    configured.sql("UPDATE import_job SET state = 'waiting' WHERE id = %s", numbers[1])
    configured.sql("UPDATE import_job SET state = 'running', claimed_by = 'h/pid:1/0' WHERE id = %s", numbers[3])
    table = run("jobs").table
    assert [(row["sync_id"], row["state"]) for row in table] == [
        (ids[3], "running"), (ids[2], "queued"), (ids[1], "waiting"), (ids[0], "done"),
    ]  # fmt: skip
    assert table[0]["claimed_by"] == "h/pid:1/0"
    assert RFC_3339.fullmatch(table[3]["finished_at"])
    assert [row["id"] for row in run("jobs", "--json").json] == [numbers[3], numbers[2], numbers[1], numbers[0]]
