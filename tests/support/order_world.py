"""Bundles of the model, delivered and imported for real; and what readers then see, in the words of the model."""

import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import astuple
from functools import partial
from typing import Any, NamedTuple

import hypothesis.strategies as st
import pytest

from ingestd.errors import NotEligible
from ingestd.model import Scope
from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.importer.fence import Fence
from ingestd.pipeline.preflight import preflight
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.sweeps import Sweeper
from ingestd.pipeline.worker_pool import WorkerPool
from support.order_model import Asset, Bundle, CoverItem, Listing
from support.world import World, empty, md5

TIME = "2026-04-01T{:02d}:{:02d}:00Z"
MISSING = "missing.jpg"
SYNC_ID = "00000000-0000-4000-8000-{:0>12}"


def sync_id_of(name: str) -> str:
    """The sync_id of a bundle that the model calls by a short name of hex digits; in the same order."""
    return SYNC_ID.format(name)


def deliver(world: World, bundle: Bundle) -> str:
    """Writes the bundle and its files to the mount; returns its sync_id."""
    for asset in bundle.assets:
        for name in asset.documents:
            world.file(f"{_path(asset)}/source/data/{name}.json", f'"{name}"'.encode())
    sync_id = world.put(
        *map(_asset, bundle.assets),
        *map(_cover, bundle.covers),
        sync_id=sync_id_of(bundle.sync_id),
        action=bundle.action,
        completed_at=TIME.format(*divmod(bundle.at, 60)),
        prior_sync_id=None if bundle.prior is None else sync_id_of(bundle.prior),
        containers=[_listing(listing) for listing in bundle.listings],
    )
    for path in (*map(_path, bundle.assets), *map(_path, bundle.covers)):
        (world.root / path / MISSING).unlink(missing_ok=True)
    return sync_id


def _path(content: Asset | CoverItem) -> str:
    """A folder for this content, so that the same content is the same entry, whatever delivers it."""
    values = [sorted(value) if isinstance(value, frozenset) else value for value in astuple(content)]
    return f"{content.hash}/{md5(repr(values))}"


def _asset(asset: Asset) -> dict[str, Any]:
    return {
        "type": "photo",
        "hash": md5(asset.hash),
        "path": _path(asset),
        "title": asset.title,
        "cover_hash": None if asset.cover is None else md5(asset.cover),
        "files": [*map(_file, sorted(asset.files)), *_missing(asset)],
    }


def _file(name: str, variant: str | None = None) -> dict[str, Any]:
    return {"variant": variant or name, "path": f"{name}.jpg", "bytes": 1}


def _missing(item: Asset | CoverItem) -> list[dict[str, Any]]:
    return [{"variant": "missing", "path": MISSING, "bytes": 1}] if item.fails else []


def _cover(item: CoverItem) -> dict[str, Any]:
    named = {"type": "cover", "hash": md5(item.hash), "parent_hash": md5(item.asset)}
    if item.file is None and not item.fails:
        return named
    delivered = [] if item.file is None else [_file(item.file, "original")]
    return {**named, "path": _path(item), "files": [*delivered, *_missing(item)]}


def _listing(listing: Listing) -> dict[str, Any]:
    return {
        "type": listing.kind,
        "hash": md5(listing.hash),
        "title": listing.title,
        "items": [md5(member) for member in listing.members],
        "complete": listing.complete,
    }


# sites


class Crash(BaseException):
    """The process dies."""


class Interruption(NamedTuple):
    """What happens while the bundle at a place is imported, or after it.

    `crash` and `crash_after`: its process dies before, or after, the transaction of this number. `reimport`, `failed`,
    `deferred`: a bundle that has arrived is queued again, for all items or for some. `preflight`: it is planned. Both
    happen before the new one is queued if the number is odd, else afterwards.
    """

    place: int
    kind: str
    number: int


interruptions = st.builds(
    Interruption,
    st.integers(0, 4),
    st.sampled_from(["crash", "crash_after", "reimport", "failed", "deferred", "preflight"]),
    st.integers(0, 6),
)


class Site:
    """Daemons with one library, on which bundles of the model are delivered and imported."""

    def __init__(self, world: World, contexts: Sequence[Context]) -> None:
        self._world, self._contexts = world, contexts
        self._crashes: dict[int, str] = {}
        self._transactions = 0

    def begin_again(self) -> None:
        """Empties the library and the mount."""
        empty(self._world)
        for folder in self._world.root.iterdir():
            shutil.rmtree(folder)
        (self._world.root / "sync").mkdir()

    def seen(self, names: Sequence[str]) -> dict[str, object]:
        return seen(self._world, names)

    def import_each(self, arrival: Iterable[Bundle], happenings: Sequence[Interruption] = ()) -> None:
        """Delivers, records and imports one bundle after another, and then all that waits for others."""
        sync_ids: list[str] = []
        for place, bundle in enumerate(arrival):
            now = [happening for happening in happenings if happening.place == place]
            self._crashes = {what.number: what.kind for what in now if what.kind.startswith("crash")}
            self._transactions = 0
            sync_ids.append(self._deliver(bundle))
            self._happen(sync_ids, [what for what in now if what.number % 2])
            self._queue_new(sync_ids[-1])
            self._run_all()
            self._happen(sync_ids, [what for what in now if not what.number % 2])
        self._settle()

    def _happen(self, sync_ids: Sequence[str], happenings: Iterable[Interruption]) -> None:
        for what in happenings:
            sync_id = sync_ids[what.number % len(sync_ids)]
            if what.kind == "preflight":
                preflight(self._contexts[0], sync_id)
            elif not what.kind.startswith("crash"):
                self._queue(sync_id, Scope(what.kind))
                self._run_all()

    def _queue_new(self, sync_id: str) -> None:
        """Has the sweep queue a bundle, where that is set, or a person."""
        if self._contexts[0].settings.queue.auto:
            Sweeper(self._contexts[0]).queue_new()
        else:
            self._queue(sync_id, Scope.ALL)

    def import_at_once(self, arrival: Sequence[Bundle], workers: int) -> None:
        """Delivers all bundles at once, and runs their jobs in several workers; what is delivered again comes later."""
        for delivery in sorted({bundle.delivery for bundle in arrival}):
            sync_ids = [deliver(self._world, bundle) for bundle in arrival if bundle.delivery == delivery]
            self._world.scan(self._contexts[0])
            for sync_id in sync_ids:
                self._queue(sync_id, Scope.ALL)
            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(self._work, range(workers)))
            self._run_all()
        self._settle()

    def import_in_groups(self, arrival: Sequence[Bundle], workers: int) -> None:
        """As `import_at_once`, by the workers of one pool, which take several small bundles together."""
        context = self._contexts[0]
        for delivery in sorted({bundle.delivery for bundle in arrival}):
            for bundle in arrival:
                if bundle.delivery == delivery:
                    deliver(self._world, bundle)
            self._world.scan(context)
            Sweeper(context).queue_new()
            pool = WorkerPool(context, this_instance())
            with ThreadPoolExecutor(workers) as threads:
                list(threads.map(partial(_run_in, pool, Sweeper(context)), range(workers)))
            self._run_all()
        self._settle()

    def interrupt(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Makes runs crash at the transactions that `import_each` gets."""
        real = Fence.guarded
        monkeypatch.setattr(Fence, "guarded", lambda fence, work: self._around(lambda: real(fence, work)))

    def _around(self, work: Callable[[], Any]) -> Any:
        crash = self._crashes.pop(self._transactions, None)
        self._transactions += 1
        if crash == "crash":
            raise Crash
        result = work()
        if crash is not None:
            raise Crash
        return result

    def _deliver(self, bundle: Bundle) -> str:
        sync_id = deliver(self._world, bundle)
        self._world.scan(self._contexts[0])
        return sync_id

    def _queue(self, sync_id: str, scope: Scope) -> None:
        with suppress(NotEligible):
            enqueue(self._contexts[0], QueueRequest(sync_id, "tester", scope=scope))

    def _work(self, slot: int) -> None:
        """Runs jobs until none is left that may be run."""
        context = self._contexts[slot % len(self._contexts)]
        while self._run(context, slot) or Sweeper(context).promote():
            pass

    def _run_all(self) -> None:
        while any(self._run(context, slot) for slot, context in enumerate(self._contexts)):
            Sweeper(self._contexts[0]).promote()
        if Sweeper(self._contexts[0]).promote():
            self._run_all()

    def _run(self, context: Context, slot: int) -> bool:
        """Whether a job was run, or its process died, whose job is then put back."""
        try:
            return self._world.run_next(context, slot) is not None
        except Crash:
            put_back = "UPDATE import_job SET state = 'queued', claim_token = claim_token + 1 WHERE state = 'running'"
            self._world.sql(put_back)
            return True

    def _settle(self) -> None:
        """Runs what sweeps find to be done, until they find nothing."""
        sweeper = Sweeper(self._contexts[0])
        while sweeper.queue_new() + sweeper.place() + sweeper.revive():
            self._run_all()


def _run_in(pool: WorkerPool, sweeper: Sweeper, slot: int) -> None:
    """Runs jobs as one worker of a pool until none is left that may be run."""
    while pool.claim_and_run(slot) == 0.0 or sweeper.promote():
        pass


# what readers see


def seen(world: World, names: Sequence[str]) -> dict[str, object]:
    """What `order_model.visible` says, read from the library; `names` are all names that hashes were made from."""
    name_of = {md5(name): name for name in names}
    return {
        **_assets(world, name_of),
        **_containers(world, "gallery", name_of),
        **_containers(world, "collection", name_of),
    }


def _assets(world: World, name_of: dict[str, str]) -> dict[str, object]:
    live = world.sql("SELECT id, hash, title FROM asset WHERE deleted_at IS NULL")
    files = _grouped(world.sql("SELECT asset_id, variant FROM asset_file WHERE deleted_at IS NULL"))
    kinds = _grouped(world.sql("SELECT asset_id, analysis_kind FROM asset_ai_run WHERE is_current = 1"))
    covers = {
        id_: (name_of[hash_], path and path.rsplit("/", 1)[1].removesuffix(".jpg"))
        for id_, hash_, path in world.sql("SELECT asset_id, cover_hash, path FROM asset_cover WHERE deleted_at IS NULL")
    }
    return {
        name_of[hash_]: (title, files.get(id_, []), [_document(kind) for kind in kinds.get(id_, [])], covers.get(id_))
        for id_, hash_, title in live
    }


def _document(kind: str) -> str:
    return kind.removeprefix("source_data:").removesuffix(".json")


def _grouped(rows: Iterable[tuple[Any, ...]]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for id_, value in sorted(rows):
        found.setdefault(id_, []).append(value)
    return found


def _containers(world: World, kind: str, name_of: dict[str, str]) -> dict[str, object]:
    members = world.sql(
        f"SELECT m.{kind}_id, m.position, a.hash FROM asset_{kind}_item m JOIN asset a ON a.id = m.asset_id"
        " WHERE m.deleted_at IS NULL AND a.deleted_at IS NULL"
    )
    rows = world.sql(f"SELECT id, hash, title FROM asset_{kind} WHERE deleted_at IS NULL")
    return {f"{kind} {name_of[hash_]}": (title, _ordered(members, id_, name_of)) for id_, hash_, title in rows}


def _ordered(members: Iterable[tuple[int, int, str]], id_: int, name_of: dict[str, str]) -> list[str]:
    found = [(position, name_of[hash_]) for container, position, hash_ in members if container == id_]
    return [name for _, name in sorted(found)]
