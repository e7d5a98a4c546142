"""Queries of lists and pages: correct rows, read by index, few of them in tables of any size."""

from collections.abc import Callable, Iterable
from functools import partial
from itertools import product
from types import ModuleType
from typing import Any

import pytest

from ingestd.model import JobState
from ingestd.records import Batch, Job
from ingestd.store.db import Database, Tx
from ingestd.store.queries import batches, events, items, jobs, paging
from ingestd.store.queries.batches import Filter
from ingestd.store.queries.paging import NEWEST
from support.large_database import fill_database
from support.paging import each_of
from support.plans import plan_of, rows_touched
from support.world import World, md5

KEYS = {
    batches: {
        "find": {"identity"},
        "named": {"identity", "one_active_job"},
        "newest": {"PRIMARY", "one_active_job"},
        "by_status": {"by_status", "one_active_job"},
        "by_action": {"by_action", "one_active_job"},
        "by_status_and_action": {"by_status_and_action", "one_active_job"},
        "count_sync_ids": {"identity"},
        "count_hosts": {"by_host"},
        "beginning": {"identity", "by_host", "PRIMARY", "one_active_job"},
        "beginning_with": {"identity"},
        "oldest_and_newest": set(),
        "beginning_in_window": {"PRIMARY", "one_active_job"},
        "counts": {"by_status"},
    },
    jobs: {
        "of_batch": {"by_batch", "PRIMARY"},
        "active": {"claim", "PRIMARY"},
        "finished": {"by_finished", "PRIMARY"},
        "newest": {"PRIMARY"},
        "active_in_state": {"claim", "PRIMARY"},
        "oldest_and_newest": set(),
        "active_in_window": {"PRIMARY"},
        "ended": {"by_ended", "PRIMARY"},
        "counts": {"claim"},
        "counts_up_to": {"claim"},
    },
    items: {
        "window": {"by_ordinal"},
        "listed": {"by_ordinal"},
        "decided": {"by_ordinal"},
        "needing_attention": {"by_needs_attention"},
        "containers": {"by_ordinal"},
    },
    events: {
        "newest": {"PRIMARY"},
        "of_batch": {"by_batch", "PRIMARY"},
        "of_type": {"by_type", "PRIMARY"},
        "of_actor": {"PRIMARY"},
        "window": {"PRIMARY"},
        "window_of_batch": {"by_batch"},
        "window_of_type": {"by_type"},
        "window_of_actor": {"PRIMARY"},
        "ends": set(),
        "first_from": {"PRIMARY"},
    },
}
VALUES = {
    "before": 10**9, "limit": 101, "window": paging.WINDOW, "after": -1, "up_to": 2000, "down_to": 5000,
    "decision": "'failed'", "state": "'queued'", "status": "'failed'", "action": "'update'",
    "event_type": "'item_created'", "actor": "'olga'", "since": "NULL", "id": 50,
    "sync_ids": ("0", "1", "2"), "sync_id": f"'{md5('1')[:3]}%'", "source_host": r"'flux-\_1%'",
}  # fmt: skip
# There is no index in the order of (state, id); what the index holds of one state is sorted, and most is left unread.
SORTS = {"active_in_state"}


@pytest.fixture
def db(world: World) -> Database:
    return world.context().db


def ids(rows: Iterable[Batch | Job]) -> list[int]:
    return [row.id for row in rows]


# plans


@pytest.mark.parametrize("module", KEYS)
def test_every_list_uses_the_order_of_an_index(world: World, module: ModuleType) -> None:
    batch_id, queries = fill_database(world), module._sql
    assert set(KEYS[module]) == set(queries.names)
    for name, keys in KEYS[module].items():
        sync_id = {"sync_id": f"RPAD('{md5('1')}', 36, '0')"} if name == "find" else {}
        steps = plan_of(world, getattr(queries, name), {**VALUES, "batch_id": batch_id} | sync_id)
        assert {step.key for step in steps if not step.is_derived} == keys, (name, steps)
        assert not [step for step in steps if step.scans], (name, steps)
        assert name in SORTS or not [step for step in steps if step.sorts], (name, steps)


def test_a_page_of_batches_reads_at_most_its_window(world: World, db: Database) -> None:
    fill_database(world)
    few = [Filter(), Filter("failed"), Filter(None, "update"), Filter("failed", "update"), Filter(prefix="none")]
    many = [Filter(prefix=md5("1")[0]), Filter("ready", "create", "flux-1"), Filter("new", prefix="f")]
    for wanted in (*few, *many):
        touched = rows_touched(db, partial(batches.page, wanted=wanted, before=NEWEST, limit=10))
        assert touched < (100 if wanted in few else 5 * paging.WINDOW), wanted


def test_a_late_page_reads_no_more_rows_than_the_first(world: World, db: Database) -> None:
    batch_id = fill_database(world)
    event, job = (world.one(f"SELECT MIN(id) + 60 FROM {table}") for table in ("ingest_event", "import_job"))
    of_batches = partial(batches.page, before=batch_id + 60, limit=10)
    pages: dict[str, Callable[[Tx], Any]] = {
        "batches": partial(of_batches, wanted=Filter()),
        "batches by status": partial(of_batches, wanted=Filter("failed")),
        "batches by action": partial(of_batches, wanted=Filter(None, "update")),
        "batches by both": partial(of_batches, wanted=Filter("failed", "update")),
        "jobs": partial(jobs.page, state=None, before=job, limit=10),
        "jobs ended": partial(jobs.page, state="failed", before=job, limit=10),
        "events": partial(events.page, wanted=events.Filter(), before=event, limit=10),
        "events of a batch": partial(events.page, wanted=events.Filter(batch_id), before=event, limit=10),
        "events of a type": partial(events.page, wanted=events.Filter(None, "item_created"), before=event, limit=10),
        "items failed": partial(items.page, batch_id=batch_id, decision="failed", after=2000, limit=10),
    }
    touched = {name: rows_touched(db, page) for name, page in pages.items()}
    assert {name: count for name, count in touched.items() if count > 100} == {}


def test_the_first_jobs_are_read_fast_despite_many_jobs(world: World, db: Database) -> None:
    fill_database(world)
    activate_all = "INSERT INTO import_job (batch_id, state, queued_at) SELECT id, 'queued', UTC_TIMESTAMP(6) FROM"
    world.sql(
        f"{activate_all} ingest_batch WHERE id NOT IN (SELECT batch_id FROM import_job WHERE active_batch_id > 0)"
    )
    world.sql("ANALYZE TABLE import_job")
    assert rows_touched(db, lambda tx: jobs.active(tx, limit=20)) < 300
    assert rows_touched(db, lambda tx: jobs.finished(tx, limit=20)) < 300
    assert rows_touched(db, lambda tx: jobs.counts_up_to(tx, 50)) < 300
    of_state = partial(jobs.page, state="queued", before=NEWEST, limit=10)
    assert rows_touched(db, of_state) < 3 * paging.WINDOW


# items


def test_a_rare_decision_gives_short_pages(world: World, db: Database) -> None:
    batch_id = fill_database(world, 10, 10)
    world.sql("DELETE FROM ingest_batch_item WHERE decision = 'failed'")
    world.sql(
        "INSERT INTO ingest_batch_item (batch_id, ordinal, asset_type, asset_hash, entry_sha256, decision, updated_at)"
        " SELECT %s, 3000 + seq, 'photo', LEFT(SHA1(seq), 32), SHA2(seq, 256), IF(seq IN (9, 6000), 'linked',"
        " 'created'), UTC_TIMESTAMP(6) FROM seq_1_to_6000",
        batch_id,
    )
    found: list[int] = []
    pages = 0
    after: int | None = -1
    while after is not None:
        page = partial(items.page, batch_id=batch_id, decision="linked", after=after, limit=10)
        assert rows_touched(db, page) < 3 * paging.WINDOW + 100
        rows, after = db.read(page)
        pages, found = pages + 1, found + [row.ordinal for row in rows]
    assert (found, pages) == ([3009, 9000], 4)


# batches

HOSTS = (
    "flux-1", "flux-10", "flux-2", "Flux-1", "50%off", "50xoff", "a_b", "axb", r"a\b", "a|b", "ärger", "ÄRGER", "it's",
    "abc", "ABC", None, None,
)  # fmt: skip
PREFIXES = (
    "f", "F", "flux-1", "flux-10", "fluxx", "50%", "50", "%", "a_", "_", "a", "A", "a\\", "\\", "a|", "ä", "Ä", "it'",
    "ABC", "abc", "0", "00000000-0000-4", "00000000-0000-4000-8000-00000000000A", "x" * 255, "\0", "\U0001f600", " ",
)  # fmt: skip


def gallery_of_batches(world: World) -> list[dict[str, Any]]:
    """Batches whose sync_ids and hosts are easily mistaken; newest first, as they are expected."""
    made = []
    for number, host in enumerate(HOSTS * 2):
        status, action = ("failed", "ready", "imported")[number % 3], ("create", "update")[number % 2]
        sync_id = f"{'abc' if number % 4 == 0 else '000'}00000-0000-4000-8000-{number:012x}"
        batch_id = world.one(
            "INSERT INTO ingest_batch (sync_id, status, action, source_host, discovered_at)"
            " VALUES (%s, %s, %s, %s, UTC_TIMESTAMP(6)) RETURNING id",
            sync_id, status, action, host,
        )  # fmt: skip
        made.append({"id": batch_id, "sync_id": sync_id, "status": status, "action": action, "source_host": host})
    return made[::-1]


def expected(made: list[dict[str, Any]], wanted: Filter) -> list[int]:
    return [
        row["id"]
        for row in made
        if wanted.status in (None, row["status"])
        and wanted.action in (None, row["action"])
        and (row["sync_id"].startswith((wanted.prefix or "").lower()) or begins(row["source_host"], wanted.prefix))
    ]


def begins(host: str | None, prefix: str | None) -> bool:
    return host is not None and host.startswith(prefix or "")


def all_pages(db: Database, wanted: Filter, limit: int) -> list[int]:
    """The ids of all pages, one after another."""
    return [row.id for row in each_of(db, partial(batches.page, wanted=wanted), limit)]


@pytest.mark.parametrize("window", [paging.WINDOW, 5, 1])
def test_every_filter_finds_the_matching_batches(
    world: World, db: Database, monkeypatch: pytest.MonkeyPatch, window: int
) -> None:
    made = gallery_of_batches(world)
    monkeypatch.setattr(paging, "WINDOW", window)
    several = product((None, "failed", "new"), (None, "update"), (None, "f", "ABC", "a_", "0"))
    for wanted in (*(Filter(prefix=prefix) for prefix in PREFIXES), *(Filter(*values) for values in several)):
        assert all_pages(db, wanted, 3) == expected(made, wanted), wanted


def test_new_rows_do_not_shift_pages(world: World, db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    made = gallery_of_batches(world)
    monkeypatch.setattr(paging, "WINDOW", 30)
    wanted = Filter(prefix="f")
    rows, before = db.read(lambda tx: batches.page(tx, wanted, before=NEWEST, limit=2))
    assert before is not None
    # So many that what begins so is no longer little: the next page is found in the other way.
    world.sql(
        "INSERT INTO ingest_batch (sync_id, status, source_host, discovered_at)"
        " SELECT RPAD(MD5(seq), 36, '0'), 'new', 'flux-3', UTC_TIMESTAMP(6) FROM seq_1_to_40"
    )
    following, _ = db.read(lambda tx: batches.page(tx, wanted, before=before, limit=100))
    assert ids(rows + following) == expected(made, wanted)


def test_batches_include_the_progress_of_their_active_job(world: World, db: Database) -> None:
    made = gallery_of_batches(world)
    job = "INSERT INTO import_job (batch_id, state, queued_at, items_done, items_total) VALUES (%s, %s, NOW(), %s, 9)"
    for state, done in (("done", 9), ("failed", 2), ("running", 4)):
        world.sql(job, made[0]["id"], state, done)
    for wanted in (Filter(), Filter(made[0]["status"]), Filter(prefix=made[0]["sync_id"])):
        rows, _ = db.read(partial(batches.page, wanted=wanted, before=NEWEST, limit=2))
        progress = [(row.items_done, row.items_total, row.job_state) for row in rows]
        assert progress[0] == (4, 9, "running")
        assert set(progress[1:]) <= {(None, None, None)}


# jobs and containers


def test_active_jobs_are_in_claim_order(world: World, db: Database) -> None:
    fill_database(world)
    rows = db.read(lambda tx: jobs.active(tx, limit=1000))
    places = [(("running", "queued", "waiting").index(row.state), row.priority, row.id) for row in rows]
    assert len(places) == 90
    assert places == sorted(places)
    assert db.read(lambda tx: jobs.active(tx, limit=40)) == rows[:40]


def test_finished_jobs_are_ordered_by_their_end(world: World, db: Database) -> None:
    fill_database(world)
    ended = [row[0] for row in world.sql("SELECT id FROM import_job WHERE ended IS NOT NULL ORDER BY finished_at DESC")]
    rows = db.read(lambda tx: jobs.finished(tx, limit=30))
    assert ids(rows) == ended[:30]
    assert ids(rows) != sorted(ended, reverse=True)[:30]


@pytest.mark.parametrize("window", [paging.WINDOW, 20])
@pytest.mark.parametrize("state", JobState)
def test_paging_through_jobs_of_one_state_finds_all(
    world: World, db: Database, monkeypatch: pytest.MonkeyPatch, state: JobState, window: int
) -> None:
    monkeypatch.setattr(paging, "WINDOW", window)
    fill_database(world, 200, 400)
    found: list[int] = []
    before: int | None = NEWEST
    while before is not None:
        rows, before = db.read(partial(jobs.page, state=state, before=before, limit=7))
        assert len(rows) == 7 or before is None or window == 20
        found += ids(rows)
    assert found == [row[0] for row in world.sql("SELECT id FROM import_job WHERE state = %s ORDER BY id DESC", state)]


def test_containers_are_in_manifest_order(world: World, db: Database) -> None:
    batch_id = fill_database(world, 10, 10)
    rows = db.read(lambda tx: items.containers(tx, batch_id, limit=60))
    listed = world.sql(
        "SELECT ordinal, type, hash FROM ingest_batch_container WHERE batch_id = %s AND in_manifest = 1"
        " ORDER BY ordinal LIMIT 60",
        batch_id,
    )
    assert [(row.ordinal, row.type, row.hash) for row in rows] == listed
    assert len(rows) == 60
