"""How runs that fail are logged, and that a bundle whose manifest does not answer holds up no other."""

import pytest

from ingestd.errors import MountUnavailable
from ingestd.mount.access import Mount
from ingestd.pipeline.importer import run as run_module
from ingestd.pipeline.queueing import QueueRequest, enqueue
from support.logged import logged_by
from support.refusals import refused_events
from support.world import World, photo


def queued(world: World, name: str) -> str:
    context = world.context()
    sync_id = world.put(photo(name))
    world.scan(context)
    enqueue(context, QueueRequest(sync_id, "olivia"))
    return sync_id


@pytest.mark.parametrize("fails", ["whole", "items"])
def test_failed_runs_are_logged_as_warnings(world: World, monkeypatch: pytest.MonkeyPatch, fails: str) -> None:
    queued(world, "a")
    logged = logged_by(run_module, monkeypatch)
    levels: list[str] = []
    monkeypatch.setattr(logged, "warning", lambda event, **keys: levels.append(f"{event} {keys.get('status')}"))
    if fails == "whole":
        with refused_events(world, "import_started"):
            assert world.run_next(world.context()) == "failed"
    else:
        (world.root / photo("a")["path"] / "0.jpg").unlink()
        assert world.run_next(world.context()) == "done"
    assert levels == ["job_finished failed"]


def test_a_manifest_that_does_not_answer_fails_its_own_batch(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    silent, other = queued(world, "silent"), queued(world, "other")
    read_manifest = Mount.read_manifest

    def hanging(self: Mount, sync_id: str, *arguments: object, **options: object) -> object:
        if sync_id == silent:
            raise MountUnavailable("no reply within 30 s")
        return read_manifest(self, sync_id, *arguments, **options)  # type: ignore[arg-type]

    context = world.context()
    with monkeypatch.context() as patched:
        patched.setattr(Mount, "read_manifest", hanging)
        assert [world.run_next(context), world.run_next(context)] == ["failed", "done"]
    assert (world.status(silent), world.status(other)) == ("failed", "imported")
    assert world.one("SELECT retry_at IS NOT NULL FROM ingest_batch WHERE sync_id = %s", silent) == 1


def test_a_mount_that_is_gone_fails_no_batch(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    sync_id = queued(world, "a")
    context = world.context()
    read_manifest = Mount.read_manifest

    def last(self: Mount, *arguments: object, **options: object) -> object:
        world.root.rename(world.root.with_name("away"))
        return read_manifest(self, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Mount, "read_manifest", last)
    assert world.run_next(context) == "released"
    assert world.status(sync_id) == "queued"
    assert world.one("SELECT release_count FROM import_job") == 1
