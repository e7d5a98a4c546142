"""Helpers that were killed while they hung in the kernel, and end when the mount answers again."""

from ingestd.mount.access import Mount
from ingestd.mount.helper_pool import Use
from support.wait import until


def until_reaped(mount: Mount) -> None:
    """Waits until no killed helper is left."""
    probers = (mount.prober, mount._answers)
    hung = mount._pool.hung
    until(lambda: all(one.is_reaped for one in probers) and not any(map(hung, Use)), what="for helpers to end")
