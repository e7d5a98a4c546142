"""What a plan forecasts: the verdict on each entry, and how many rows the bundle would take out of sight."""

from collections.abc import Iterable, Iterator, Sequence

from ingestd import decide
from ingestd.format.container import CONTAINER_TYPES, Container
from ingestd.format.entry import Entry
from ingestd.format.manifest import Manifest
from ingestd.model import Action, Decision, Scope, StoredContainer, Verdict
from ingestd.pipeline.evaluate import Bundle, LibraryState, dropped_files, evaluate, load_state
from ingestd.pipeline.staging import Forecast, Forecaster
from ingestd.removal_counts import NO_REMOVALS, Removals
from ingestd.store import item, library
from ingestd.store.db import Tx

ONE_ASSET, ONE_COVER = Removals(assets=1), Removals(files=1)


def forecaster(bundle: Bundle) -> Forecaster:
    """Forecasts entries of a bundle."""
    arriving = bundle.index.arriving

    def forecast(tx: Tx, entries: Sequence[Entry]) -> list[Forecast]:
        state = load_state(tx, bundle, entries)
        verdicts = [evaluate(entry, bundle, state, arriving=arriving) for entry in entries]
        removals = _removals(tx, state, list(zip(entries, verdicts, strict=True)))
        return list(map(Forecast, verdicts, removals))

    return forecast


def _removals(tx: Tx, state: LibraryState, decided: Sequence[tuple[Entry, Verdict]]) -> Iterator[Removals]:
    """What each entry would take out of sight."""
    updates = {
        state.assets[entry.asset_hash].id: entry
        for entry, verdict in decided
        if verdict.decision is Decision.UPDATED and not entry.is_cover
    }
    files: dict[str, int] = {}
    for id_, _variant in dropped_files(tx, updates.items()):
        files[updates[id_].asset_hash] = files.get(updates[id_].asset_hash, 0) + 1
    for entry, verdict in decided:
        if verdict.decision is Decision.REMOVED:
            yield ONE_COVER if entry.is_cover else ONE_ASSET
        elif verdict.decision is Decision.UPDATED and entry.asset_hash in files:
            yield Removals(files=files[entry.asset_hash])
        else:
            yield NO_REMOVALS


def removed_members(tx: Tx, batch_id: int, bundle: Bundle, manifest: Manifest) -> Removals:
    """The members that the undecided containers of a batch would take out of sight."""
    removing = [c for c in manifest.containers() if _may_remove(bundle, c)]
    if not removing:
        return NO_REMOVALS
    undecided = item.undecided_containers(tx, batch_id, Scope.ALL)
    counts = _count_each(tx, bundle, [c for c in removing if c.identity in undecided])
    return Removals(members=sum(counts))


def _may_remove(bundle: Bundle, container: Container) -> bool:
    usable = container.problem is None and container.type in CONTAINER_TYPES
    return usable and (container.complete or bundle.action is Action.REMOVE)


def _count_each(tx: Tx, bundle: Bundle, containers: Sequence[Container]) -> Iterable[int]:
    for kind in sorted(CONTAINER_TYPES):
        named = {container.hash: container for container in containers if container.type == kind}
        for hash_, stored in library.known_containers(tx, kind, sorted(named), bundle.version).items():
            if bundle.action is Action.REMOVE:
                yield _count_of_removed(tx, bundle, kind, stored)
            else:
                yield _count_not_listed(tx, bundle, named[hash_], stored)


def _count_of_removed(tx: Tx, bundle: Bundle, kind: str, stored: StoredContainer) -> int:
    verdict = decide.decide_container(bundle.action, bundle.version, stored, False, ())
    return library.count_live_members(tx, kind, stored.id) if verdict.decision is Decision.REMOVED else 0


def _count_not_listed(tx: Tx, bundle: Bundle, container: Container, stored: StoredContainer) -> int:
    """Members that a complete list leaves out. Those that it lists may be live by then, and stay."""
    listed = set(container.members)
    members = library.live_members(tx, container.type, stored.id, bundle.version)
    return sum(hash_ not in listed and not decide.is_older(bundle.version, version) for hash_, version in members)
