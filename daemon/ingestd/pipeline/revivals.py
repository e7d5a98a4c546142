"""Batches with deferred items or containers to import again: those of which an asset is live that they wait for.

The transaction that makes an asset live notes the batches that wait for it (`due.note_live`). Only these are looked at.
What another client made live, such as a site or a restored backup, is found by going round all that is waited for,
little by little.
"""

import time
from functools import partial

from ingestd.pipeline.context import Context
from ingestd.store import batch, due
from ingestd.store.db import Tx

MAX_LOOKS = 500
"""notes that a sweep takes up"""
MAX_AWAITED = 100
"""hashes of each kind that a sweep looks up on its way round"""
KINDS = ("item", "member")
END = "~"
"""after all hashes"""


class Revivals:
    """Finds batches to revive."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._interval = context.settings.queue.revive_interval
        self._after = dict.fromkeys(KINDS, "")
        self._round_at = 0.0
        """when (monotonic) the next way round begins"""

    def due(self) -> dict[str, list[int]]:
        """The sync_ids of batches to revive now, with the notes about each; other notes are put off or forgotten.

        A batch that may not be revived yet is looked at again after the interval: its job may have ended by then.
        """
        self.go_round()
        noted = self._context.db.read(lambda tx: due.due(tx, "revival", self._interval, MAX_LOOKS))
        if not noted:
            return {}
        found = self._context.db.read(lambda tx: batch.revivable(tx, list(noted), self._interval))
        idle = [note for state in found if not state.may_revive for note in noted[state.id]]
        vain = [note for state in found if state.may_revive and not state.is_live for note in noted[state.id]]
        self._context.db.transaction(partial(self._set_aside, idle=idle, vain=vain))
        return {state.sync_id: noted[state.id] for state in found if state.may_revive and state.is_live}

    def _set_aside(self, tx: Tx, idle: list[int], vain: list[int]) -> None:
        due.put_off(tx, idle, self._interval)
        due.forget(tx, vain)

    def go_round(self) -> None:
        """Notes batches that wait for the next hashes, of those that are live without a note."""
        if time.monotonic() < self._round_at:
            return
        seen = self._context.db.read(lambda tx: due.awaited(tx, self._after, MAX_AWAITED))
        for kind in KINDS:
            last = (found.hash for found in seen if found.waiter == kind and found.is_last)
            self._after[kind] = next(last, END)
        if set(self._after.values()) == {END}:
            self._after, self._round_at = dict.fromkeys(KINDS, ""), time.monotonic() + self._interval
        if live := {found.hash for found in seen if found.is_live}:
            self._context.db.transaction(lambda tx: due.note_live(tx, live))
