"""Manifests whose read hangs: the mount of a context does not answer for them, until they are released."""

import threading
from typing import Any

import pytest

from ingestd.errors import MountSilent
from ingestd.mount.records import ManifestReading
from ingestd.pipeline.context import Context


class Hanging:
    """Reads of the named manifests are silent until their deadline; the mount answers everything else."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, context: Context) -> None:
        self.names: set[str] = set()
        self.begun: list[str] = []
        self.running = self.most_running = 0
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._default = context.settings.mount.deadline
        self._real = context.mount.read_manifest
        monkeypatch.setattr(context.mount, "read_manifest", self._read)

    def release(self) -> None:
        """All of them can be read, from now on."""
        self.names.clear()
        self._end.set()

    def _read(self, sync_id: str, *more: Any, deadline: float | None = None, **options: Any) -> ManifestReading:
        if sync_id in self.names:
            with self._lock:
                self.begun.append(sync_id)
                self.running += 1
                self.most_running = max(self.most_running, self.running)
            ended = self._end.wait(self._default if deadline is None else deadline)
            with self._lock:
                self.running -= 1
            if not ended:
                raise MountSilent(f"sync/{sync_id}.json does not answer")
        return self._real(sync_id, *more, deadline=deadline, **options)
