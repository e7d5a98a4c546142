"""Probes of manifests in a helper that lacks threads: what waits for one is not taken for readable."""

import threading

import pytest

from ingestd.mount import manifests
from ingestd.mount.probes import Probes
from support.scarce import limit_threads
from support.wait import until


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    return limit_threads(monkeypatch)


@pytest.mark.parametrize("count", [1, 2])
def test_what_has_no_thread_waits_for_one(threads: list[int], monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    answers, hanging = list[str](), threading.Event()
    monkeypatch.setattr(manifests, "try_to_read", lambda _root, _sync_id: hanging.wait(60.0))
    probes = Probes()
    threads += [1] * count
    lacking = 0
    for sync_id in "abcd":
        try:
            probes.add("/", sync_id, lambda sync_id=sync_id: answers.append(sync_id))  # type: ignore[misc]
        except RuntimeError:
            lacking += 1
    assert (lacking, answers) == (4 - count, [])
    hanging.set()
    until(lambda: sorted(answers) == list("abcd"))


def test_what_waits_gets_threads_beside_those_that_hang(threads: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = threading.Event()
    monkeypatch.setattr(manifests, "try_to_read", lambda _root, sync_id: sync_id != "bad" or hanging.wait(60.0))
    probes, answers = Probes(), list[str]()
    threads.append(1)
    probes.add("/", "bad", lambda: answers.append("bad"))
    for sync_id in "ab":
        with pytest.raises(RuntimeError):
            probes.add("/", sync_id, lambda sync_id=sync_id: answers.append(sync_id))  # type: ignore[misc]
    with pytest.raises(RuntimeError):
        probes.begin()
    threads += [1, 1]
    probes.begin()
    until(lambda: sorted(answers) == ["a", "b"])
    hanging.set()
    until(lambda: "bad" in answers)
