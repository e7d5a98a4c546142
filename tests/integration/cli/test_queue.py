"""The commands queue, cancel, pause and resume."""

import re
from typing import Any

import pytest

from ingestd.errors import DatabaseContention, DatabaseUnavailable
from ingestd.pipeline import queueing
from ingestd.pipeline.context import Context
from ingestd.pipeline.queueing import QueueRequest
from support.command import BY, RFC_3339, UNKNOWN, Run, properties
from support.refusals import refused_events
from support.world import World, cover, md5, photo


def test_queue_prints_each_result_and_exits_with_the_worst_status(configured: World, run: Run) -> None:
    good, invalid = configured.put(photo("a")), configured.put(photo("b"), status="uploading")
    run("scan")
    result = run("queue", good, invalid, UNKNOWN, good, "--priority", "7")
    assert (result.code, result.stderr) == (3, "")
    first, second, third, again = result.table
    assert (first["sync_id"], first["state"], first["priority"], first["is_new"]) == (good, "queued", "7", "yes")
    assert (second["sync_id"], second["job_id"], second["state"]) == (invalid, "-", "-")
    assert second["error"].startswith(f"batch {invalid} is invalid: status: ")
    assert third["error"].startswith(f"there is no batch {UNKNOWN}")
    assert (again["job_id"], again["is_new"], again["error"]) == (first["job_id"], "no", "-")
    assert configured.sql("SELECT priority, requested_by FROM import_job") == [(7, BY)]


def test_batches_are_queued_oldest_first_and_printed_as_named(configured: World, run: Run) -> None:
    created = configured.put(photo("a"), day=1)
    removal = configured.put({"type": "photo", "hash": md5("a")}, action="remove", day=2, prior_sync_id=created)
    run("scan")
    result = run("queue", removal, UNKNOWN, created)
    assert [row["sync_id"] for row in result.table] == [removal, UNKNOWN, created]
    assert [row["state"] for row in result.table] == ["waiting", "-", "queued"]


def test_an_option_that_a_running_job_cannot_take_up_is_refused(configured: World, run: Run) -> None:
    sync_id = configured.put(photo("a"))
    run("scan")
    run("queue", sync_id)
    configured.sql("UPDATE import_job SET state = 'running'")
    assert run("queue", sync_id).code == 0
    result = run("queue", sync_id, "--reimport", "--priority", "3")
    assert result.code == 3
    assert "can no longer take up a new priority or a re-import" in result.table[0]["error"]


def test_queue_prints_json(configured: World, run: Run) -> None:
    sync_id = configured.put(photo("a"))
    run("scan")
    result = run("queue", sync_id, UNKNOWN, "--json")
    assert result.code == 3
    made, unknown = result.json
    assert made == {
        "sync_id": sync_id, "job_id": configured.one("SELECT id FROM import_job"), "state": "queued", "priority": 100,
        "scope": "all", "is_new": True, "error": None, "exit_status": 0,
    }  # fmt: skip
    assert (unknown["job_id"], unknown["exit_status"]) == (None, 3)


def test_queue_again_changes_the_priority(configured: World, run: Run) -> None:
    sync_id = configured.put(photo("a"))
    run("scan")
    assert run("queue", sync_id).code == 0
    result = run("queue", sync_id, "--priority", "-1")
    assert (result.code, result.table[0]["priority"], result.table[0]["is_new"]) == (0, "-1", "no")


def test_removals_above_the_limit_need_force(
    configured: World, run: Run, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured.import_all(context, configured.put(photo("a"), photo("b"), day=1))
    removal = configured.put(*({"type": "photo", "hash": md5(name)} for name in "ab"), action="remove", day=2)
    run("scan")
    monkeypatch.setenv("INGESTD_QUEUE__REMOVAL_LIMIT", "1")
    refused = run("queue", removal)
    assert refused.code == 3
    assert "would remove 2 assets, more than queue.removal_limit = 1" in refused.table[0]["error"]
    assert [row["sync_id"] for row in run("batches", "--status", "held").table] == [removal]
    shown = properties(run("status", removal))
    assert (shown["status"], shown["would_remove"], shown["removed"]) == ("held", "2 assets", "nothing")
    assert "would remove 2 assets" in shown["last_error"]
    counts = {"assets": 2, "files": 0, "members": 0}
    assert run("status", removal, "--json").json["removals"]["expected"] == counts
    assert "1 held" in properties(run("status"))["batches"]
    assert run("queue", removal, "--force").table[0]["state"] == "queued"


def test_only_and_reimport_select_the_items(configured: World, run: Run, context: Context) -> None:
    sync_id = configured.put(photo("a"), cover("c", "absent"))
    configured.import_all(context, sync_id)
    result = run("queue", sync_id, "--only", "failed")
    assert (result.code, result.table[0]["error"]) == (3, f"batch {sync_id} has no failed items or containers")
    assert run("queue", sync_id, "--only", "deferred").code == 0
    assert configured.one("SELECT scope FROM import_job ORDER BY id DESC LIMIT 1") == "deferred"
    assert run("cancel", sync_id).code == 0
    assert run("queue", sync_id, "--reimport").table[0]["scope"] == "reimport"
    assert (run("queue", sync_id).code, run("queue", sync_id, "--only", "deferred").code) == (0, 3)
    assert configured.one("SELECT scope FROM import_job ORDER BY id DESC LIMIT 1") == "reimport"
    assert run("cancel", sync_id).code == 0
    assert list(configured.decisions(sync_id).values()) == ["created", "deferred:parent_missing"]
    assert run("queue", sync_id, "--only", "deferred").code == 0
    assert run("queue", sync_id).table[0]["scope"] == "all"


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
def test_usage_errors(configured: World, run: Run, arguments: list[str]) -> None:
    result = run(*arguments)
    assert (result.code, result.stdout) == (2, "")
    assert "Usage: " in result.stderr


def fail_for(sync_id: str, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets queueing one batch fail, and no other."""
    real = queueing.enqueue

    def enqueue(context: Context, request: QueueRequest) -> Any:
        if request.sync_id == sync_id:
            raise error
        return real(context, request)

    monkeypatch.setattr(queueing, "enqueue", enqueue)


def test_an_outage_stops_queueing_and_prints_what_came_of_each_batch(
    configured: World, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = configured.put(photo("a"), day=1), configured.put(photo("b"), day=2)
    run("scan")
    fail_for(second, DatabaseUnavailable("the database is out of reach"), monkeypatch)
    result = run("queue", first, second, UNKNOWN)
    assert (result.code, result.stderr) == (69, "ingestd: the database is out of reach\n")
    assert [row["sync_id"] for row in result.table] == [first, second, UNKNOWN]
    errors = [row["error"] for row in result.table]
    assert errors == ["-", *["not queued: the database is out of reach"] * 2]


def test_a_batch_that_others_hold_keeps_no_other_from_being_queued(
    configured: World, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, held, last = (configured.put(photo(str(day)), day=day) for day in (1, 2, 3))
    run("scan")
    fail_for(held, DatabaseContention("the database is busy"), monkeypatch)
    result = run("queue", held, first, last)
    assert (result.code, result.stderr) == (69, "")
    assert [(row["sync_id"], row["error"]) for row in result.table] == [
        (held, "the database is busy"), (first, "-"), (last, "-"),
    ]  # fmt: skip


def test_cancel(configured: World, run: Run) -> None:
    sync_id = configured.put(photo("a"))
    run("scan")
    run("queue", sync_id)
    result = run("cancel", sync_id, "--json")
    assert (result.code, result.stderr) == (0, "")
    (row,) = result.json
    assert (row["sync_id"], row["state"]) == (sync_id, "cancelled")
    again = run("cancel", sync_id)
    assert again == (3, "", f"ingestd: batch {sync_id} has no job to cancel\n")


def test_a_running_job_cannot_be_cancelled(configured: World, run: Run) -> None:
    sync_id = configured.put(photo("a"))
    run("scan")
    run("queue", sync_id)
    configured.sql(
        "UPDATE import_job SET state = 'running', claimed_by = 'a/pid:1/0', heartbeat_at = '2026-05-04 03:02:01'"
    )
    result = run("cancel", sync_id)
    assert (result.code, result.stdout) == (3, "")
    assert "is running; only stopping the service stops it" in result.stderr
    assert "(worker a/pid:1/0, last heartbeat 2026-05-04T03:02:01Z; if that process has died" in result.stderr


@pytest.mark.parametrize("command", [["preflight"], ["queue"], ["queue", "--force"], ["queue", "--reimport"]])
def test_a_mount_that_is_gone_is_not_taken_for_a_bundle_that_was_withdrawn(
    configured: World, run: Run, command: list[str]
) -> None:
    sync_id = configured.put(photo("a"))
    run("scan")
    configured.root.rename(configured.root.with_name("away"))
    result = run(*command, sync_id)
    assert result.code == 69
    assert "the mount is not readable: " in result.stdout + result.stderr


def test_pause_and_resume_print_no_data(configured: World, run: Run) -> None:
    assert run("pause", "--reason", "disk swap") == (0, "", "ingestd: paused\n")
    for options in ((), ("--reason", "disk swap"), ("--reason", "another")):
        code, stdout, stderr = run("pause", *options)
        assert (code, stdout) == (0, "")
        assert re.fullmatch(rf"ingestd: was paused already, since \S+Z by {BY}: disk swap\n", stderr)
    shown = run("status", "--json").json
    assert (shown["paused"], shown["paused_by"], shown["paused_reason"]) == (True, BY, "disk swap")
    assert RFC_3339.fullmatch(shown["paused_at"])
    line = properties(run("status"))["paused"]
    assert re.fullmatch(rf"since \S+Z by {BY}: disk swap", line)
    assert RFC_3339.fullmatch(line.split()[1])
    assert run("resume") == (0, "", "ingestd: resumed\n")
    assert run("resume") == (0, "", "ingestd: was not paused\n")


def test_pause_without_a_reason(configured: World, run: Run) -> None:
    run("pause")
    assert properties(run("status"))["paused"].endswith(": no reason given")


def test_cancel_names_the_retry_that_it_cancels(configured: World, run: Run) -> None:
    context, sync_id = configured.context(), configured.put(photo("a"))
    run("scan")
    run("queue", sync_id)
    with refused_events(configured, "import_started"):
        configured.run_next(context)
    result = run("cancel", sync_id)
    job_id = configured.one("SELECT id FROM import_job")
    assert (result.code, result.stderr) == (0, f"ingestd: the retry of job {job_id} was cancelled\n")
