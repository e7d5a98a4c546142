"""What stands in the way of a job that waits leaves it, and all after it, to claims of their own."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ingestd.pipeline import cancelling, pausing
from ingestd.pipeline.claims import claim
from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.importer import group_import
from ingestd.pipeline.importer.together import Together
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.rescuer import Rescuer
from ingestd.pipeline.sweeps import Sweeper
from ingestd.pipeline.worker_pool import WorkerPool
from support.groups import lose_first_job, of_threads, put, queued, statuses
from support.locks import LOCK_WAITS, holding
from support.mariadb_proxy import Fault, drop_reply, drop_request
from support.proxied import proxied
from support.wait import until
from support.workers import run_all
from support.world import World, cover, md5, photo, sample

NAMES = [f"00000000-0000-4000-8000-{number:012}" for number in range(1, 6)]
OTHER = "00000000-0000-4000-8000-000000000009"
Meanwhile = Callable[[World, Context], object]


@pytest.fixture
def context(world: World) -> Context:
    return of_threads(world, 1)


def put_chain(world: World) -> None:
    """Five bundles of which each follows the one before."""
    for number, name in enumerate(NAMES):
        follows = {"prior_sync_id": NAMES[number - 1]} if number else {}
        put(world, f"a{number + 1}", sync_id=name, day=number + 1, **follows)


def put_other(world: World, context: Context, *items: Any, **options: Any) -> None:
    """Another bundle, which is queued at once, at a priority that is put first."""
    put(world, "other", *items, **{"sync_id": OTHER, "day": 9, **options})
    world.scan(world.context())
    enqueue(context, QueueRequest(OTHER, "olga", priority=1))


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Has something done once while the items of a group are read."""

    def do(what: Callable[[], object]) -> None:
        read, left = Together._readings, [what]

        def reading(self: Together, found: Any) -> Any:
            if left:
                left.pop()()
            return read(self, found)

        monkeypatch.setattr(Together, "_readings", reading)

    return do


def claimed(world: World) -> list[str]:
    """Bundles in the order in which their jobs were claimed."""
    return [
        sync_id
        for (sync_id,) in world.sql(
            "SELECT sync_id FROM ingest_event e JOIN ingest_batch b ON b.id = batch_id"
            " WHERE event_type = 'job_claimed' ORDER BY e.id"
        )
    ]


def cancel(_world: World, context: Context) -> None:
    cancelling.cancel(context, NAMES[2], "olga")


def claim_elsewhere(world: World, _context: Context) -> None:
    """Another host claimed it, gave it back, and it waits again."""
    world.sql(
        "UPDATE import_job j JOIN ingest_batch b ON b.id = batch_id SET claim_token = 1 WHERE sync_id = %s", NAMES[2]
    )


def change(world: World, context: Context) -> None:
    put(world, "changed", sync_id=NAMES[2], day=3, prior_sync_id=NAMES[1])
    world.scan(context)


def record_another(world: World, _context: Context) -> None:
    world.sql("UPDATE ingest_batch SET manifest_sha256 = REPEAT('0', 64) WHERE sync_id = %s", NAMES[2])


def follow_another(world: World, _context: Context) -> None:
    world.sql("UPDATE ingest_batch SET prior_sync_id = %s WHERE sync_id = %s", OTHER, NAMES[2])


def promote(world: World, _context: Context) -> None:
    world.sql(
        "UPDATE import_job j JOIN ingest_batch b ON b.id = batch_id SET state = 'queued' WHERE sync_id = %s", NAMES[2]
    )


def insert_asset(world: World, _context: Context) -> None:
    world.sql("INSERT INTO asset (hash, deleted_at) VALUES (%s, UTC_TIMESTAMP())", md5("a3"))


def follow_it_too(world: World, context: Context) -> None:
    """Another bundle waits for the second; as it has a cover, it cannot be imported together with the third."""
    put_other(world, context, photo("o"), cover("c", "o"), prior_sync_id=NAMES[1])


def rescope(world: World, _context: Context) -> None:
    world.sql(
        "UPDATE import_job j JOIN ingest_batch b ON b.id = batch_id SET scope = 'reimport' WHERE sync_id = %s", NAMES[2]
    )


@pytest.mark.parametrize(
    "what",
    [cancel, claim_elsewhere, change, record_another, follow_another, promote, insert_asset, follow_it_too, rescope],
)
def test_a_link_that_changed_meanwhile_ends_the_chain(
    world: World,
    context: Context,
    groups: list[int],
    meanwhile: Callable[[Callable[[], object]], None],
    what: Meanwhile,
) -> None:
    """The two before it are imported together, whatever happened to the third."""
    put_chain(world)
    pool = queued(world, context)
    meanwhile(lambda: what(world, context))
    pool.claim_and_run(0)
    assert groups == [2]
    assert statuses(world, NAMES[:2]) == ["imported"] * 2
    run_all(pool)
    Sweeper(context).promote()
    run_all(pool)
    assert set(statuses(world, [*NAMES[:2], *NAMES[3:]])) == {"imported"}
    assert world.status(NAMES[2]) == ("new" if what is cancel else "imported")
    assert all(claimed(world).count(name) == 1 for name in NAMES if world.status(name) == "imported")


def test_a_link_without_its_sentinel_ends_the_chain(world: World, context: Context, groups: list[int]) -> None:
    put_chain(world)
    pool = queued(world, context)
    (world.root / "sync" / f"{NAMES[2]}.ready").unlink()
    pool.claim_and_run(0)
    assert (groups, statuses(world, NAMES)) == ([2], ["imported"] * 2 + ["queued"] * 3)


def test_a_link_that_another_client_holds_keeps_none_before_it(
    world: World, context: Context, groups: list[int]
) -> None:
    put_chain(world)
    pool = queued(world, context)
    with holding(world, "SELECT id FROM ingest_batch WHERE sync_id = %s FOR UPDATE", NAMES[2]):
        pool.claim_and_run(0)
        assert (groups, statuses(world, NAMES)) == ([2], ["imported"] * 2 + ["queued"] * 3)
    Sweeper(context).promote()
    run_all(pool)
    assert (groups, statuses(world, NAMES)) == ([2, 3], ["imported"] * 5)


def test_a_pause_keeps_those_that_wait(
    world: World, context: Context, groups: list[int], meanwhile: Callable[[Callable[[], object]], None]
) -> None:
    put_chain(world)
    pool = queued(world, context)
    meanwhile(lambda: pausing.pause(context, "olga", None))
    run_all(pool)
    assert (groups, claimed(world)) == ([0], NAMES[:1])
    assert statuses(world, NAMES) == ["imported", *["queued"] * 4]
    assert [kind for kind, _ in world.events(NAMES[1])][-1] == "job_promoted"
    pausing.resume(context, "olga")
    run_all(pool)
    assert statuses(world, NAMES) == ["imported"] * 5


def test_what_is_ahead_in_the_queue_goes_first(
    world: World, context: Context, groups: list[int], meanwhile: Callable[[Callable[[], object]], None]
) -> None:
    put_chain(world)
    pool = queued(world, context)
    meanwhile(lambda: put_other(world, context))
    run_all(pool)
    assert claimed(world) == [NAMES[0], OTHER, *NAMES[1:]]
    assert groups == [0, 4]


def test_a_job_that_is_set_aside_is_not_ahead(world: World, context: Context, groups: list[int]) -> None:
    put(world, "other", sync_id=OTHER, day=1)
    world.scan(context)
    enqueue(context, QueueRequest(OTHER, "olga", priority=1))
    put_chain(world)
    pool = queued(world, context)
    pool._aside.add(
        world.one("SELECT j.id FROM import_job j JOIN ingest_batch b ON b.id = batch_id AND sync_id = %s", OTHER)
    )
    pool.claim_and_run(0)
    assert (groups, claimed(world)) == ([5], NAMES)
    assert world.status(OTHER) == "queued"


def test_a_worker_that_lost_the_first_job_imports_none(
    world: World, context: Context, monkeypatch: pytest.MonkeyPatch, groups: list[int]
) -> None:
    put_chain(world)
    pool, lost = queued(world, context), lose_first_job(world, monkeypatch)
    pool.claim_and_run(0)
    assert (len(lost), groups) == (1, [0])
    assert statuses(world, NAMES) == ["importing", *["queued"] * 4]
    assert world.sql("SELECT DISTINCT state, claim_token, claimed_by FROM import_job WHERE state <> 'running'") == [
        ("waiting", 0, None)
    ]
    assert [[kind for kind, _ in world.events(one)][-1] for one in NAMES] == ["job_claimed", *["job_queued"] * 4]
    assert world.one("SELECT COUNT(*) FROM asset") == 0
    assert sample(context, "jobs_claimed_total") == 1


def test_a_crash_leaves_those_that_wait_waiting(world: World, context: Context, groups: list[int]) -> None:
    put_chain(world)
    pool, me = queued(world, context), this_instance()
    assert claim(context, "here/pid:4194000/0", str(me._replace(pid=4_194_000))) is not None
    assert Rescuer(context, me).reset_dead() == 1
    run_all(pool)
    assert (groups, statuses(world, NAMES)) == ([4], ["imported"] * 5), "the one that crashed a worker is run alone"


@pytest.mark.parametrize("how", [drop_reply, drop_request])
def test_a_lost_commit_is_neither_forgotten_nor_repeated(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, groups: list[int], how: Any
) -> None:
    with proxied(world, tmp_path) as site:
        put_chain(world)
        pool, fault, end = queued(site, of_threads(site, 1)), Fault("^COMMIT", how), group_import._end

        def losing(*arguments: Any) -> Any:
            site.proxy.add(fault)
            return end(*arguments)

        monkeypatch.setattr(group_import, "_end", losing)
        pool.claim_and_run(0)
        assert fault.done
    assert (groups, statuses(world, NAMES)) == ([5], ["imported"] * 5)
    for one in NAMES:
        kinds = [kind for kind, _ in world.events(one)]
        assert [kinds.count(kind) for kind in ("job_claimed", "item_created", "job_finished")] == [1] * 3
        assert kinds.count("job_promoted") == (one != NAMES[0])


def test_a_value_that_the_database_refuses_fails_its_own_item(
    world: World, context: Context, groups: list[int]
) -> None:
    world.sql("ALTER TABLE asset ADD CONSTRAINT site CHECK (hash <> %s)", md5("a3"))
    try:
        put_chain(world)
        run_all(queued(world, context))
    finally:
        world.sql("ALTER TABLE asset DROP CONSTRAINT site")
    assert statuses(world, NAMES) == ["imported", "imported", "failed", "imported", "imported"]
    assert world.decisions(NAMES[2]) == {md5("a3"): "failed:database_refused"}
    assert claimed(world) == NAMES


def test_what_begins_to_wait_meanwhile_is_promoted(
    world: World, context: Context, monkeypatch: pytest.MonkeyPatch, groups: list[int]
) -> None:
    """Who queues a follower of a link waits for the transaction that ends it, and finds no active job then."""
    put_chain(world)
    put(world, "other", sync_id=OTHER, day=9, prior_sync_id=NAMES[1])
    pool, write = queued(world, context), group_import._write_items
    cancelling.cancel(context, OTHER, "olga")
    other = threading.Thread(target=lambda: enqueue(world.context(), QueueRequest(OTHER, "olga")))

    def writing(*arguments: Any) -> None:
        other.start()
        until(lambda: int(world.one(LOCK_WAITS)) > 0, what="for the other to wait")
        write(*arguments)

    monkeypatch.setattr(group_import, "_write_items", writing)
    pool.claim_and_run(0)
    other.join()
    assert groups == [5]
    assert world.sql("SELECT state FROM import_job ORDER BY id DESC LIMIT 1") == [("queued",)]


def test_a_stopping_daemon_takes_up_none_that_waits(
    world: World, context: Context, groups: list[int], meanwhile: Callable[[Callable[[], object]], None]
) -> None:
    put_chain(world)
    pool: WorkerPool = queued(world, context)
    meanwhile(pool._stopping.set)
    pool.claim_and_run(0)
    assert (groups, statuses(world, NAMES)) == ([0], ["queued"] * 5)
    assert world.events(NAMES[0])[-1][1]["reason"] == "stopping"
    assert pool.leases == []
