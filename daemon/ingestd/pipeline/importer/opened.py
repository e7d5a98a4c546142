"""A run's bundle while it is opened, and once it is: what one step of that passes on to the next."""

from dataclasses import dataclass

from ingestd.errors import IngestdError
from ingestd.format.manifest import Manifest
from ingestd.model import Action, Lease, Scope
from ingestd.pipeline.evaluate import Bundle
from ingestd.pipeline.found_assets import FoundAssets
from ingestd.pipeline.removals import RemovalCount
from ingestd.pipeline.staging import Plan, Staging
from ingestd.records import Batch
from ingestd.store.standing import Standing


@dataclass(frozen=True, slots=True)
class Opened:
    """A run's bundle. `terminal` items were decided before the run began; `plan` is None when one existed already.

    `removed` counts what the run takes out of sight. `has_new_items`: their rows are written when they are decided;
    `found` is then what the plan found of their assets.
    """

    manifest: Manifest
    bundle: Bundle
    terminal: int
    plan: Plan | None
    removed: RemovalCount
    found: FoundAssets | None = None

    @property
    def has_new_items(self) -> bool:
        return self.found is not None


@dataclass(frozen=True, slots=True)
class Begun:
    """A batch as its run begins, its row locked; `removed` as in `Opened`."""

    known: Batch
    standing: Standing
    manifest: Manifest
    bundle: Bundle
    removed: RemovalCount
    is_changed: bool
    """the manifest that was read was recorded now"""


def may_have_new_items(lease: Lease, begun: Begun) -> bool:
    """Whether all of a new bundle is imported, which has no covers or containers, and is not about removals."""
    is_new = begun.known.plan_sha256 is None and not begun.standing.has_rows
    is_all = lease.scope is Scope.ALL and not (lease.isolate_items or lease.items_done)
    manifest = begun.manifest
    has_others = manifest.container_count or manifest.index.has_covers
    return is_new and is_all and not has_others and manifest.action is not Action.REMOVE


@dataclass(frozen=True, slots=True)
class Staged:
    """The rows of a large batch, staged in steps after its run had `begun`; or only their `plan`, and no rows.

    `found`: what that plan found in the library.
    """

    begun: Begun
    staging: Staging
    plan: Plan | None = None
    found: FoundAssets | None = None

    def is_for(self, begun: Begun) -> bool:
        """Whether the batch still has this manifest, and its place in the order, as the run begins once more."""
        before, now = self.begun, begun
        is_moved = (before.bundle.version, before.standing.revision) != (now.bundle.version, now.standing.revision)
        return not (now.is_changed or is_moved or (self.plan is not None and now.standing.has_rows))


class PlanInSteps(IngestdError):
    """A batch is so large that it is staged in steps."""

    def __init__(self, staged: Staged) -> None:
        super().__init__("it is staged in steps")
        self.staged = staged
