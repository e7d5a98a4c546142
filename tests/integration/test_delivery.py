"""What counts as handed over: both files, read by the scanner itself, whatever woke it."""

from ingestd.app import Daemon
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.scanner import Scanner
from support.wait import until
from support.watching import until_watching
from support.world import World, photo


def test_a_manifest_without_its_sentinel_is_nothing_yet(world: World) -> None:
    scanner = Scanner(world.context())
    sync_id = world.put(photo("a"), ready=False)
    scanner.name({sync_id})
    scanner.run_once()
    assert world.sql("SELECT sync_id FROM ingest_batch") == []
    assert scanner.unrecorded == 0
    world.file(f"sync/{sync_id}.ready", b"")
    scanner.name({sync_id})
    scanner.run_once()
    assert world.sql("SELECT sync_id FROM ingest_batch") == [(sync_id,)]


def test_the_daemon_waits_for_the_sentinel(world: World) -> None:
    daemon = Daemon(world.settings(queue={"auto": ["create"]}))
    daemon.start()
    try:
        until_watching(daemon)
        early = world.put(photo("a"), ready=False)
        complete = world.put(photo("b"))
        until(lambda: world.sql("SELECT 1 FROM ingest_batch WHERE sync_id = %s", complete))
        assert world.sql("SELECT 1 FROM ingest_batch WHERE sync_id = %s", early) == []
        world.file(f"sync/{early}.ready", b"")
        until(lambda: world.sql("SELECT 1 FROM ingest_batch WHERE sync_id = %s AND status = 'imported'", early))
    finally:
        daemon.stop()


def test_a_bundle_whose_sentinel_is_gone_is_not_consumed(world: World) -> None:
    context = world.context(mount={"settle_seconds": 0.2})
    sync_id = world.put(photo("a"))
    world.scan(context)
    enqueue(context, QueueRequest(sync_id, "tester"))
    (world.root / "sync" / f"{sync_id}.ready").unlink()
    assert world.run_next(context) == "failed"
    assert world.status(sync_id) == "invalid"
    assert "sentinel" in world.one("SELECT last_error FROM ingest_batch")
    assert world.sql("SELECT id FROM asset") == []
