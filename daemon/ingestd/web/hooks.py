"""The connections from the web interface to the rest of the daemon, made by the composition root."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Hooks:
    """Callables must not block."""

    on_queued: Callable[[], None]
    """wakes the workers: a job was queued"""
    on_request: Callable[[], None]
    """wakes the parts that run requests: a scan or a pre-flight was accepted"""
    health: Callable[[], list[str]]
    """the reasons why this daemon is unhealthy; a daemon that waits for its database or mount is healthy"""
    lacking: Callable[[], list[str]] = list
    """names of the parts that wait because this process or its machine has too few resources"""
