"""Jobs of several small bundles that one worker claims together: one transaction, with the result of one by one."""

import json
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import pytest

from ingestd.errors import LeaseLost
from ingestd.mount.access import Mount
from ingestd.pipeline import worker_pool
from ingestd.pipeline.claims import claim_group
from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.importer import group_import, together
from ingestd.pipeline.importer.run import Run
from ingestd.pipeline.importer.together import Together
from ingestd.pipeline.read_ahead import ReadAhead
from ingestd.pipeline.rescuer import Rescuer
from ingestd.pipeline.sweeps import Sweeper
from ingestd.pipeline.worker_pool import WorkerPool
from ingestd.store import job_groups
from support.statements import commits, questions
from support.workers import run_all
from support.world import World, cover, empty, md5, owner_cursor, photo, sample

NUMBERS = count(100)
PRIOR = "00000000-0000-4000-8000-000000000001"
VOLATILE = ("job_id", "worker_id", "target_ids", "item_id")
IN_ANY_ORDER = (
    "SELECT asset_type, hash, title, path, entry_sha256, documents_sha256, synced_at, sync_id FROM asset ORDER BY hash",
    "SELECT hash, variant, f.path, bytes, sha256, f.synced_at, f.sync_id"
    " FROM asset_file f JOIN asset a ON a.id = asset_id ORDER BY hash, variant",
    "SELECT hash, analysis_kind, document, document_sha256, is_current, r.synced_at, r.sync_id"
    " FROM asset_ai_run r JOIN asset a ON a.id = asset_id ORDER BY hash, analysis_kind",
    "SELECT hash, document, document_sha256, is_current, s.synced_at, s.sync_id"
    " FROM asset_source s JOIN asset a ON a.id = asset_id ORDER BY hash",
    "SELECT state, items_done, items_total, manifest_sha256, writes, last_error FROM import_job ORDER BY id",
    "SELECT b.sync_id, t.decision, t.reason, items FROM ingest_batch_tally t JOIN ingest_batch b ON b.id = batch_id"
    " ORDER BY 1, 2, 3",
    "SELECT b.sync_id, ordinal, i.asset_type, asset_hash, i.entry_sha256, decision, reason, waiting_for, a.hash"
    " FROM ingest_batch_item i JOIN ingest_batch b ON b.id = batch_id LEFT JOIN asset a ON a.id = i.asset_id"
    " ORDER BY 1, 2",
    "SELECT sync_id, status, last_error, plan_sha256 = manifest_sha256, invalid_basis, imported_version_at,"
    " imported_generation, imported_revision, is_placed, failure_count, retry_at FROM ingest_batch ORDER BY 1",
)

COUNTED: list[tuple[str, dict[str, str]]] = [
    ("items_total", {"decision": "created"}), ("preflights_total", {"result": "ok"}),
    ("jobs_claimed_total", {}), ("jobs_finished_total", {"outcome": "done"}),
    ("job_duration_seconds_count", {"outcome": "done"}), ("job_queue_wait_seconds_count", {}),
    ("documents_read_bytes_total", {}),
]  # fmt: skip


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many of the jobs that were claimed together each group has ended."""
    run, found = Together.run, list[int]()

    def noting(self: Together) -> Any:
        done = run(self)
        found.append(len(done))
        return done

    monkeypatch.setattr(Together, "run", noting)
    return found


@pytest.fixture
def context(world: World) -> Context:
    return of_threads(world, 1)


def of_threads(world: World, threads: int) -> Context:
    return world.context(worker={"threads": threads}, queue={"auto": ["create", "update", "remove"]})


def queued(world: World, context: Context) -> WorkerPool:
    """Has all that is new queued in the order of delivery, and returns a pool for it."""
    world.scan(context)
    assert Sweeper(context).queue_new()
    return WorkerPool(context, this_instance())


def put(world: World, name: str, *more: Any, **options: Any) -> str:
    """A small bundle with documents."""
    world.file(f"{photo(name)['path']}/source/source.json", json.dumps({"of": name}).encode())
    world.file(f"{photo(name)['path']}/source/data/photo.meaning.json", json.dumps([name]).encode())
    return world.put(photo(name, files=2), *more, **{"sync_id": next_id(), **options})


def next_id() -> str:
    """Newer ones are greater, so that they are queued in the order of delivery."""
    return f"00000000-0000-4000-8000-{next(NUMBERS):012}"


def events_of(world: World, sync_id: str) -> list[tuple[str, dict[str, Any]]]:
    """The events of a bundle, without what differs between two that are the same."""
    events = world.events(sync_id)
    return [(kind, {key: value for key, value in payload.items() if key not in VOLATILE}) for kind, payload in events]


def statuses(world: World, sync_ids: Sequence[str]) -> list[str]:
    return [world.status(sync_id) for sync_id in sync_ids]


def test_the_result_is_that_of_one_by_one(world: World, monkeypatch: pytest.MonkeyPatch, groups: list[int]) -> None:
    results = []
    sync_ids = [f"00000000-0000-4000-8000-00000000000{number}" for number in range(3)]
    for most in (1, 16):
        monkeypatch.setattr(worker_pool, "MAX_TOGETHER", most)
        empty(world)
        context = of_threads(world, 1)
        put(world, "a", photo("a2"), photo("a3"), sync_id=sync_ids[0])
        put(world, "b", sync_id=sync_ids[1], action="update", day=2)
        put(world, "c", photo("c2"), sync_id=sync_ids[2])
        run_all(queued(world, context))
        counted = [sample(context, name, **labels) for name, labels in COUNTED]
        written = [world.sql(query) for query in IN_ANY_ORDER]
        results.append([statuses(world, sync_ids), counted, *written, *(events_of(world, one) for one in sync_ids)])
        for name in (world.root / "sync").iterdir():
            name.unlink()
    assert groups == [3]
    assert results[0] == results[1]


def test_sixteen_bundles_take_the_statements_of_one(world: World, context: Context, groups: list[int]) -> None:
    put(world, "first")
    run_all(queued(world, context))
    for number in range(16):
        put(world, f"photo {number}")
    pool = queued(world, context)
    first, before = questions(world), (questions(world), commits(world))
    pool.claim_and_run(0)
    taken = questions(world) - before[0] - 2 * (before[0] - first), commits(world) - before[1]
    assert groups == [16]
    assert taken[0] <= 28
    assert taken[1] == 2


def known(world: World) -> str:
    return world.put(photo("known", title="again"), action="update", sync_id=next_id())


OBSTACLES: dict[str, Callable[[World], str]] = {
    "a known asset": known,
    "an asset of the group": lambda world: put(world, "a"),
    "a cover": lambda world: put(world, "x", cover("y", "x")),
    "a named cover": lambda world: world.put({**photo("x"), "cover_hash": md5("y")}, sync_id=next_id()),
    "a gallery": lambda world: put(world, "x", containers=[{"type": "gallery", "hash": md5("g"), "items": [md5("x")]}]),
    "a removal": lambda world: world.put(photo("known"), action="remove", sync_id=next_id()),
    "a repeated entry": lambda world: put(world, "x", photo("x", files=2)),
    "an invalid entry": lambda world: put(world, "x", {"type": "photo", "hash": "no"}),
    "many items": lambda world: world.put(*(photo(f"x {number}") for number in range(17)), sync_id=next_id()),
    "a prior": lambda world: put(world, "x", prior_sync_id=PRIOR),
}


@pytest.mark.parametrize("what", OBSTACLES)
def test_what_cannot_join_is_imported_alone(world: World, context: Context, groups: list[int], what: str) -> None:
    """In the order of the queue: what came before it, it, and what came after it."""
    put(world, "known", sync_id=PRIOR)
    run_all(queued(world, context))
    names = [put(world, "a"), put(world, "b"), OBSTACLES[what](world), put(world, "c"), put(world, "d")]
    run_all(queued(world, context))
    assert set(statuses(world, names)) <= {"imported", "partial"}
    assert world.status(names[2]) == ("partial" if what == "an invalid entry" else "imported")
    assert sum(groups) == 4
    assert all([kind for kind, _ in world.events(one)].count("job_finished") == 1 for one in names)
    assert [
        kind for (kind,) in world.sql("SELECT event_type FROM ingest_event WHERE event_type = 'job_released'")
    ] == []


def spoil_file(world: World, sync_id: str) -> None:
    (world.root / photo("b")["path"] / "0.jpg").unlink()


def change_manifest(world: World, sync_id: str) -> None:
    world.put(photo("b", title="changed", files=2), sync_id=sync_id)


@pytest.mark.parametrize(
    ("spoil", "decision"), [(spoil_file, "failed:file_missing"), (change_manifest, "created")], ids=["file", "manifest"]
)
def test_what_is_not_as_it_was_is_left_to_a_run_of_its_own(
    world: World, context: Context, groups: list[int], spoil: Callable[[World, str], None], decision: str
) -> None:
    names = [put(world, name) for name in "abc"]
    pool = queued(world, context)
    spoil(world, names[1])
    run_all(pool)
    assert groups == [2]
    assert statuses(world, (names[0], names[2])) == ["imported"] * 2
    assert world.decisions(names[1]) == {md5("b"): decision}
    if decision == "created":
        assert world.one("SELECT title FROM asset WHERE hash = %s", md5("b")) == "changed"
        assert "manifest_changed" in [kind for kind, _ in world.events(names[1])]


def test_a_bundle_without_its_sentinel_waits(world: World, context: Context, groups: list[int]) -> None:
    names = [put(world, name) for name in "abc"]
    pool = queued(world, context)
    (world.root / "sync" / f"{names[1]}.ready").unlink()
    pool.claim_and_run(0)
    assert groups == [2]
    assert statuses(world, names) == ["imported", "queued", "imported"]


def test_one_that_was_taken_takes_back_all(
    world: World, context: Context, monkeypatch: pytest.MonkeyPatch, groups: list[int]
) -> None:
    names = [put(world, name) for name in "abc"]
    pool, end = queued(world, context), group_import._end
    lost: list[Exception] = []

    def losing(*arguments: Any) -> None:
        with owner_cursor(world.server.owner_settings()) as cursor:
            cursor.execute("UPDATE import_job SET claim_token = claim_token + 1 ORDER BY id LIMIT 1")
        try:
            end(*arguments)
        except LeaseLost as error:
            lost.append(error)
            raise

    monkeypatch.setattr(group_import, "_end", losing)
    run_all(pool)
    assert (len(lost), groups) == (1, [0])
    assert statuses(world, names) == ["importing", "imported", "imported"]
    assert [kind for kind, _ in world.events(names[0])][-1] == "job_claimed"
    assert world.one("SELECT COUNT(*) FROM asset") == 2
    assert sample(context, "leases_lost_total") == 1


def test_a_value_that_the_database_refuses_fails_its_own_item(
    world: World, context: Context, groups: list[int]
) -> None:
    world.sql("ALTER TABLE asset ADD CONSTRAINT site CHECK (title <> 'b')")
    try:
        names = [put(world, name) for name in "abc"]
        run_all(queued(world, context))
    finally:
        world.sql("ALTER TABLE asset DROP CONSTRAINT site")
    assert groups == [0]
    assert statuses(world, names) == ["imported", "failed", "imported"]
    assert world.decisions(names[1]) == {md5("b"): "failed:database_refused"}


def test_an_unforeseen_error_leaves_all_to_runs_of_their_own(
    world: World, context: Context, monkeypatch: pytest.MonkeyPatch, groups: list[int]
) -> None:
    def failing(*_arguments: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(group_import, "_write_items", failing)
    names = [put(world, name) for name in "abc"]
    run_all(queued(world, context))
    assert groups == [0]
    assert statuses(world, names) == ["imported"] * 3
    assert world.counted() == world.tallies()


def test_all_of_a_group_are_running(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """They get heartbeats, also those that are left over."""
    context = of_threads(world, 2)
    names = [put(world, name) for name in "abcd"]
    pool = queued(world, context)
    seen: list[Any] = []

    def look(*_arguments: Any) -> Any:
        seen.append((sorted(lease.sync_id for lease in pool.leases), pool.workers()))
        return []

    monkeypatch.setattr(Together, "run", look)
    execute = Run.execute
    monkeypatch.setattr(Run, "execute", lambda self: (look(), execute(self))[1])
    pool.claim_and_run(0)
    first = sorted(names[:2])
    assert seen == [(first, {"idle": 1, "busy": 1})] * 2 + [([names[1]], {"idle": 1, "busy": 1})]
    assert statuses(world, names) == ["imported", "imported", "queued", "queued"], "the others are for the other worker"


def test_what_is_left_is_run_by_other_workers_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    context = of_threads(world, 2)
    names = [put(world, name) for name in "abcd"]
    pool = queued(world, context)
    monkeypatch.setattr(Together, "run", lambda _self: [])
    execute = Run.execute

    def run(self: Run) -> str:
        if self._lease.sync_id == names[0]:  # it takes long
            assert pool._run_left(1)
        return execute(self)

    monkeypatch.setattr(Run, "execute", run)
    pool.claim_and_run(0)
    assert statuses(world, names) == ["imported", "imported", "queued", "queued"]
    assert pool.leases == []


def test_a_stopping_daemon_puts_back_all_of_a_group(
    world: World, context: Context, monkeypatch: pytest.MonkeyPatch, groups: list[int]
) -> None:
    names = [put(world, name) for name in "abc"]
    pool = queued(world, context)
    request = Together._request

    def stop(self: Together, requests: Any) -> Any:
        pool._stopping.set()
        return request(self, requests)

    monkeypatch.setattr(Together, "_request", stop)
    pool.claim_and_run(0)
    assert groups == [0]
    assert statuses(world, names) == ["queued"] * 3
    assert all(world.events(one)[-1][1]["reason"] == "stopping" for one in names)
    assert (pool.leases, world.one("SELECT COUNT(*) FROM asset")) == ([], 0)


def test_bundles_that_take_long_to_read_are_read_one_by_one_for_a_while(
    world: World, context: Context, monkeypatch: pytest.MonkeyPatch, groups: list[int]
) -> None:
    monkeypatch.setattr(together, "READING_SECONDS", -1.0)
    names = [put(world, name) for name in "abc"]
    pool = queued(world, context)
    pool.claim_and_run(0)
    assert (groups, statuses(world, names)) == ([0], ["imported"] * 3)
    monkeypatch.setattr(together, "READING_SECONDS", 2.0)
    more = [put(world, name) for name in "def"]
    run_all(queued(world, context))
    assert (groups, statuses(world, more)) == ([0], ["imported"] * 3)


def test_nothing_is_claimed_while_the_queue_is_paused(world: World, context: Context, groups: list[int]) -> None:
    names = [put(world, name) for name in "abc"]
    pool = queued(world, context)
    world.sql("UPDATE ingest_control SET paused = 1")
    run_all(pool)
    assert (groups, statuses(world, names)) == ([], ["queued"] * 3)


def test_after_work_was_given_back_one_job_at_a_time_is_claimed(
    world: World, context: Context, groups: list[int]
) -> None:
    names = [put(world, name) for name in "abc"]
    pool = queued(world, context)
    pool._pace.released(float("inf"))
    pool._pace._next_claim_at = 0.0
    pool.claim_and_run(0)
    assert (groups, statuses(world, names)) == ([], ["imported", "queued", "queued"])


def test_a_claim_locks_only_what_it_may_take(world: World, context: Context) -> None:
    names = [put(world, name) for name in "abcde"]
    queued(world, context)
    assert statuses(world, names) == ["queued"] * len(names)
    with owner_cursor(world.server.owner_settings()) as cursor:
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        cursor.execute("BEGIN")
        cursor.execute(job_groups._sql.next_some_queued.sql % {"job_ids": "(0)", "limit": 3})
        first = [row[0] for row in cursor.fetchall()]
        left = context.db.transaction(lambda tx: job_groups.next_queued(tx, 5))
    assert len(first) == 3
    assert [one.id for one in left] == [first[-1] + 1, first[-1] + 2]


def test_a_crash_has_all_of_a_group_run_alone_next(world: World, context: Context, groups: list[int]) -> None:
    names = [put(world, name) for name in "abc"]
    pool = queued(world, context)
    me = this_instance()
    leases = claim_group(context, "here/pid:4194000/0", str(me._replace(pid=4_194_000)), 16)
    assert len(leases) == 3
    assert Rescuer(context, me).reset_dead() == 3
    assert world.sql("SELECT DISTINCT state, isolate_items, crash_count FROM import_job") == [("queued", 1, 1)]
    run_all(pool)
    assert (groups, statuses(world, names)) == ([], ["imported"] * 3)


def test_what_was_read_ahead_on_a_far_mount_is_read_once(
    world: World, context: Context, monkeypatch: pytest.MonkeyPatch, groups: list[int]
) -> None:
    monkeypatch.setattr(Mount, "is_remote", True)
    names = [put(world, name) for name in "abc"]
    pool = queued(world, context)
    ReadAhead(context).run_once()

    def never(*_arguments: Any, **_options: Any) -> Any:
        raise AssertionError("it was read already")

    monkeypatch.setattr(context.mount, "read_items", never)
    monkeypatch.setattr(context.mount, "digest_manifests", never)
    run_all(pool)
    assert (groups, statuses(world, names)) == ([3], ["imported"] * 3)


def test_on_a_far_mount_a_group_waits_for_nothing(
    world: World, context: Context, monkeypatch: pytest.MonkeyPatch, groups: list[int]
) -> None:
    monkeypatch.setattr(Mount, "is_remote", True)
    names = [put(world, name) for name in "abc"]
    run_all(queued(world, context))
    assert statuses(world, names) == ["imported"] * len(names)
    assert groups == []


def test_the_others_are_woken_where_more_may_be_queued(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    context = of_threads(world, 2)
    names = [put(world, name) for name in "abcd"]
    pool = queued(world, context)
    assert statuses(world, names) == ["queued"] * len(names)
    woken: list[None] = []
    monkeypatch.setattr(pool.services[1], "wake", lambda: woken.append(None))
    WorkerPool.wake_one(pool)
    woken.clear()
    pool.claim_and_run(0)
    assert len(woken) == 1
