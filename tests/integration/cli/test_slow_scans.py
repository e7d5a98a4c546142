"""`ingestd scan` without a daemon, while manifests come in drips: it says what it waits for, and ends."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from ingestd.pipeline import reads, scan_limit
from support.command import Run
from support.faulty_fuse import FaultyFuse, faulty_fuse
from support.scanning import recorded
from support.wait import until
from support.world import World, photo


@pytest.fixture
def faulty(configured: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyFuse]:
    with faulty_fuse(configured.root, tmp_path / "mnt") as made:
        monkeypatch.setenv("INGESTD_MOUNT__ROOT", str(made.point))
        yield made


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


@pytest.mark.parametrize("count", [1, 9])
def test_scan_ends_while_manifests_drip_and_records_all_others(
    configured: World, faulty: FaultyFuse, run: Run, count: int
) -> None:
    dripping = sorted(configured.put(photo("drip")) for _ in range(count))
    for sync_id in dripping:
        faulty.drip(f"sync/{sync_id}.json", 0.2)
    healthy = configured.put(photo("a"))
    with ending_after_a_bundle(configured):
        result = run("scan")
    assert result.code == 1
    assert [row["sync_id"] for row in result.table] == [healthy]
    assert recorded(configured) == [(healthy, "new")]
    assert f"waiting for {count} manifests that take long, such as sync/{dripping[0]}.json" in result.stderr
    assert f"{count} bundles were left out" in result.stderr
    faulty.clear()
    assert run("scan").code == 0
    assert len(recorded(configured)) == count + 1
