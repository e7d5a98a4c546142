"""Commands and sweeps whose COMMIT succeeds, but whose reply is lost: the right answer, and every event once."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ingestd.errors import RemovalRefused
from ingestd.model import RequestKind
from ingestd.pipeline import cancelling, pausing, queueing
from ingestd.pipeline.claims import claim
from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.preflight import preflight
from ingestd.pipeline.queueing import QueueRequest
from ingestd.pipeline.rescuer import Rescuer
from ingestd.pipeline.scanner import Scanner
from ingestd.pipeline.sweeps import Sweeper
from ingestd.store import request
from support.mariadb_proxy import Fault, drop_reply, drop_request
from support.proxied import ProxiedWorld, proxied
from support.wait import until
from support.world import World, md5, photo

ME = this_instance()


@pytest.fixture
def site(world: World, tmp_path: Path) -> Iterator[ProxiedWorld]:
    with proxied(world, tmp_path) as made:
        yield made


@pytest.fixture(params=[drop_reply, drop_request], ids=["reply", "request"])
def losing(site: ProxiedWorld, request: pytest.FixtureRequest) -> Callable[[], Fault]:
    """Makes the next COMMIT lose its reply, or not even reach the server."""

    def lose() -> Fault:
        fault = Fault("^COMMIT", request.param)
        site.proxy.add(fault)
        return fault

    return lose


def kinds(site: ProxiedWorld) -> Counter[str]:
    return Counter(kind for (kind,) in site.sql("SELECT event_type FROM ingest_event WHERE %s", 1))


def recorded(site: ProxiedWorld, context: Context) -> str:
    sync_id = site.put(photo("a"), photo("b"))
    site.scan(context)
    return sync_id


def test_a_scan_lists_the_batch_that_it_recorded(site: ProxiedWorld, losing: Callable[[], Fault]) -> None:
    sync_id = site.put(photo("a"))
    fault = losing()
    assert Scanner(site.context()).scan() == [sync_id]
    assert fault.done
    assert kinds(site) == {"scan": 1}


def test_a_preflight_is_recorded_once(site: ProxiedWorld, losing: Callable[[], Fault]) -> None:
    context = site.context()
    sync_id = recorded(site, context)
    fault = losing()
    assert preflight(context, sync_id)["counts"]["will_create"] == 2
    assert fault.done
    assert kinds(site) == {"scan": 1, "preflight_started": 1, "preflight_finished": 1}


def test_queueing_makes_one_job_which_is_new(site: ProxiedWorld, losing: Callable[[], Fault]) -> None:
    context = site.context()
    sync_id = recorded(site, context)
    preflight(context, sync_id)
    fault = losing()
    assert queueing.enqueue(context, QueueRequest(sync_id, "olga")).is_new
    assert fault.done
    assert kinds(site)["job_queued"] == 1
    fault = losing()
    assert queueing.enqueue(context, QueueRequest(sync_id, "olga", priority=7)).job.priority == 7
    assert fault.done
    assert kinds(site)["job_reprioritised"] == 1


def test_a_refused_removal_is_recorded_once(site: ProxiedWorld, losing: Callable[[], Fault]) -> None:
    context = site.context(queue={"removal_limit": 1})
    site.import_all(context, site.put(photo("a"), photo("b")))
    sync_id = site.put(photo("a"), photo("b"), action="remove", day=2)
    site.scan(context)
    preflight(context, sync_id)
    before = kinds(site)["removal_refused"]
    fault = losing()
    with pytest.raises(RemovalRefused):
        queueing.enqueue(context, QueueRequest(sync_id, "olga"))
    assert fault.done
    assert kinds(site)["removal_refused"] == before + 1


def test_cancelling_says_what_it_cancelled(site: ProxiedWorld, losing: Callable[[], Fault]) -> None:
    context = site.context()
    sync_id = site.queued(context, photo("a"))
    fault = losing()
    assert cancelling.cancel(context, sync_id, "olga").state == "cancelled"
    assert fault.done
    assert kinds(site)["job_cancelled"] == 1


def test_pausing_and_resuming_say_that_they_changed_it(site: ProxiedWorld, losing: Callable[[], Fault]) -> None:
    context = site.context()
    losing()
    assert pausing.pause(context, "olga", "lunch")
    losing()
    assert pausing.resume(context, "olga")
    assert kinds(site) == {"queue_paused": 1, "queue_resumed": 1}
    assert all(fault.done for fault in site.proxy.faults)


def test_a_sweep_queues_once(site: ProxiedWorld, losing: Callable[[], Fault]) -> None:
    context = site.context(queue={"auto": ["create"]})
    recorded(site, context)
    fault = losing()
    assert Sweeper(context).queue_new() == 1
    assert fault.done
    assert kinds(site) == {"scan": 1, "job_queued": 1}


def test_a_promotion_is_counted_once(site: ProxiedWorld, losing: Callable[[], Fault]) -> None:
    context = site.context()
    sync_id = site.queued(context, photo("a"))
    site.sql("UPDATE import_job SET state = 'waiting' WHERE %s", 1)
    fault = losing()
    assert Sweeper(context).promote() == 1
    assert fault.done
    assert [kind for kind, _ in site.events(sync_id)].count("job_promoted") == 1


def test_a_reset_is_counted_once(site: ProxiedWorld, losing: Callable[[], Fault]) -> None:
    context = site.context()
    site.queued(context, photo("a"))
    assert claim(context, "elsewhere/pid:7/0", str(ME)) is not None
    site.sql("UPDATE import_job SET heartbeat_at = UTC_TIMESTAMP(6) - INTERVAL 1 DAY WHERE %s", 1)
    fault = losing()
    assert Rescuer(context, ME).reset_stale() == 1
    assert fault.done
    assert kinds(site)["job_reset"] == 1


def test_a_request_is_accepted_and_claimed_once(site: ProxiedWorld, losing: Callable[[], Fault]) -> None:
    context = site.context()
    losing()
    request_id = context.db.transaction(lambda tx: request.insert(tx, RequestKind.SCAN, "olga"))
    losing()
    # A claim skips a row that a broken connection has locked until the server notices that.
    claimed: request.Claim | None = until(
        lambda: context.db.transaction(
            lambda tx: request.claim_next(tx, RequestKind.SCAN, "w", str(ME), context.settings.worker.patience)
        )
    )
    assert claimed is not None
    assert claimed.request_id == request_id
    losing()
    assert context.db.transaction(lambda tx: request.finish(tx, claimed, {}, None))
    assert site.sql("SELECT id, state, claim_token FROM ingest_request WHERE %s", 1) == [(request_id, "done", 1)]
    assert all(fault.done for fault in site.proxy.faults)


def test_every_commit_of_an_import_may_lose_its_reply(site: ProxiedWorld) -> None:
    context = site.context()
    for number in range(1, 8):
        sync_id = site.queued(context, *(photo(f"{number}-{name}") for name in "abc"))
        site.proxy.add(Fault("^COMMIT", drop_reply, nth=number))
        assert site.run_next(context) == "done"
        site.proxy.clear()
        counted = Counter(kind for kind, _ in site.events(sync_id))
        assert counted["item_created"] == 3
        assert max(count for kind, count in counted.items() if kind != "item_created") == 1
    assert md5("1-a") in {hash_ for (hash_,) in site.sql("SELECT hash FROM asset WHERE %s", 1)}
