"""Whatever fails while small bundles are imported together, each is imported, recorded and counted once."""

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ingestd.pipeline import claim_pace, worker_pool
from ingestd.pipeline.context import Context
from support.group_storm import Storm, bundles, faults
from support.order_model import Bundle, visible
from support.order_world import deliver, seen
from support.proxied import proxied
from support.scale import scaled
from support.world import World, sample

pytestmark = pytest.mark.timeout(600)
WAVES, EACH = 2, 30
SETTINGS: dict[str, Any] = {
    "queue": {"auto": ["create", "update", "remove"], "removal_limit": 10**9, "revive_interval": 0.000001},
    "worker": {"threads": 2},
}
REPEATED = (
    "SELECT event_type, JSON_VALUE(payload, '$.{key}'), COUNT(*) FROM ingest_event WHERE event_type IN ({types})"
    " GROUP BY 1, 2 HAVING COUNT(*) > %s"
)


@pytest.fixture
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was given back is claimed again soon."""
    for name in ("FIRST_PAUSE", "MAX_PAUSE", "TRIAL_SECONDS", "FIRST_ASIDE", "MAX_ASIDE"):
        monkeypatch.setattr(claim_pace, name, 0.02)
    monkeypatch.setattr(worker_pool, "LEFT_SECONDS", 0.2)


@pytest.mark.soak
@pytest.mark.usefixtures("_at_once")
@pytest.mark.parametrize("seed", range(scaled(1, 30)))
def test_each_bundle_is_imported_once(world: World, tmp_path: Path, seed: int, groups: list[int]) -> None:
    dice, arrived, known = random.Random(seed), list[Bundle](), list[str]()
    with proxied(world, tmp_path) as site:
        hosts, shore = [site.context(**SETTINGS) for _ in "12"], world.context(**SETTINGS)
        storm = Storm(world, hosts, shore, dice)
        for wave in range(WAVES):
            arrived += bundles(dice, wave * EACH, (wave + 1) * EACH, known)
            for bundle in arrived[-EACH:]:
                deliver(world, bundle)
            with faults(site.proxy.faults, dice) as fault:
                storm.rage(len(arrived))
            assert fault.done
            storm.settle()
            assert seen(world, [*known, "x", "g"]) == visible(arrived)
        check_ledger(world)
        check_metrics(world, [*hosts, shore])
    assert any(groups)


def check_ledger(world: World) -> None:
    """Each fact has one event, and events about jobs alternate."""
    for types, key in (("'job_queued', 'job_finished'", "job_id"), ("'item_created'", "hash")):
        assert world.sql(REPEATED.format(key=key, types=types), 1) == []
    for (sync_id,) in world.sql("SELECT sync_id FROM ingest_batch"):
        kinds = [kind for kind, _ in world.events(sync_id)]
        assert kinds.count("scan") == 1
        turns = [kind for kind in kinds if kind in ("job_claimed", "job_finished", "job_released", "job_reset")]
        assert all((kind == "job_claimed") is (place % 2 == 0) for place, kind in enumerate(turns)), kinds
    assert world.tallies() == world.counted()


def check_metrics(world: World, hosts: list[Context]) -> None:
    """What was committed is counted, also where the reply was lost."""
    events = Counter(kind for (kind,) in world.sql("SELECT event_type FROM ingest_event"))
    done = sum(sample(host, "jobs_finished_total", outcome=outcome) for host in hosts for outcome in ("done", "failed"))
    created = sum(sample(host, "items_total", decision="created") for host in hosts)
    assert (done, created) == (events["job_finished"], events["item_created"])
