"""Helpers that were killed while they hung in the kernel, and end when the mount answers again."""

from ingestd.mount.access import Mount
from ingestd.mount.helper_pool import Use
from support.wait import until


def until_reaped(mount: Mount) -> None:
    """Waits until no killed helper is left."""
    until(lambda: mount.prober.is_reaped and not any(mount._pool.hung(use) for use in Use), what="for helpers to end")
