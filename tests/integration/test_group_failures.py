"""What stands in the way of one bundle of a group leaves it, or all of them, to runs of their own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ingestd.pipeline import claims
from ingestd.pipeline.context import Context
from ingestd.pipeline.importer import group_import, together
from ingestd.pipeline.importer.together import Together
from ingestd.store import library
from support.groups import lose_first_job, of_threads, put, queued, statuses
from support.mariadb_proxy import Fault, drop_reply, drop_request
from support.proxied import proxied
from support.workers import run_all
from support.world import World, md5, photo, sample


@pytest.fixture
def context(world: World) -> Context:
    return of_threads(world, 1)


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


def test_another_manifest_that_was_recorded_meanwhile_is_seen(
    world: World, context: Context, monkeypatch: pytest.MonkeyPatch, groups: list[int]
) -> None:
    names = [put(world, name) for name in "abc"]
    pool, request = queued(world, context), Together._read

    def recorded(self: Together, requests: Any) -> Any:
        world.sql("UPDATE ingest_batch SET manifest_sha256 = REPEAT('0', 64) WHERE sync_id = %s", names[1])
        return request(self, requests)

    monkeypatch.setattr(Together, "_read", recorded)
    run_all(pool)
    assert (groups, statuses(world, names)) == ([2], ["imported"] * 3)
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
    pool, lost = queued(world, context), lose_first_job(world, monkeypatch)
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


@pytest.mark.parametrize(
    ("how", "lost"), [(drop_reply, "claim"), (drop_request, "claim"), (drop_reply, "import"), (drop_request, "import")]
)
def test_a_lost_commit_is_neither_forgotten_nor_repeated(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, groups: list[int], how: Any, lost: str
) -> None:
    with proxied(world, tmp_path) as site:
        names = [put(world, name) for name in "abc"]
        pool, fault = queued(site, of_threads(site, 1)), Fault("^COMMIT", how)
        owner, name = (claims, "_build_leases") if lost == "claim" else (group_import, "_end")
        function = getattr(owner, name)

        def losing(*arguments: Any) -> Any:
            site.proxy.add(fault)
            return function(*arguments)

        monkeypatch.setattr(owner, name, losing)
        pool.claim_and_run(0)
        assert fault.done
    assert (groups, statuses(world, names)) == ([3], ["imported"] * 3)
    for one in names:
        kinds = [kind for kind, _ in world.events(one)]
        assert [kinds.count(kind) for kind in ("job_claimed", "item_created", "job_finished")] == [1] * 3


def test_an_asset_that_another_one_inserts_meanwhile_is_left_to_a_run_of_its_own(
    world: World, context: Context, monkeypatch: pytest.MonkeyPatch, groups: list[int]
) -> None:
    names = [put(world, name) for name in "abc"]
    pool, insert = queued(world, context), library.insert_assets

    def late(*arguments: Any) -> Any:
        world.sql("INSERT IGNORE INTO asset (hash, deleted_at) VALUES (%s, NOW())", md5("b"))
        return insert(*arguments)

    monkeypatch.setattr(library, "insert_assets", late)
    run_all(pool)
    assert (groups, statuses(world, names)) == ([2], ["imported"] * 3)
    assert world.decisions(names[1]) == {md5("b"): "created"}
