"""A scanner under test: a clock that the test sets, the manifests it reads, and what it recorded."""

import json
from pathlib import Path
from typing import Any

import pytest

from ingestd.mount.records import ManifestReading
from ingestd.pipeline import full_scans, settling
from ingestd.pipeline import scanner as scanner_module
from ingestd.pipeline.context import Context
from support.world import World, manifest_of

SETTLE = 300.0


class Clock:
    """The scanner's clock, set by the test."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


class Reads:
    """Which manifests a context's mount is asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, context: Context) -> None:
        self.names: list[str] = []
        real = context.mount.read_manifest

        def noting(sync_id: str, *more: Any, **options: Any) -> ManifestReading:
            self.names.append(sync_id)
            return real(sync_id, *more, **options)

        monkeypatch.setattr(context.mount, "read_manifest", noting)

    def take(self) -> list[str]:
        names, self.names = self.names, []
        return names


def recorded(world: World) -> list[tuple[str, str]]:
    return [(sync_id, status) for sync_id, status in world.sql("SELECT sync_id, status FROM ingest_batch ORDER BY id")]


def kinds(world: World, sync_id: str) -> list[str]:
    return [kind for kind, _ in world.events(sync_id)]


def last_error(world: World, sync_id: str) -> str:
    return str(world.one("SELECT last_error FROM ingest_batch WHERE sync_id = %s", sync_id))


def write_manifest(world: World, sync_id: str, *items: dict[str, Any], part: float = 1.0, **envelope: Any) -> None:
    data = json.dumps(manifest_of(sync_id, list(items), **envelope)).encode()
    world.file(f"sync/{sync_id}.json", data[: int(len(data) * part)])


def write_sentinel(world: World, sync_id: str) -> Path:
    return world.file(f"sync/{sync_id}.ready", b"")


def set_clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Replaces the clock of the scanner."""
    made = Clock()
    for module in (scanner_module, settling, full_scans):
        monkeypatch.setattr(module, "time", made)
    return made
