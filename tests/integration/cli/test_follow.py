"""The exit status of `status --follow`: 1 when the job or the batch failed."""

from typing import Any

import pytest

from ingestd.cli import in_time, look
from ingestd.cli.local import Local
from ingestd.errors import (
    DaemonUnavailable,
    DatabaseOutOfReach,
    DatabaseRefused,
    DatabaseUnavailable,
    RemovalRefused,
)
from ingestd.pipeline.cancelling import cancel
from ingestd.pipeline.context import Context
from ingestd.pipeline.queueing import QueueRequest, enqueue
from support.command import Run, properties
from support.refusals import refused_events
from support.removals import entries
from support.world import World, cover, photo


def test_a_job_that_failed_as_a_whole(configured: World, run: Run, context: Context) -> None:
    sync_id = configured.put(photo("a"))
    configured.scan(context)
    enqueue(context, QueueRequest(sync_id, "olivia"))
    with refused_events(configured, "import_started"):
        configured.run_next(context)
    result = run("status", sync_id, "--follow")
    assert result.code == 1
    shown = properties(result)
    assert (shown["status"], shown["failure_count"]) == ("failed", "1")
    assert shown["retry_at"].endswith("Z")
    assert run("status", sync_id, "--follow", "--json").code == 1
    assert run("status", sync_id, "--follow", "--items").code == 1
    assert run("status", sync_id).code == 0, "it only shows"
    assert run("batches", "--status", "failed", "--json").json[0]["retry_at"].endswith("Z")


def test_a_job_that_was_done_without_importing_anything(configured: World, run: Run, context: Context) -> None:
    sync_id = configured.put(photo("a"))
    (configured.root / photo("a")["path"] / "0.jpg").unlink()
    configured.import_all(context, sync_id)
    assert configured.status(sync_id) == "failed"
    assert run("status", sync_id, "--follow").code == 1


def test_an_invalid_batch(configured: World, run: Run, context: Context) -> None:
    sync_id = configured.put(photo("a"))
    configured.scan(context)
    enqueue(context, QueueRequest(sync_id, "olivia"))
    configured.put(photo("a"), sync_id=sync_id, status="unfinished")
    configured.run_next(context)
    assert configured.status(sync_id) == "invalid"
    assert run("status", sync_id, "--follow").code == 1


def test_a_partial_batch_did_not_fail(configured: World, run: Run, context: Context) -> None:
    sync_id = configured.put(photo("a"), cover("c", "absent"))
    configured.import_all(context, sync_id)
    assert configured.status(sync_id) == "partial"
    assert run("status", sync_id, "--follow").code == 0


def test_a_cancelled_job_did_not_fail_and_is_named(configured: World, run: Run, context: Context) -> None:
    sync_id = configured.put(photo("a"))
    configured.scan(context)
    job = enqueue(context, QueueRequest(sync_id, "olivia")).job
    cancel(context, sync_id, "olivia")
    result = run("status", sync_id, "--follow")
    assert result.code == 0
    assert f"ingestd: job {job.id} was cancelled" in result.stderr


@pytest.mark.parametrize("changes", [{"status": "unfinished"}, {"type": 5}, {"containers": {}}])
def test_an_invalid_batch_without_a_job(configured: World, run: Run, context: Context, changes: dict[str, Any]) -> None:
    sync_id = configured.put(photo("a"), **changes)
    configured.scan(context)
    assert configured.status(sync_id) == "invalid"
    result = run("status", sync_id, "--follow")
    assert result.code == 1
    assert "this batch is invalid; a corrected delivery is checked again" in result.stderr
    assert "ingestd queue" not in result.stderr


def test_a_held_batch_without_a_job(world: World, configured: World, run: Run) -> None:
    context = configured.context(queue={"removal_limit": 1})
    assert configured.import_all(context, configured.put(photo("a"), photo("b"), day=1)) == ["done"]
    sync_id = configured.put(*entries(["a", "b"]), action="remove", day=2)
    configured.scan(context)
    with pytest.raises(RemovalRefused):
        enqueue(context, QueueRequest(sync_id, "olivia"))
    assert "`ingestd queue --force` approves that" in run("status", sync_id).stderr


class Outage:
    """Lets the first `count` answers of a command's look at a batch, after the first `before`, be an outage."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: Exception, before: int, count: int) -> None:
        self._left: list[Exception | None] = [None] * before + [error] * count
        real = Local.standing

        def standing(local: Local, sync_id: str) -> Any:
            error = self._left.pop(0) if self._left else None
            if error is not None:
                raise error
            return real(local, sync_id)

        monkeypatch.setattr(look, "FOLLOW_SECONDS", 0.01)
        monkeypatch.setattr(in_time, "FIRST_PAUSE", 0.01)
        monkeypatch.setattr(Local, "standing", standing)


OUTAGES = [DatabaseOutOfReach("it is away"), DatabaseUnavailable("its disk is full"), DaemonUnavailable("no answer")]


@pytest.mark.parametrize("before", [1, 2])
@pytest.mark.parametrize("error", OUTAGES, ids=lambda error: type(error).__name__)
def test_following_waits_out_an_outage(
    configured: World, run: Run, context: Context, monkeypatch: pytest.MonkeyPatch, error: Exception, before: int
) -> None:
    sync_id = configured.put(photo("a"))
    configured.import_all(context, sync_id)
    Outage(monkeypatch, error, before, 3)
    result = run("status", sync_id, "--follow")
    assert result.code == 0
    assert result.stderr.count(f"ingestd: waiting: {error}\n") == 1


def test_following_does_not_wait_for_people(
    configured: World, run: Run, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync_id = configured.put(photo("a"))
    configured.import_all(context, sync_id)
    error = DatabaseRefused("wrong account")
    Outage(monkeypatch, error, 1, 3)
    result = run("status", sync_id, "--follow")
    assert result.code == error.exit_status
    assert "waiting" not in result.stderr


def test_following_does_not_wait_without_end(
    configured: World, run: Run, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync_id = configured.put(photo("a"))
    configured.import_all(context, sync_id)
    monkeypatch.setattr(in_time, "OUTAGE_SECONDS", 0.05)
    error = DatabaseOutOfReach("it is away")
    Outage(monkeypatch, error, 1, 1000)
    assert run("status", sync_id, "--follow").code == error.exit_status
