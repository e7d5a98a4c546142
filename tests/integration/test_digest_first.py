"""A manifest is parsed only when its digest is new for its batch, and once per reading."""

from typing import Any

import pytest

from ingestd.mount.manifest_receiver import ManifestReceiver
from ingestd.mount.records import ManifestReading
from ingestd.pipeline.preflight import preflight
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.scanner import Scanner
from support.world import World, md5, photo


class Work:
    """Counts how often manifests are parsed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.parsed = 0
        reading = ManifestReceiver.reading

        def counted(receiver: ManifestReceiver) -> ManifestReading:
            found = reading(receiver)
            self.parsed += found.manifest is not None or found.problem is not None
            return found

        monkeypatch.setattr(ManifestReceiver, "reading", counted)

    def take(self) -> int:
        """Manifests parsed since the last call."""
        count, self.parsed = self.parsed, 0
        return count


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    return Work(monkeypatch)


def read_in_every_way(scanner: Scanner, sync_id: str) -> None:
    """By the rotation of a full scan, and named by the watcher."""
    scanner.scan()
    scanner.name({sync_id})
    scanner.run_once()
    scanner.name({sync_id})
    scanner.run_once()


def test_recorded_manifest_is_not_parsed_again(world: World, work: Work) -> None:
    scanner = Scanner(world.context())
    sync_id = world.put(photo("a"), photo("b"))
    scanner.scan()
    assert work.take() == 1
    read_in_every_way(scanner, sync_id)
    read_in_every_way(Scanner(world.context()), sync_id)
    assert work.take() == 0
    assert [kind for kind, _ in world.events(sync_id)] == ["scan"]


@pytest.mark.parametrize("envelope", [{"status": "uploading"}, {"completed_at": "2999-01-01T00:00:00Z"}])
def test_invalid_manifest_is_not_parsed_again(world: World, work: Work, envelope: dict[str, Any]) -> None:
    scanner = Scanner(world.context())
    sync_id = world.put(photo("a"), **envelope)
    scanner.scan()
    assert work.take() == 1
    read_in_every_way(scanner, sync_id)
    assert work.take() == 0
    assert world.status(sync_id) == "invalid"
    assert [kind for kind, _ in world.events(sync_id)] == ["scan", "batch_invalid"]


def test_changed_manifest_is_parsed_once(world: World, work: Work) -> None:
    context = world.context()
    scanner = Scanner(context)
    sync_id = world.put(photo("a"))
    scanner.scan()
    preflight(context, sync_id)
    work.take()
    world.put(photo("b"), sync_id=sync_id)
    assert scanner.scan() == [sync_id]
    assert work.take() == 1, "its item rows were restaged without another reading"
    assert world.decisions(sync_id) == {md5("b"): "pending"}
    read_in_every_way(scanner, sync_id)
    assert work.take() == 0


@pytest.mark.parametrize("changed", [False, True])
def test_preflight_parses_once(world: World, work: Work, changed: bool) -> None:
    context = world.context()
    sync_id = world.put(photo("a"))
    world.scan(context)
    preflight(context, sync_id)
    if changed:
        world.put(photo("b"), sync_id=sync_id)
    work.take()
    assert preflight(context, sync_id)["item_count"] == 1
    assert work.take() == 1


def test_queueing_a_planned_batch_only_digests_its_manifest(world: World, work: Work) -> None:
    context = world.context()
    sync_id = world.put(photo("a"))
    world.scan(context)
    preflight(context, sync_id)
    work.take()
    enqueue(context, QueueRequest(sync_id, "tester"))
    assert work.take() == 0


@pytest.mark.parametrize("changed", [False, True])
def test_run_parses_only_what_has_changed_since_the_scan(world: World, work: Work, changed: bool) -> None:
    context = world.context()
    sync_id = world.put(photo("a"))
    world.scan(context)
    enqueue(context, QueueRequest(sync_id, "tester"))
    if changed:
        world.put(photo("b"), sync_id=sync_id)
    work.take()
    assert world.run_next(context) == "done"
    assert work.take() == changed
    assert world.decisions(sync_id) == {md5("b" if changed else "a"): "created"}
