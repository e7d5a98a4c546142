"""`ingestd scan` without a daemon, while manifests come in drips: it says what it waits for, and ends."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from ingestd.pipeline import reads, scan_limit
from ingestd.wording import counted
from support.command import Run
from support.faulty_fuse import FaultyFuse
from support.scanning import recorded
from support.wait import until
from support.world import World, photo

MakeSlow = Callable[[FaultyFuse, str], None]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reads, "FIRST_SILENCE", 0.3)
    monkeypatch.setattr(reads, "SECONDS_ALIVE", 0.0)
    monkeypatch.setattr(scan_limit, "FIRST_NOTICE", 0.4)


@contextmanager
def ending_after_a_bundle(world: World) -> Iterator[None]:
    """Scans end without what takes long once a bundle is recorded, which may take a slow machine a while."""

    def shorten() -> None:
        until(lambda: recorded(world), what="for a bundle")
        patch.setattr(scan_limit, "LIMIT_SECONDS", 0.8)

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(shorten)
        yield
        waiting.result()


def drip(faulty: FaultyFuse, path: str) -> None:
    faulty.drip(path, 0.2)


def hang_when_opened(faulty: FaultyFuse, path: str) -> None:
    faulty.hang(path, "open")


def hang_when_looked_up(faulty: FaultyFuse, path: str) -> None:
    faulty.hang(path, "lookup")


def hang_when_read(faulty: FaultyFuse, path: str) -> None:
    faulty.hang(path)


@pytest.mark.parametrize(
    ("faults", "times"),
    [
        ([drip], 1),
        ([drip], 9),
        ([hang_when_opened], 1),
        ([hang_when_looked_up], 2),
        ([drip, hang_when_read, hang_when_opened], 2),
    ],
)
def test_scan_ends_while_manifests_take_long_and_records_all_others(
    configured: World, faulty: FaultyFuse, run: Run, faults: list[MakeSlow], times: int
) -> None:
    slow = sorted(configured.put(photo("slow")) for _ in range(len(faults) * times))
    for sync_id, fault in zip(slow, faults * times, strict=True):
        fault(faulty, f"sync/{sync_id}.json")
    healthy = configured.put(photo("a"))
    with ending_after_a_bundle(configured):
        result = run("scan")
    assert result.code == 1
    assert [row["sync_id"] for row in result.table] == [healthy]
    assert recorded(configured) == [(healthy, "new")]
    assert f"waiting for {counted(len(slow), 'slow manifest')}, such as sync/{slow[0]}.json" in result.stderr
    assert f"left out {counted(len(slow), 'bundle')} because reading takes long" in result.stderr
    faulty.clear()
    assert run("scan").code == 0
    assert len(recorded(configured)) == len(slow) + 1
