"""Records what a module logs, at every level."""

from typing import Any

import pytest


class Logged:
    """Stands in for the logger of a module."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def _record(self, event: str, **fields: Any) -> None:
        self.lines.append({"event": event, **fields})

    debug = info = warning = error = _record

    def of(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == event]


def logged_by(module: Any, monkeypatch: pytest.MonkeyPatch) -> Logged:
    """What `module` logs from now on."""
    logged = Logged()
    monkeypatch.setattr(module, "log", logged)
    return logged
