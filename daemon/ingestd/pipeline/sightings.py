"""Whether another manifest of a known batch is news: hosts may see different bytes under one sync_id.

What a host sees may be outdated, as with a cache of its own. If each host recorded what it sees, two of them would
record a change with every scan, without end. docs/decisions/0028-manifests-that-hosts-see-differently.md has the rules.
"""

import structlog

from ingestd.pipeline.context import Context
from ingestd.records import Batch
from ingestd.store import sighting
from ingestd.store.db import Tx
from ingestd.store.sighting import Sighting

log = structlog.get_logger()

FREE_CHANGES = 8
"""changes that one host records at once; then come pauses of mount.rescan_interval, doubled each time, up to a day"""
UNREADABLE = ""
"""instead of the digest of a manifest that exceeds the limit of this host"""


def counts(tx: Tx, context: Context, known: Batch, sha256: str | None) -> bool:
    """Whether the digest that a scan of this host sees counts; the caller holds the row of the batch."""
    place, sha256, recorded = context.gate.place, sha256 or UNREADABLE, known.manifest_sha256 or UNREADABLE
    found = sighting.find(tx, known.id, place, FREE_CHANGES, context.settings.mount.rescan_interval)
    if sha256 == recorded:
        if found.former_sha256 is not None and found.sha256 != sha256:
            sighting.agree(tx, known.id, place, sha256)
        return True
    # What can be read outweighs what cannot.
    reason = None if recorded == UNREADABLE else _reason_against(found, sha256)
    if reason and sighting.dispute(tx, known.id, place, sha256):
        log.warning("manifest_not_recorded", sync_id=known.sync_id, sha256=sha256, recorded=recorded, reason=reason)
    return reason is None


def note_change(tx: Tx, context: Context, known: Batch, sha256: str | None) -> None:
    """Records that this host sees another manifest than the recorded one, which counts."""
    sighting.note_change(tx, known.id, context.gate.place, sha256 or UNREADABLE)


def _reason_against(found: Sighting, sha256: str) -> str | None:
    """Why another digest than the recorded one does not count; None if it does."""
    if sha256 != (found.former_sha256 if found.sha256 is None else found.sha256):
        return "it changes too often" if found.is_early else None
    # A host that never recorded a change may be the only one left to see that former content was delivered again.
    return "another host replaced it" if found.change_count or found.is_recent else None
