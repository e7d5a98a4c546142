"""What a try to import a small bundle in one transaction has done, and why it may not be."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from ingestd.model import BatchStatus, Decision, Reason, Verdict
from ingestd.pipeline.importer.completion import Progress
from ingestd.pipeline.passes import Part
from ingestd.pipeline.staging import Plan


class InSteps(Exception):
    """Why a bundle is not imported in one transaction."""


@dataclass(slots=True)
class Imported:
    """What one try has planned and imported. `plan` None: there was one before."""

    plan: Plan | None
    progress: Progress
    parts: set[Part] = field(default_factory=set)
    decisions: Counter[tuple[Decision, Reason | None]] = field(default_factory=Counter)
    status: BatchStatus = BatchStatus.IMPORTED

    def note(self, part: Part, verdicts: Sequence[Verdict]) -> None:
        """Counts what was decided of some items. Raises InSteps if one failed: others may count in its place."""
        self.parts.add(part)
        for verdict in verdicts:
            if verdict.decision is Decision.FAILED:
                raise InSteps(verdict.error)
            self.decisions[verdict.decision, verdict.reason] += 1
            self.progress.note(verdict.decision, 1)
