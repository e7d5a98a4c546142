"""The limit on removals under random bundles, deliveries, crashes and changes, against a count of what readers see."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from ingestd.errors import IngestdError, RemovalRefused
from ingestd.model import Scope
from ingestd.pipeline import cancelling
from ingestd.pipeline.context import Context
from ingestd.pipeline.importer.fence import Fence
from support.refusals import refused_changes
from support.removals import container, entries, names, queue
from support.scale import scaled
from support.visible import Row, gone, visible
from support.world import World, cover, empty, photo

LIMIT = 1
ASSETS = names(4)
KINDS = ("gallery", "collection")

some = st.sets(st.sampled_from(ASSETS)).map(sorted)
contents = st.fixed_dictionaries(
    {
        "action": st.sampled_from(["update", "remove", "remove"]),
        "assets": some,
        "files": st.integers(0, 2),
        "covers": some,
        "lists": st.lists(
            st.tuples(st.sampled_from(KINDS), some, st.booleans()), max_size=2, unique_by=lambda listed: listed[0]
        ),
    }
)
events = st.sampled_from(["crash", "crash_after", "bring_back", "bring_back", "hide", "deliver_again", "cancel"])
happenings = st.lists(st.tuples(st.integers(1, 5), events, some), max_size=2)
kept = st.one_of(st.just(None), st.tuples(st.one_of(st.just([]), some), st.booleans()))
"""the assets that a site refuses to remove during a run, and whether it also refuses to remove galleries"""
scopes = st.sampled_from([Scope.ALL, Scope.ALL, Scope.REIMPORT, Scope.FAILED])
episodes = st.fixed_dictionaries(
    {
        "hidden": some,
        "number": st.integers(0, 1),
        "content": contents,
        "scope": scopes,
        "force": st.sampled_from([False, False, False, True]),
        "runs": st.lists(st.tuples(st.integers(0, 1), happenings, kept), min_size=1, max_size=2),
        "retry": st.sampled_from([None, Scope.FAILED, Scope.ALL]),
    }
)
many = settings(
    max_examples=scaled(4, 300), deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
"""without shrinking, which takes minutes"""


class Crash(BaseException):
    """The process dies."""


class Site:
    """Daemons with one library, and the rows that each batch took out of sight without approval."""

    def __init__(self, world: World, contexts: list[Context]) -> None:
        self.world, self.contexts = world, contexts
        self.batches: list[str] = []
        self.unapproved: dict[str, set[Row]] = {}
        self.brought_back: set[str] = set()
        self.latest: set[Row] = set()
        self.violations: list[Any] = []
        """kept, because a run ends at an exception, whatever it is"""
        self.happenings: list[tuple[int, str, list[str]]] = []
        self.transactions = 0

    def episode(
        self,
        hidden: list[str],
        number: int,
        content: dict[str, Any],
        scope: Scope,
        force: bool,
        runs: Any,
        retry: Scope | None,
    ) -> None:
        """A bundle arrives while some assets are out of sight, and is imported whatever happens meanwhile."""
        self.bring_back(ASSETS)
        self.hide(hidden)
        sync_id = self.batches[number] if number < len(self.batches) else None
        self.deliver(content, 2 + number, sync_id)
        self.queue(number, scope, force)
        for slot, happening, kept in runs:
            with self.site_keeps(kept):
                self.run(slot, happening)
            if retry is not None:
                self.queue(number, retry, force=False)
                self.run(slot, [])

    @contextmanager
    def site_keeps(self, kept: tuple[list[str], bool] | None) -> Iterator[None]:
        """Meanwhile the site refuses that a bundle changes some assets, or galleries: they fail."""
        if kept is None:
            yield
            return
        titles = ", ".join(f"'{title}'" for title in ["", *kept[0]])
        conditions = {"asset": f"NEW.title IN ({titles})", "asset_gallery": str(kept[1])}
        by_a_bundle = "NOT NEW.sync_id <=> OLD.sync_id"
        with refused_changes(self.world, {table: f"{by_a_bundle} AND {these}" for table, these in conditions.items()}):
            yield

    def deliver(self, content: dict[str, Any], day: int, sync_id: str | None = None) -> str:
        assets = content["assets"]
        made = entries(assets) if content["action"] == "remove" else [photo(n, files=content["files"]) for n in assets]
        covers = [cover(f"c{name}", name) for name in content["covers"]]
        lists = [container(kind, members, kind, complete=full) for kind, members, full in content["lists"]]
        sync_id = self.world.put(*made, *covers, sync_id=sync_id, action=content["action"], day=day, containers=lists)
        self.world.scan(self.contexts[0])
        if sync_id not in self.batches:
            self.batches.append(sync_id)
        return sync_id

    def queue(self, number: int, scope: Scope, force: bool) -> None:
        sync_id = self.batches[min(number, len(self.batches) - 1)]
        with suppress(IngestdError):
            queue(self.contexts[0], sync_id, scope=scope, force=force)
            if force:
                self.unapproved[sync_id] = set()

    def hide(self, assets: list[str]) -> None:
        self.world.sql("UPDATE asset SET deleted_at = UTC_TIMESTAMP(6) WHERE title IN %s", ["", *assets])

    def bring_back(self, assets: list[str]) -> None:
        """As another bundle or a backup of the library does."""
        named = ["", *assets]
        self.world.sql("UPDATE asset SET deleted_at = NULL, entry_sha256 = NULL WHERE title IN %s", named)
        for table in ("asset_file", "asset_cover", "asset_gallery_item", "asset_collection_item"):
            of_assets = "asset_id IN (SELECT id FROM asset WHERE title IN %s)"
            self.world.sql(f"UPDATE {table} SET deleted_at = NULL WHERE {of_assets}", named)
        if ASSETS[0] in assets:
            self.world.sql("UPDATE asset_gallery SET deleted_at = NULL")
        self.check()

    def run(self, slot: int, happening: list[tuple[int, str, list[str]]]) -> None:
        self.happenings, self.transactions, self.latest = happening, 0, set()
        try:
            self.world.run_next(self.contexts[slot])
        except Crash:
            again = "UPDATE import_job SET state = 'queued', claim_token = claim_token + 1 WHERE state = 'running'"
            self.world.sql(again)
        assert not self.violations

    # around each transaction of a run

    def around(self, batch_id: int, work: Callable[[], Any]) -> Any:
        now = [(event, assets) for at, event, assets in self.happenings if at == self.transactions]
        self.transactions += 1
        for event, assets in now:
            self._happen(event, assets)
        before = visible(self.world)
        result = work()
        self._account(batch_id, gone(before, visible(self.world)))
        if any(event == "crash_after" for event, _ in now):
            raise Crash
        return result

    def _happen(self, event: str, assets: list[str]) -> None:
        if event == "crash":
            raise Crash
        if event == "hide":
            self.hide(assets)
        elif event == "bring_back":
            self.bring_back(assets)
        elif event == "deliver_again":
            self.deliver({"action": "remove", "assets": assets, "covers": [], "lists": []}, 2, self.batches[0])
        elif event == "cancel":
            with suppress(IngestdError):
                cancelling.cancel(self.contexts[0], self.batches[0], "tester")

    def _account(self, batch_id: int, rows: set[Row]) -> None:
        sql = "SELECT sync_id, force_sha256 <=> manifest_sha256 FROM ingest_batch WHERE id = %s"
        ((sync_id, is_forced),) = self.world.sql(sql, batch_id)
        self.latest |= rows
        if not is_forced:
            self.unapproved.setdefault(sync_id, set()).update(rows)
        self.check()

    def check(self) -> None:
        """No batch has taken more than the limit out of sight without approval, apart from what is visible again."""
        now = visible(self.world)
        for sync_id, rows in self.unapproved.items():
            if rows & now:
                self.brought_back.add(sync_id)
            rows.difference_update(now)
            if len(rows) > LIMIT:
                self.violations.append((sync_id, set(rows)))

    # the end

    def finish(self) -> None:
        """Runs all jobs; then approves the held batches one by one: each takes more than the limit out of sight."""
        self._run_all()
        for (sync_id,) in self.world.sql("SELECT sync_id FROM ingest_batch WHERE status = 'held' ORDER BY id"):
            before = len(self.unapproved.get(sync_id, ()))
            try:
                queue(self.contexts[0], sync_id)
            except RemovalRefused:
                queue(self.contexts[0], sync_id, force=True)
                self.run(0, [])
                if sync_id not in self.brought_back:
                    assert before + len(self.latest) > LIMIT, (sync_id, before, self.latest)
            self._run_all()

    def _run_all(self) -> None:
        while self.world.one("SELECT COUNT(*) FROM import_job WHERE state = 'queued'"):
            self.run(0, [])


@pytest.mark.soak
def test_no_more_than_the_limit_goes_without_approval_and_no_less_is_held(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: Any = {"queue": {"removal_limit": LIMIT}, "mount": {"verify": "none"}}
    contexts = [world.context(**limits, worker={"chunk_items": size}) for size in (1, 500)]
    sites = [Site(world, contexts)]
    real = Fence.guarded
    monkeypatch.setattr(
        Fence, "guarded", lambda self, work: sites[-1].around(self._lease.batch_id, lambda: real(self, work))
    )
    lists = [(kind, ASSETS, True) for kind in KINDS]
    start: Any = {"action": "create", "assets": ASSETS, "files": 2, "covers": ASSETS[:2], "lists": lists}

    @given(st.lists(episodes, min_size=1, max_size=3))
    @many
    def happen(chosen: list[dict[str, Any]]) -> None:
        empty(world)
        for file in (world.root / "sync").iterdir():
            file.unlink()
        site = Site(world, contexts)
        sites[:] = [site]
        site.deliver(start, 1)
        site.queue(0, Scope.ALL, force=False)
        site.run(0, [])
        site.batches.clear()
        for episode in chosen:
            site.episode(**episode)
        site.finish()

    happen()
