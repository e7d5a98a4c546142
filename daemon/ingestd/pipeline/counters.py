"""What this process has done since it started, for whoever looks on."""

import threading
from collections import Counter

from ingestd.model import DECIDED


class Counters:
    """Thread-safe counts by (name, label)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str]] = Counter({("items", decision.value): 0 for decision in DECIDED})

    def add(self, name: str, label: str = "", amount: int = 1) -> None:
        with self._lock:
            self._counts[name, label] += amount

    def get(self, name: str, label: str = "") -> int:
        with self._lock:
            return self._counts[name, label]
