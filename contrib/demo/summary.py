"""A summary of the imported bundles, read from the daemon's database."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import aiosql

from ingestd.config import DatabaseSettings
from ingestd.store.db import Database

_sql: Any = aiosql.from_path(Path(__file__).with_name("summary.sql"), "pymysql", mandatory_parameters=False)

SECTIONS = ("batches", "items", "library", "ledger")

Counts = list[tuple[str, int]]


class Summary:
    """Reads the database at `socket`."""

    def __init__(self, socket: str) -> None:
        self._db = Database(DatabaseSettings(unix_socket=socket))

    def is_settled(self, bundles: int) -> bool:
        """Whether this many bundles are recorded, and all are finished."""
        return int(self._ask("recorded")) >= bundles and not self._ask("unfinished")

    def counts(self) -> dict[str, Counts]:
        return {name: list(self._ask(name)) for name in SECTIONS}

    def close(self) -> None:
        self._db.close()

    def _ask(self, name: str) -> Any:
        return self._db.read(lambda tx: getattr(_sql, name)(tx.connection))


def table(counts: dict[str, Counts]) -> Iterable[str]:
    """Rows of a section name, a label and a count."""
    for section, rows in counts.items():
        for at, (what, count) in enumerate(rows or [("none", 0)]):
            yield f"  {section if not at else '':<9}{what:<22}{count:>7,}"
