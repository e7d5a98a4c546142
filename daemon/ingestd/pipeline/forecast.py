"""What a plan forecasts: the verdict on each entry, and how many rows the bundle would take out of sight."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import structlog

from ingestd import decide
from ingestd.errors import unforeseen
from ingestd.format.container import CONTAINER_TYPES, Container
from ingestd.format.entry import Entry
from ingestd.format.manifest import Manifest
from ingestd.library_records import StoredContainer
from ingestd.model import Action, Decision, Reason, Scope, Verdict
from ingestd.pipeline.evaluate import Bundle, LibraryState, dropped_files, evaluate, load_state
from ingestd.pipeline.staging import Forecast, Forecaster, Plan
from ingestd.removal_counts import NO_REMOVALS, Removals
from ingestd.store import batch_container, library, removal
from ingestd.store.db import Tx

log = structlog.get_logger()

ONE_ASSET, ONE_COVER = Removals(assets=1), Removals(files=1)
MAY_REMOVE = frozenset({Decision.UPDATED, Decision.REMOVED})


def forecaster(bundle: Bundle) -> Forecaster:
    """Forecasts entries of a bundle."""
    return lambda tx, entries: from_state(tx, bundle, entries, load_state(tx, bundle, entries))


def from_state(tx: Tx, bundle: Bundle, entries: Sequence[Entry], state: LibraryState) -> list[Forecast]:
    """The forecast of some entries, given the stored rows that they concern."""
    arriving = bundle.index.arriving
    try:
        verdicts = [evaluate(entry, bundle, state, arriving=arriving) for entry in entries]
    except Exception:
        log.exception("not_forecast")
        verdicts = [_verdict(entry, bundle, state) for entry in entries]
    if MAY_REMOVE.isdisjoint(verdict.decision for verdict in verdicts):
        return [Forecast(verdict, NO_REMOVALS) for verdict in verdicts]
    removals = _removals(tx, state, list(zip(entries, verdicts, strict=True)))
    return list(map(Forecast, verdicts, removals))


def _verdict(entry: Entry, bundle: Bundle, state: LibraryState) -> Verdict:
    """The verdict on one entry of which some cannot be forecast. The import decides again."""
    try:
        return evaluate(entry, bundle, state, arriving=bundle.index.arriving)
    except Exception as error:  # noqa: BLE001  one of them was logged
        return Verdict(Decision.FAILED, Reason.INTERNAL_ERROR, unforeseen(error))


def _removals(tx: Tx, state: LibraryState, decided: Sequence[tuple[Entry, Verdict]]) -> Iterator[Removals]:
    """What each entry would take out of sight: nothing of an asset that is out of sight already."""
    updates = {
        state.assets[entry.asset_hash].id: entry
        for entry, verdict in decided
        if verdict.decision is Decision.UPDATED and not entry.is_cover and state.is_live(entry.asset_hash)
    }
    files: dict[str, int] = {}
    for id_, _variant in dropped_files(tx, updates.items()):
        files[updates[id_].asset_hash] = files.get(updates[id_].asset_hash, 0) + 1
    for entry, verdict in decided:
        if verdict.decision is Decision.REMOVED:
            yield ONE_ASSET if not entry.is_cover else ONE_COVER if state.is_live(entry.parent_hash) else NO_REMOVALS
        elif verdict.decision is Decision.UPDATED and entry.asset_hash in files:
            yield Removals(files=files[entry.asset_hash])
        else:
            yield NO_REMOVALS


def less_covers_of_removed(tx: Tx, batch_id: int, bundle: Bundle, plan: Plan) -> Removals:
    """The count of a plan without covers that go with their assets, for a batch whose items are staged."""
    removals = plan.removals
    if bundle.action is Action.REMOVE and removals.files:
        covers = removal.count_covers_of_removed(tx, batch_id, plan.removed_again)
        return replace(removals, files=removals.files - covers)
    return removals


def removed_members(
    tx: Tx, batch_id: int, bundle: Bundle, manifest: Manifest, removed_again: Sequence[int]
) -> Removals:
    """The members that the undecided containers of a batch, whose items are staged, would take out of sight.

    `removed_again`: rows of failed items, of which the members go with their assets.
    """
    removing = {c.identity: c.ordinal for c in manifest.containers() if _may_remove(bundle, c)}
    if not removing:
        return NO_REMOVALS
    undecided = batch_container.undecided(tx, batch_id, Scope.ALL)
    ordinals = {identity: ordinal for identity, ordinal in removing.items() if identity in undecided}
    count = partial(_count_removed, tx, batch_id, bundle, removed_again=removed_again)
    counts = _count_each(tx, bundle, manifest, ordinals, count)
    return Removals(members=sum(counts))


def _may_remove(bundle: Bundle, container: Container) -> bool:
    usable = container.problem is None and container.type in CONTAINER_TYPES
    return usable and (container.complete or bundle.action is Action.REMOVE)


def _count_each(
    tx: Tx,
    bundle: Bundle,
    manifest: Manifest,
    ordinals: dict[tuple[str, str], int],
    count: Callable[[Container, StoredContainer], int],
) -> Iterable[int]:
    """The members that each of some containers, given by their places, would take out of sight."""
    for kind in sorted(CONTAINER_TYPES):
        named = {hash_: ordinal for (type_, hash_), ordinal in ordinals.items() if type_ == kind}
        for hash_, stored in library.known_containers(tx, kind, sorted(named), bundle.version).items():
            if not stored.deleted:
                yield count(manifest.container(named[hash_]), stored)


def _count_removed(
    tx: Tx,
    batch_id: int,
    bundle: Bundle,
    container: Container,
    stored: StoredContainer,
    *,
    removed_again: Sequence[int],
) -> int:
    """The members of a live container that a bundle takes out of sight.

    A removal takes all. A complete list takes those that it leaves out; what it lists may be live by then, and stays.
    """
    if bundle.action is Action.REMOVE:
        verdict = decide.decide_container(bundle.action, bundle.version, stored, False, ())
        if verdict.decision is not Decision.REMOVED:
            return 0
        return library.count_planned_members(tx, container.type, stored.id, batch_id, removed_again)
    members = library.planned_members(tx, container.type, stored.id, batch_id, bundle.version)
    listed = set(container.members)
    return sum(hash_ not in listed and not decide.is_older(bundle.version, version) for hash_, version in members)
