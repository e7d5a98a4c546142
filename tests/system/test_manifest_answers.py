"""Whether a manifest answers, asked by any thread: what hangs costs a thread of one helper."""

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ingestd.errors import MountUnavailable, Shortage
from ingestd.mount import manifest_answers, probe_helper
from ingestd.mount.access import Mount
from ingestd.mount.helper_process import HelperProcess
from support.faulty_fuse import FaultyFuse, Step
from support.hanging_manifests import hang
from support.reaped import until_reaped
from support.wait import until
from support.world import World, photo


def children() -> set[int]:
    return {int(pid) for task in os.listdir("/proc/self/task") for pid in children_of(task)}


def children_of(task: str) -> list[str]:
    return Path(f"/proc/self/task/{task}/children").read_text().split()


@pytest.fixture
def mount(world: World, faulty: FaultyFuse) -> Mount:
    return world.context(mount={"root": faulty.point}).mount


@pytest.mark.parametrize("step", ["read", "open", "lookup"])
def test_what_hangs_costs_no_helper_and_is_asked_once(
    world: World, faulty: FaultyFuse, mount: Mount, step: Step
) -> None:
    bad, good = sorted(hang(world, faulty, 40, step)), world.put(photo("good"))
    before = children()
    for _ in range(3):
        with ThreadPoolExecutor(8) as workers:
            assert not any(workers.map(lambda sync_id: mount.manifest_answers(sync_id, 0.05), bad))
    assert mount.manifest_answers(good, 20.0)
    assert len(children() - before) == 1
    assert len(faulty.met) == len(bad), "each was asked once"
    assert mount.hung_manifests == 0
    faulty.clear()
    assert all(mount.manifest_answers(sync_id, 20.0) for sync_id in bad)
    mount.close()
    until_reaped(mount)


@pytest.mark.parametrize("kind", ["failing", "missing", "no sentinel"])
def test_a_manifest_that_fails_answers(world: World, faulty: FaultyFuse, mount: Mount, kind: str) -> None:
    sync_id = world.put(photo("a"))
    if kind == "failing":
        faulty.fail(f"sync/{sync_id}.json")
    else:
        (world.root / "sync" / f"{sync_id}.{'json' if kind == 'missing' else 'ready'}").unlink()
    assert mount.manifest_answers(sync_id, 20.0)


def test_an_answer_of_the_time_before_does_not_count(world: World, faulty: FaultyFuse, mount: Mount) -> None:
    (bad,) = hang(world, faulty, 1)
    assert not mount.manifest_answers(bad, 0.2)
    until(lambda: faulty.met)
    faulty.clear()
    path = f"sync/{bad}.json"
    assert mount.manifest_answers(world.put(photo("good")), 20.0), "the answer of the other comes before"
    until(lambda: mount.manifest_answers(bad, 20.0))
    faulty.hang(path)
    assert not mount.manifest_answers(bad, 0.2)
    until(lambda: faulty.met == [path, path])


def test_all_who_ask_get_the_answer(world: World, faulty: FaultyFuse, mount: Mount) -> None:
    (slow,) = hang(world, faulty, 1)
    with ThreadPoolExecutor(6) as workers:
        asked = [workers.submit(mount.manifest_answers, slow, 20.0) for _ in range(6)]
        until(lambda: faulty.met)
        assert not any(one.done() for one in asked)
        faulty.clear()
        assert all(one.result() for one in asked)
    assert faulty.met == [f"sync/{slow}.json"]


def test_closing_ends_waits_and_helpers(world: World, faulty: FaultyFuse, mount: Mount) -> None:
    (bad,) = hang(world, faulty, 1)
    before = children()
    with ThreadPoolExecutor(2) as workers:
        asked = [workers.submit(mount.manifest_answers, bad, 100.0) for _ in range(2)]
        until(lambda: faulty.met)
        mount.close()
        for one in asked:
            with pytest.raises(MountUnavailable, match="stopping"):
                one.result(10.0)
    with pytest.raises(MountUnavailable, match="stopping"):
        mount.manifest_answers(bad, 1.0)
    faulty.clear()
    until_reaped(mount)
    until(lambda: children() <= before)
    until(lambda: not threads())


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "manifest-answers"]


def test_helper_and_thread_end_when_nothing_is_asked(
    world: World, faulty: FaultyFuse, mount: Mount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest_answers, "IDLE_SECONDS", 0.2)
    before = children()
    assert not threads(), "it is begun when it is asked"
    good = world.put(photo("good"))
    for _ in range(2):
        assert mount.manifest_answers(good, 20.0)
        assert threads()
        until(lambda: not threads())
        assert children() <= before
    (bad,) = hang(world, faulty, 1)
    assert not mount.manifest_answers(bad, 0.1)
    until(lambda: faulty.met)
    ends, end_idle = [], mount._answers._end_idle

    def noted() -> bool:
        ends.append(end_idle())
        return ends[-1]

    monkeypatch.setattr(mount._answers, "_end_idle", noted)
    until(lambda: len(ends) > 2)
    assert not any(ends), "a helper whose manifests hang is kept"
    faulty.clear()
    until(lambda: not threads())
    assert children() <= before


def test_starting_a_helper_does_not_count_as_silence(
    world: World, mount: Mount, monkeypatch: pytest.MonkeyPatch
) -> None:
    def started_late(is_cancelled: Callable[[], bool]) -> HelperProcess:
        time.sleep(2.5)
        return HelperProcess(is_cancelled)

    monkeypatch.setattr(probe_helper, "HelperProcess", started_late)
    assert mount.manifest_answers(world.put(photo("good")), 2.0)


def test_lacking_threads_are_a_shortage(world: World, mount: Mount, monkeypatch: pytest.MonkeyPatch) -> None:
    sync_id = world.put(photo("good"))

    def fail(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        with pytest.raises(Shortage):
            mount.manifest_answers(sync_id, 1.0)
    assert mount.manifest_answers(sync_id, 20.0)
