"""Every command as an operator or a script calls it: what it prints where, and what it ends with."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingestd import cli, config
from ingestd.app import Daemon
from ingestd.cli import look, output
from ingestd.cli.session import Session
from ingestd.config import Settings
from ingestd.errors import DatabaseUnavailable
from ingestd.mount.mountinfo import MountPoint
from ingestd.pipeline import queueing
from ingestd.pipeline.context import Context
from ingestd.pipeline.queueing import Request
from ingestd.store import stats
from support.command import Result, Run, commands
from support.wait import PATIENCE, until
from support.world import World, cover, md5, new_sync_id, photo

# The driver leaves the socket of a connection that it could not make to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")
HOSTILE = "a\x1b[31mb\nc\td\x9be\u202ef"
BY = Session(None).requested_by
UNPRINTABLE = set("\x1b\x9b\u202e\t")
UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.upper().startswith("INGESTD_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(config, "DEFAULT_FILE", tmp_path / "none.toml")


@pytest.fixture
def reached(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """The world, which the environment tells commands how to reach."""
    monkeypatch.setenv("INGESTD_DATABASE__UNIX_SOCKET", world.server.socket)
    monkeypatch.setenv("INGESTD_DATABASE__USER", "ingestd")
    monkeypatch.setenv("INGESTD_MOUNT__ROOT", str(world.root))
    monkeypatch.setenv("INGESTD_MOUNT__REQUIRE_MOUNT", "false")
    return world


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    with commands(monkeypatch, capsys) as call:
        yield call


@pytest.fixture
def context(reached: World) -> Context:
    """The world's context, for what a command finds there already."""
    return reached.context()


def facts(result: Result) -> dict[str, str]:
    """The lines of properties before a table."""
    return {line.split(None, 1)[0]: line.split(None, 1)[1] for line in result.stdout.splitlines() if "  " in line}


# scan


def test_scan_prints_what_is_new(reached: World, run: Run) -> None:
    sync_id = reached.put(photo("a"), photo("b"))
    result = run("scan")
    assert (result.code, result.stderr) == (0, "")
    assert result.table == [
        {"sync_id": sync_id, "type": "event", "action": "create", "status": "new", "item_count": "2",
         "last_error": "-"}
    ]  # fmt: skip


def test_scan_of_nothing_new_is_no_data(reached: World, run: Run) -> None:
    assert run("scan") == (0, "", "ingestd: nothing new\n")
    assert run("scan", "--json") == (0, "[]\n", "")


def test_scan_prints_json(reached: World, run: Run) -> None:
    sync_id = reached.put(photo("a"))
    (row,) = run("scan", "--json").json
    assert (row["sync_id"], row["status"], row["item_count"]) == (sync_id, "new", 1)
    assert RFC_3339.fullmatch(row["discovered_at"])
    assert row["completed_at"] is None


def test_scan_tells_of_bundles_whose_manifest_is_not_there_yet(reached: World, run: Run) -> None:
    reached.file(f"sync/{UNKNOWN}.ready", b"")
    result = run("scan")
    assert (result.code, result.stdout) == (0, "")
    assert "ingestd: 1 bundles have no readable manifest yet" in result.stderr


# preflight


def test_preflight_prints_the_plan_and_writes_no_library(reached: World, run: Run) -> None:
    sync_id = reached.put(photo("a"), cover("c", "a"), {"hash": HOSTILE})
    run("scan")
    result = run("preflight", sync_id)
    assert (result.code, result.stderr) == (0, "")
    told = facts(result)
    assert (told["sync_id"], told["items"], told["will_create"], told["will_fail"]) == (sync_id, "3", "1", "1")
    assert result.stdout.splitlines()[-1].startswith("will fail: invalid #2: ")
    assert not any(reached.library().values())
    plan = run("preflight", sync_id, "--json").json
    assert plan["sync_id"] == sync_id
    assert plan["counts"]["will_link"] == 1


def test_preflight_of_what_it_cannot_plan(reached: World, run: Run) -> None:
    invalid = reached.put(photo("a"), status="uploading")
    run("scan")
    result = run("preflight", invalid)
    assert (result.code, result.stdout) == (3, "")
    assert re.fullmatch(rf"ingestd: batch {invalid} is invalid: status: .*uploading.*\n", result.stderr)


@pytest.mark.parametrize("arguments", [["preflight"], ["cancel"], ["status"], ["status", "--json"], ["queue"]])
def test_an_unknown_batch_is_not_found(reached: World, run: Run, arguments: list[str]) -> None:
    result = run(*arguments, UNKNOWN)
    assert result.code == 3
    assert f"there is no batch {UNKNOWN}" in (result.stdout if arguments == ["queue"] else result.stderr)


@pytest.mark.parametrize("command", ["status", "queue", "cancel", "preflight", "pause --reason"])
def test_bytes_that_are_no_text_are_wrong_usage(reached: World, run: Run, command: str) -> None:
    result = run(*command.split(), "\udcff")
    assert (result.code, result.stdout) == (2, "")
    assert "is no" in result.stderr


@pytest.mark.parametrize("command", ["status", "queue", "cancel", "preflight"])
def test_what_can_be_no_sync_id_is_wrong_usage(reached: World, run: Run, command: str) -> None:
    result = run(command, "ü")
    assert (result.code, result.stdout) == (2, "")
    assert "ü is no sync_id" in result.stderr
    assert run(command, "'\\%_ --").code == 3


# queue and cancel


def test_queue_prints_what_became_of_each_and_ends_with_the_worst(reached: World, run: Run) -> None:
    good, invalid = reached.put(photo("a")), reached.put(photo("b"), status="uploading")
    run("scan")
    result = run("queue", good, invalid, UNKNOWN, good, "--priority", "7")
    assert (result.code, result.stderr) == (3, "")
    first, second, third, again = result.table
    assert (first["sync_id"], first["state"], first["priority"], first["is_new"]) == (good, "queued", "7", "yes")
    assert (second["sync_id"], second["job_id"], second["state"]) == (invalid, "-", "-")
    assert second["error"].startswith(f"batch {invalid} is invalid: status: ")
    assert third["error"].startswith(f"there is no batch {UNKNOWN}")
    assert (again["job_id"], again["is_new"], again["error"]) == (first["job_id"], "no", "-")
    assert reached.sql("SELECT priority, requested_by FROM import_job") == [(7, BY)]


def test_queue_prints_json(reached: World, run: Run) -> None:
    sync_id = reached.put(photo("a"))
    run("scan")
    result = run("queue", sync_id, UNKNOWN, "--json")
    assert result.code == 3
    made, unknown = result.json
    assert made == {
        "sync_id": sync_id, "job_id": reached.one("SELECT id FROM import_job"), "state": "queued", "priority": 100,
        "is_new": True, "error": None, "exit_status": 0,
    }  # fmt: skip
    assert (unknown["job_id"], unknown["exit_status"]) == (None, 3)


def test_queue_with_another_priority_reprioritises(reached: World, run: Run) -> None:
    sync_id = reached.put(photo("a"))
    run("scan")
    assert run("queue", sync_id).code == 0
    result = run("queue", sync_id, "--priority", "-1")
    assert (result.code, result.table[0]["priority"], result.table[0]["is_new"]) == (0, "-1", "no")


def test_a_batch_that_removes_too_much_needs_force(
    reached: World, run: Run, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached.import_all(context, reached.put(photo("a"), photo("b"), day=1))
    removal = reached.put(*({"type": "photo", "hash": md5(name)} for name in "ab"), action="remove", day=2)
    run("scan")
    monkeypatch.setenv("INGESTD_QUEUE__REMOVAL_LIMIT", "1")
    refused = run("queue", removal)
    assert refused.code == 3
    assert "would remove 2 assets, more than queue.removal_limit = 1" in refused.table[0]["error"]
    assert run("queue", removal, "--force").table[0]["state"] == "queued"


def test_only_and_reimport_choose_the_items(reached: World, run: Run, context: Context) -> None:
    sync_id = reached.put(photo("a"), cover("c", "absent"))
    reached.import_all(context, sync_id)
    result = run("queue", sync_id, "--only", "failed")
    assert (result.code, result.table[0]["error"]) == (3, f"batch {sync_id} has no failed items")
    assert run("queue", sync_id, "--only", "deferred").code == 0
    assert reached.one("SELECT scope FROM import_job ORDER BY id DESC LIMIT 1") == "deferred"
    assert run("cancel", sync_id).code == 0
    assert run("queue", sync_id, "--reimport").code == 0
    assert set(reached.decisions(sync_id).values()) == {"pending"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["queue"],
        ["queue", UNKNOWN, "--only", "created"],
        ["queue", UNKNOWN, "--only", "failed", "--reimport"],
        ["queue", UNKNOWN, "--priority", "high"],
        ["queue", UNKNOWN, "--priority", "2147483648"],
        ["preflight"],
        ["cancel", UNKNOWN, UNKNOWN],
        ["status", "--items"],
        ["status", "--follow"],
        ["batches", "--status", "lost"],
        ["batches", "--limit", "0"],
        ["scan", "--quick"],
        ["destroy"],
        [],
    ],
)
def test_wrong_usage(reached: World, run: Run, arguments: list[str]) -> None:
    result = run(*arguments)
    assert (result.code, result.stdout) == (2, "")
    assert "Usage: " in result.stderr


def test_an_outage_ends_queueing_but_tells_what_was_done(
    reached: World, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = reached.put(photo("a")), reached.put(photo("b"))
    run("scan")
    real = queueing.queue_and_notify

    def gone_after_the_first(context: Context, request: Request) -> Any:
        if request.sync_id == second:
            raise DatabaseUnavailable("the database is out of reach")
        return real(context, request)

    monkeypatch.setattr(queueing, "queue_and_notify", gone_after_the_first)
    result = run("queue", first, second, UNKNOWN)
    assert (result.code, result.stderr) == (69, "ingestd: the database is out of reach\n")
    assert [row["sync_id"] for row in result.table] == [first]


def test_cancel(reached: World, run: Run) -> None:
    sync_id = reached.put(photo("a"))
    run("scan")
    run("queue", sync_id)
    result = run("cancel", sync_id, "--json")
    assert (result.code, result.stderr) == (0, "")
    (row,) = result.json
    assert (row["sync_id"], row["state"]) == (sync_id, "cancelled")
    again = run("cancel", sync_id)
    assert again == (3, "", f"ingestd: batch {sync_id} has no job to cancel\n")


def test_a_running_job_is_not_cancelled(reached: World, run: Run) -> None:
    sync_id = reached.put(photo("a"))
    run("scan")
    run("queue", sync_id)
    reached.sql("UPDATE import_job SET state = 'running'")
    result = run("cancel", sync_id)
    assert (result.code, result.stdout) == (3, "")
    assert "is running; only stopping the service stops it" in result.stderr


# pause and resume


def test_pause_and_resume_print_no_data(reached: World, run: Run) -> None:
    assert run("pause", "--reason", "disk swap") == (0, "", "ingestd: paused\n")
    assert run("pause") == (0, "", "ingestd: was paused already\n")
    told = run("status", "--json").json
    assert (told["paused"], told["paused_by"], told["paused_reason"]) == (True, BY, "disk swap")
    assert RFC_3339.fullmatch(told["paused_at"])
    line = facts(run("status"))["paused"]
    assert re.fullmatch(rf"since \S+Z by {BY}: disk swap", line)
    assert RFC_3339.fullmatch(line.split()[1])
    assert run("resume") == (0, "", "ingestd: resumed\n")
    assert run("resume") == (0, "", "ingestd: was not paused\n")


def test_a_pause_needs_no_reason(reached: World, run: Run) -> None:
    run("pause")
    assert facts(run("status"))["paused"].endswith(": no reason given")


# status


def test_status_of_an_empty_house(reached: World, run: Run) -> None:
    result = run("status")
    assert (result.code, result.stderr) == (0, "")
    assert facts(result) == {"paused": "no", "jobs": "none", "batches": "none open"}
    assert run("status", "--json").json == {
        "paused": False, "paused_by": None, "paused_reason": None, "paused_at": None, "jobs": {}, "batches": {},
        "active_jobs": [],
    }  # fmt: skip


def test_status_tells_what_is_going_on(reached: World, run: Run, context: Context) -> None:
    ids = [reached.put(photo(name)) for name in "abcd"]
    reached.import_all(context, ids[0])
    run("queue", ids[1], "--priority", "9")
    run("queue", ids[2])
    reached.sql("UPDATE import_job SET state = 'running' WHERE state = 'queued' AND priority = 100")
    result = run("status")
    head = "\n".join(result.stdout.splitlines()[:3])
    assert re.search(r"^jobs +1 queued, 1 running$", head, re.MULTILINE)
    assert re.search(r"^batches +1 new, 2 queued$", head, re.MULTILINE)
    table = Result(0, result.stdout.split("\n", 3)[3], "").table
    assert [(row["sync_id"], row["state"], row["progress"]) for row in table] == [
        (ids[2], "running", "0/1"),
        (ids[1], "queued", "0/1"),
    ]
    told = run("status", "--json").json
    assert (told["jobs"], told["batches"]) == ({"queued": 1, "running": 1}, {"new": 1, "queued": 2})
    assert [job["sync_id"] for job in told["active_jobs"]] == [ids[2], ids[1]]


def test_status_of_a_batch(reached: World, run: Run, context: Context) -> None:
    sync_id = reached.put(photo("a"), photo("b"), cover("c", "absent"))
    run("scan")
    never = run("status", sync_id)
    assert (never.code, never.stderr) == (0, "ingestd: this batch was never queued; `ingestd queue` does that\n")
    assert facts(never)["decisions"] == "none yet"
    reached.import_all(context, sync_id)
    result = run("status", sync_id)
    assert (result.code, result.stderr) == (0, "")
    told = facts(result)
    assert (told["status"], told["decisions"]) == ("partial", "2 created, 1 deferred")
    assert RFC_3339.fullmatch(told["discovered_at"])
    assert json.loads(told["manifest_summary"])["verification"]["passed"] is True
    assert " done " in result.stdout.splitlines()[-1]


def test_status_of_a_batch_as_json(reached: World, run: Run, context: Context) -> None:
    sync_id = reached.put(photo("a"))
    reached.import_all(context, sync_id)
    told = run("status", sync_id, "--json").json
    assert (told["sync_id"], told["status"], told["decisions"], told["containers"]) == (
        sync_id, "imported", {"created": 1}, {},
    )  # fmt: skip
    assert told["manifest_summary"]["created_at"].endswith("Z")
    (job,) = told["jobs"]
    assert (job["state"], job["items_done"], job["items_total"]) == ("done", 1, 1)
    moments = [told[key] for key in ("discovered_at", "started_at", "completed_at")]
    moments += [job[key] for key in ("queued_at", "claimed_at", "finished_at")]
    assert all(RFC_3339.fullmatch(moment) for moment in moments)


def test_status_with_items(reached: World, run: Run, context: Context) -> None:
    sync_id = reached.put(photo("a"), cover("c", "absent"))
    run("scan")
    none = run("status", sync_id, "--items")
    assert (none.code, none.stdout) == (0, "")
    assert "this batch has no items yet" in none.stderr
    assert run("status", sync_id, "--items", "--json") == (0, "[]\n", "")
    reached.import_all(context, sync_id)
    created, deferred = run("status", sync_id, "--items").table
    asset_id = reached.one("SELECT id FROM asset")
    assert (created["hash"], created["decision"], json.loads(created["target_ids"])) == (
        md5("a"), "created", {"asset_id": asset_id},
    )  # fmt: skip
    assert (deferred["decision"], deferred["reason"]) == ("deferred", "parent_missing")
    assert deferred["waiting_for"] == deferred["parent_hash"] == md5("absent")
    assert RFC_3339.fullmatch(created["updated_at"])
    first, second = run("status", sync_id, "--items", "--json").json
    assert (first["ordinal"], first["target_ids"], second["ordinal"]) == (0, {"asset_id": asset_id}, 1)


@pytest.mark.parametrize("as_json", [True, False])
def test_items_come_in_pages_without_loss(
    reached: World, run: Run, context: Context, as_json: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look, "PAGE", 3)
    monkeypatch.setattr(output, "PAGE", 2)
    sync_id = reached.put(*(photo(f"p{i}") for i in range(7)))
    reached.import_all(context, sync_id)
    result = run("status", sync_id, "--items", *(["--json"] if as_json else []))
    rows = result.json if as_json else result.table
    assert [row["hash"] for row in rows] == [md5(f"p{i}") for i in range(7)]


def test_follow_waits_for_the_end_of_the_job(
    reached: World, run: Run, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync_id = reached.put(photo("a"))
    run("scan")
    run("queue", sync_id)
    seen: list[str] = []
    newest = look._newest

    def watched(*arguments: Any) -> dict[str, Any] | None:
        found = newest(*arguments)
        assert found is not None
        seen.append(found["state"])
        if len(seen) == 2:
            # Only now, with the command waiting, does somebody take up the job.
            reached.run_next(context)
        return found

    monkeypatch.setattr(look, "FOLLOW_SECONDS", 0.0)
    monkeypatch.setattr(look, "_newest", watched)
    result = run("status", sync_id, "--follow")
    assert result.code == 0
    assert seen == ["queued", "queued", "done"]
    assert sync_id in result.stderr
    assert facts(result)["status"] == "imported"


def test_follow_with_no_job_says_so(reached: World, run: Run, context: Context) -> None:
    sync_id = reached.put(photo("a"))
    run("scan")
    result = run("status", sync_id, "--follow", "--json")
    assert (result.code, result.stderr) == (0, "ingestd: this batch has no job to follow\n")
    assert result.json["status"] == "new"


def test_following_an_ended_job_prints_where_it_stands(reached: World, run: Run, context: Context) -> None:
    sync_id = reached.put(photo("a"))
    reached.import_all(context, sync_id)
    result = run("status", sync_id, "--follow", "--json")
    assert result.json["status"] == "imported"


# batches and jobs


def test_batches(reached: World, run: Run, context: Context) -> None:
    empty = run("batches")
    assert (empty.code, empty.stdout) == (0, "")
    assert empty.stderr.startswith("ingestd: there are no batches")
    first, second = reached.put(photo("a")), reached.put(photo("b"), status="uploading")
    reached.import_all(context, first)
    assert {row["sync_id"]: row["status"] for row in run("batches").table} == {first: "imported", second: "invalid"}
    (invalid,) = run("batches", "--status", "invalid").table
    assert (invalid["sync_id"], invalid["source_host"]) == (second, "-")
    assert invalid["last_error"].startswith("status: ")
    assert RFC_3339.fullmatch(invalid["discovered_at"])
    assert run("batches", "--status", "failed") == (0, "", "ingestd: no batch is failed\n")
    newest = run("batches", "--limit", "1", "--json").json
    assert [row["id"] for row in newest] == [reached.one("SELECT MAX(id) FROM ingest_batch")]
    assert RFC_3339.fullmatch(newest[0]["discovered_at"])


def test_jobs(reached: World, run: Run, context: Context) -> None:
    assert run("jobs") == (0, "", "ingestd: there are no jobs; `ingestd queue` makes one\n")
    assert run("jobs", "--json") == (0, "[]\n", "")
    ids = [reached.put(photo(name)) for name in "abcd"]
    reached.import_all(context, ids[0])
    for sync_id in ids[1:]:
        run("queue", sync_id)
    numbers = [row[0] for row in reached.sql("SELECT id FROM import_job ORDER BY id")]
    reached.sql("UPDATE import_job SET state = 'waiting' WHERE id = %s", numbers[1])
    reached.sql("UPDATE import_job SET state = 'running', claimed_by = 'h/pid:1/0' WHERE id = %s", numbers[3])
    table = run("jobs").table
    assert [(row["sync_id"], row["state"]) for row in table] == [
        (ids[3], "running"), (ids[2], "queued"), (ids[1], "waiting"), (ids[0], "done"),
    ]  # fmt: skip
    assert table[0]["claimed_by"] == "h/pid:1/0"
    assert RFC_3339.fullmatch(table[3]["finished_at"])
    assert [row["id"] for row in run("jobs", "--json").json] == [numbers[3], numbers[2], numbers[1], numbers[0]]


# doctor


def checks(result: Result) -> dict[str, bool]:
    return {finding["check"]: finding["ok"] for finding in result.json}


ALL_CHECKS = {
    "configuration", "mount", "sentinels", "server version", "packet size", "binary log", "clock", "rights",
    "needed rights", "claim index",
}  # fmt: skip


def test_doctor_of_a_healthy_house(reached: World, run: Run) -> None:
    result = run("doctor", "--json")
    assert (result.code, result.stderr) == (0, "")
    assert checks(result) == dict.fromkeys(ALL_CHECKS, True)
    told = run("doctor")
    assert (told.code, told.stderr) == (0, "")
    assert [line[:4] for line in told.stdout.splitlines()] == ["ok  "] * len(ALL_CHECKS)


def test_doctor_finds_an_account_with_too_many_rights(
    reached: World, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INGESTD_DATABASE__USER", "root")
    result = run("doctor")
    assert result.code == 1
    (place,) = (i for i, line in enumerate(result.stdout.splitlines()) if line.startswith("FAIL  rights: may "))
    line, remedy = result.stdout.splitlines()[place : place + 2]
    assert "DELETE" in line
    assert "UPDATE" in line
    assert "sql/grants.sql" in remedy
    assert result.stdout.count("FAIL") == 1


def test_doctor_finds_missing_rights(reached: World, run: Run) -> None:
    reached.sql("REVOKE INSERT, UPDATE ON asset FROM ingestd@localhost")
    reached.sql("REVOKE SELECT ON import_job FROM ingestd@localhost")
    reached.sql("REVOKE UPDATE ON ingest_control FROM ingestd@localhost")
    try:
        findings = {finding["check"]: finding for finding in run("doctor", "--json").json}
    finally:
        reached.server.grant()
    assert not findings["needed rights"]["ok"]
    wanted = "lacks SELECT on import_job, UPDATE on ingest_control, INSERT on asset and 1 more"
    assert findings["needed rights"]["detail"] == wanted
    assert not findings["claim index"]["ok"]
    assert findings["rights"]["ok"]


def test_doctor_reports_a_database_out_of_reach_once(
    reached: World, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("INGESTD_DATABASE__UNIX_SOCKET", str(tmp_path / "nowhere.sock"))
    result = run("doctor", "--json")
    assert result.code == 1
    assert checks(result) == {"configuration": True, "mount": True, "sentinels": True, "database": False}
    assert "nowhere.sock" in result.json[-1]["detail"]


def test_doctor_reports_a_database_that_is_missing(reached: World, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGESTD_DATABASE__USER", "root")
    monkeypatch.setenv("INGESTD_DATABASE__NAME", "other")
    result = run("doctor")
    assert result.code == 1
    assert "ingestd migrate" in result.stdout


def test_doctor_reports_an_absent_mount(reached: World, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGESTD_MOUNT__ROOT", "/nowhere")
    result = run("doctor", "--json")
    assert result.code == 1
    assert checks(result) == {**dict.fromkeys(ALL_CHECKS - {"sentinels"}, True), "mount": False}
    (mount,) = (finding for finding in result.json if finding["check"] == "mount")
    assert "/nowhere" in mount["detail"]


# migrate and run


def test_migrate(reached: World, run: Run, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setenv("INGESTD_MIGRATE__USER", "root")
    assert run("migrate") == (0, "", "ingestd: the schema is up to date\n")
    assert run("migrate", "--json") == (0, "[]\n", "")
    reached.sql("CREATE DATABASE fresh CHARACTER SET utf8mb4")
    request.addfinalizer(lambda: reached.sql("DROP DATABASE fresh"))
    monkeypatch.setenv("INGESTD_DATABASE__NAME", "fresh")
    result = run("migrate")
    assert (result.code, result.stderr) == (0, "")
    assert "0001_ingest" in result.stdout.splitlines()
    assert run("migrate").stdout == ""


def test_run_hands_over_to_the_daemon(reached: World, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Settings] = []
    monkeypatch.setattr(Daemon, "__init__", lambda _, settings, _notifier: started.append(settings))
    monkeypatch.setattr(Daemon, "run", lambda _: None)
    assert run("run") == (0, "", "")
    assert started[0].mount.root == reached.root


def test_run_embedded_makes_migrates_and_tells_how_to_reach_it(
    world: World, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    reached_with: list[Settings] = []

    def look_around(daemon: Daemon) -> None:
        settings = daemon.context.settings
        reached_with.append(settings)
        assert checks_of(daemon.context) == {"paused": 0}
        daemon.context.db.close()

    def checks_of(context: Context) -> dict[str, Any]:
        def paused(tx: Any) -> int:
            with tx.connection.cursor() as cursor:
                cursor.execute("SELECT paused FROM ingest_control")
                return int(cursor.fetchone()[0])

        return {"paused": context.db.read(paused)}

    monkeypatch.setattr(Daemon, "run", look_around)
    result = run("run", "--embedded", tmp_path / "db")
    assert (result.code, result.stdout) == (0, "")
    (settings,) = reached_with
    assert settings.database.user == "ingestd"
    assert f"INGESTD_DATABASE__UNIX_SOCKET={settings.database.unix_socket}" in result.stderr
    assert not Path(settings.database.unix_socket).exists()


# errors on the way


@pytest.mark.parametrize(
    "arguments",
    [["scan"], ["status"], ["batches"], ["jobs"], ["pause"], ["migrate"], ["queue", UNKNOWN, UNKNOWN],
     ["cancel", UNKNOWN], ["status", UNKNOWN]],
)  # fmt: skip
def test_a_database_out_of_reach(
    reached: World, run: Run, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INGESTD_DATABASE__UNIX_SOCKET", "/nowhere/mariadb.sock")
    code, out, err = run(*arguments)
    assert (code, out) == (69, "")
    assert err.startswith("ingestd: the database at /nowhere/mariadb.sock is out of reach: ")
    assert err.count("\n") == 1


def test_an_absent_mount(reached: World, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    sync_id = reached.put(photo("a"))
    run("scan")
    monkeypatch.setenv("INGESTD_MOUNT__ROOT", "/nowhere")
    code, out, err = run("scan")
    assert (code, out, err.count("\n")) == (69, "", 1)
    assert err.startswith("ingestd: ")
    assert run("status", sync_id).code == 0, "looking needs no mount"
    monkeypatch.setenv("INGESTD_MOUNT__ROOT", str(reached.root))
    monkeypatch.setenv("INGESTD_MOUNT__REQUIRE_MOUNT", "true")
    monkeypatch.setattr("ingestd.mount.access.mount_point", lambda *_: MountPoint(1, "0:1", "/", "ext4"))
    assert run("scan").code == 69


def test_a_wrong_configuration_is_told_completely(
    reached: World, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "ingestd.toml"
    file.write_text("[worker]\nthreads = 0\nspeed = 9\n")
    monkeypatch.setenv("INGESTD_SPEED", "9")
    code, out, err = run("--config", file, "status")
    assert (code, out) == (78, "")
    assert all(key in err for key in ("worker.threads", "worker.speed", "INGESTD_SPEED", str(file)))
    assert run("--config", tmp_path / "nowhere.toml", "doctor").code == 78


def test_a_refused_account_is_a_wrong_configuration(reached: World, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGESTD_DATABASE__USER", "stranger")
    code, out, err = run("status")
    assert (code, out, err.count("\n")) == (78, "", 1)
    assert "refuses user 'stranger'" in err


def test_help_and_version_need_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGESTD_NONSENSE", "1")
    assert run("--version").code == 0
    for command in cli.cli.commands:
        result = run(command, "--help")
        assert (result.code, result.stderr) == (0, "")
        assert re.match(rf"Usage: .*ingestd {command} ", result.stdout)


def test_an_interrupted_command_says_so(reached: World, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stats, "active_jobs", interrupted)
    assert run("jobs") == (130, "", "\ningestd: interrupted\n")


# what a terminal must never be made to do


@pytest.fixture
def hostile(reached: World, run: Run) -> str:
    """A batch; whatever could come from outside and is printed, in it and around it, is hostile."""
    sync_id = reached.put(photo("a"))
    run("scan")
    run("queue", sync_id)
    reached.sql("UPDATE import_job SET last_error = %s, claimed_by = %s, requested_by = %s", *[HOSTILE] * 3)
    reached.sql("UPDATE ingest_batch SET source_host = %s, last_error = %s, type = %s", *[HOSTILE] * 3)
    reached.sql("UPDATE ingest_batch_item SET last_error = %s", HOSTILE)
    run("pause", "--reason", HOSTILE)
    return sync_id


@pytest.mark.parametrize("command", ["status", "status ID", "status ID --items", "batches", "jobs"])
def test_hostile_text_is_escaped(run: Run, hostile: str, command: str) -> None:
    arguments = command.replace("ID", hostile).split()
    result = run(*arguments)
    assert "a\\x1b[31mb\\nc\\td\\x9be\\u202ef" in result.stdout
    assert not UNPRINTABLE & set(result.stdout)
    assert HOSTILE in strings(run(*arguments, "--json").json)


def strings(value: Any) -> Iterator[str]:
    """All texts in a JSON value."""
    if isinstance(value, str):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from strings(part)


def test_hostile_text_in_sentences_is_escaped(reached: World, run: Run) -> None:
    sync_id = reached.put(photo("a"), status=HOSTILE)
    scanned = run("scan")
    for result in (scanned, run("preflight", sync_id), run("queue", sync_id), run("status", "\x1b[1m")):
        told = result.stdout + result.stderr
        assert "\\x1b" in told
        assert not UNPRINTABLE & set(told)


# the program as it is installed


def program(*arguments: str) -> Result:
    command = [sys.executable, "-m", "ingestd", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    return Result(done.returncode, done.stdout, done.stderr)


def test_a_clean_command_makes_no_noise(reached: World, context: Context) -> None:
    sync_id = reached.put(photo("a"))
    scanned = program("scan", "--json")
    assert (scanned.code, scanned.stderr) == (0, "")
    assert [row["sync_id"] for row in scanned.json] == [sync_id]
    queued = program("queue", sync_id)
    assert (queued.code, queued.stderr) == (0, "")


def test_the_daemon_runs_until_it_is_told_to_stop(reached: World, tmp_path: Path) -> None:
    sync_id = reached.put(photo("a"))
    others = {"INGESTD_QUEUE__AUTO": '["create"]', "INGESTD_HTTP__LISTEN": "", "INGESTD_METRICS__LISTEN": ""}
    with (tmp_path / "log").open("w") as log:
        command = [sys.executable, "-m", "ingestd", "run"]
        daemon = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env={**os.environ, **others})
    try:
        until(lambda: reached.sql("SELECT 1 FROM ingest_batch WHERE sync_id = %s AND status = 'imported'", sync_id))
    finally:
        daemon.terminate()
        out, _ = daemon.communicate(timeout=PATIENCE)
    assert (daemon.returncode, out) == (0, b"")
    assert "event=started" in (tmp_path / "log").read_text()


def test_a_new_sync_id_is_unknown(reached: World, run: Run) -> None:
    assert run("status", new_sync_id()).code == 3
