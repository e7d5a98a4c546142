"""The daemon's side of reading digests of manifests."""

from collections.abc import Callable, Sequence

from ingestd.errors import MountUnavailable
from ingestd.mount import wire
from ingestd.mount.helper_process import HelperProcess


def receive_digests(
    helper: HelperProcess,
    sync_ids: Sequence[str],
    found: dict[str, str | None],
    deadline: float,
    on_alive: Callable[[], None],
) -> float:
    """Adds what a helper answers to `found` until it has done what was asked; returns its processor time."""
    while True:
        helper.hangs_at = set(sync_ids[len(found) :][:1])
        reply = helper.receive(deadline, lambda _count: on_alive())
        if not isinstance(reply, wire.ManifestDigests):
            raise MountUnavailable(f"manifests cannot be read: {wire.problem_of(reply)}")
        found.update(reply.digests)
        if reply.is_last:
            return reply.cpu_seconds
