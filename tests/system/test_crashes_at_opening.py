"""The real daemon, killed at each opening of one bundle: that fails, and another bundle is imported."""

from pathlib import Path

import pytest

from support import dying
from support.process import daemons_of
from support.wait import until
from support.world import World, photo

WORKER = {"threads": 1, "poll_interval": 0.1}


@pytest.mark.soak_only
def test_a_bundle_that_kills_each_daemon_at_its_opening_is_given_up(world: World, tmp_path: Path) -> None:
    deadly = world.put(photo("a", title=dying.DEADLY))
    healthy = world.put(photo("b"), day=2)
    with daemons_of(world, tmp_path) as daemons:
        daemons.program = ("-P", str(Path(dying.__file__)))
        statuses = []
        for _ in range(3):
            process = daemons.start(worker=WORKER, queue={"auto": ["create"]})
            statuses.append(process.wait(30))
        process = daemons.start(worker=WORKER, queue={"auto": ["create"]})
        until(lambda: world.status(healthy) == "imported", what=lambda: process.log)
        assert statuses == [-9, -9, -9]
        assert world.status(deadly) == "failed"
        assert process.terminate(30) == 0
    row = "SELECT last_error, retry_at > UTC_TIMESTAMP() FROM ingest_batch WHERE sync_id = %s"
    ((error, retry),) = world.sql(row, deadly)
    assert error.startswith("3 workers in a row crashed")
    assert retry == 1
    kinds = [kind for kind, _ in world.events(deadly)]
    assert [kinds.count(kind) for kind in ("job_claimed", "job_reset", "job_finished", "item_failed")] == [3, 2, 1, 0]
