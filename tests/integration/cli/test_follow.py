"""The exit status of `status --follow`: 1 when the job or the batch failed."""

from ingestd.pipeline.context import Context
from ingestd.pipeline.queueing import QueueRequest, cancel, enqueue
from support.command import Run, properties
from support.refusals import refused_events
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


def test_a_cancelled_job_did_not_fail(configured: World, run: Run, context: Context) -> None:
    sync_id = configured.put(photo("a"))
    configured.scan(context)
    enqueue(context, QueueRequest(sync_id, "olivia"))
    cancel(context, sync_id, "olivia")
    assert run("status", sync_id, "--follow").code == 0
