"""Threads of which only some can be started."""

import threading

import pytest


def limit_threads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Threads can be started as long as this list has an entry for each; it is empty at first."""
    left: list[int] = []
    begin = threading.Thread.start

    def start(self: threading.Thread) -> None:
        if not left:
            raise RuntimeError("can't start new thread")
        left.pop()
        begin(self)

    monkeypatch.setattr(threading.Thread, "start", start)
    return left
