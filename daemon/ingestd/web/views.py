"""What there is to see of batches, for the interface and for the pages alike."""

from dataclasses import asdict
from typing import Any

import orjson

from ingestd.errors import NotFound
from ingestd.model import Decision
from ingestd.store import item, request, stats
from ingestd.store.db import Database

JOBS_SHOWN = 10
NEEDS_ATTENTION = (Decision.FAILED, Decision.WILL_FAIL, Decision.DEFERRED, Decision.WILL_DEFER)


class Views:
    def __init__(self, db: Database) -> None:
        self.db = db

    def batch(self, sync_id: str) -> stats.Row:
        """A batch's own row. Raises NotFound."""
        row = self.db.read(lambda tx: stats.batch(tx, sync_id))
        if row is None:
            raise NotFound(f"there is no batch {sync_id}")
        return row

    def detail(self, sync_id: str) -> dict[str, Any]:
        """A batch, what was decided of its items, what failed, and its newest jobs. Raises NotFound."""
        row = self.batch(sync_id)
        counts = self.db.read(lambda tx: item.tally_by_reason(tx, row["id"]))
        decisions: dict[str, int] = {}
        for (decision, _), count in sorted(counts.items()):
            decisions[decision] = decisions.get(decision, 0) + count
        return {
            **row,
            "manifest_summary": _json(row["manifest_summary"]),
            "decisions": decisions,
            "failures": _failures(counts),
            "preflight": asdict(self.db.read(lambda tx: request.preflight_state(tx, sync_id))),
            "jobs": self.db.read(lambda tx: stats.jobs_of_batch(tx, sync_id, row["id"], limit=JOBS_SHOWN)),
        }

    def items(self, batch_id: int, *, decision: str | None, after: int | None, limit: int) -> stats.Page:
        """Listed items, in order of the manifest; `after` None: from the first on."""
        start = -1 if after is None else after
        rows, following = self.db.read(
            lambda tx: stats.item_page(tx, batch_id, decision=decision, after=start, limit=limit)
        )
        return [{**row, "target_ids": _json(row["target_ids"])} for row in rows], following

    def events(self, batch_id: int, *, before: int, limit: int) -> stats.Page:
        """Events, newest first."""
        rows, following = self.db.read(lambda tx: stats.event_page(tx, batch_id, before=before, limit=limit))
        return [{**row, "payload": _json(row["payload"])} for row in rows], following

    def containers(self, batch_id: int, *, limit: int) -> list[stats.Row]:
        """Listed containers, in order of the manifest; `missing` is how many members are not there."""
        rows = self.db.read(lambda tx: stats.containers(tx, batch_id, limit=limit))
        return [{**row, "missing": len(_json(row["missing"]) or ())} for row in rows]


def _json(text: str | None) -> Any:
    return None if text is None else orjson.loads(text)


def _failures(counts: dict[tuple[str, str], int]) -> list[dict[str, Any]]:
    groups = [(count, decision, reason) for (decision, reason), count in counts.items() if decision in NEEDS_ATTENTION]
    groups.sort(key=lambda group: (-group[0], group[1:]))
    return [{"decision": decision, "reason": reason or None, "items": count} for count, decision, reason in groups]
