"""Query plans: the access path of each table, and the number of rows read."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ingestd.store.db import Database, Tx
from support.world import World

BY_INDEX = ("range", "ref", "eq_ref", "const")


@dataclass(frozen=True, slots=True)
class Step:
    """The access to one table."""

    table: str
    kind: str
    key: str | None
    extra: str

    @property
    def is_derived(self) -> bool:
        """Whether this is an intermediate result."""
        return self.table.startswith("<")

    @property
    def scans(self) -> bool:
        return not self.is_derived and self.kind not in BY_INDEX

    @property
    def sorts(self) -> bool:
        return not self.is_derived and "filesort" in self.extra


def plan_of(world: World, query: Any, values: dict[str, Any]) -> list[Step]:
    """The plan of a named query; `values` are inserted as SQL."""
    text = re.sub(r"%\((\w+)\)s|(?<!:):(\w+)", lambda found: str(values[found[1] or found[2]]), query.sql)
    steps = world.sql("EXPLAIN " + text.replace("%", "%%"))
    return [Step(row[2], row[3], row[5], row[9]) for row in steps if row[2] is not None]


def rows_touched(db: Database, work: Callable[[Tx], Any]) -> int:
    """Counts the rows and index entries that the server reads for work in this thread."""

    def total(tx: Tx) -> int:
        with tx.connection.cursor() as cursor:
            cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
            return sum(int(value) for _, value in cursor.fetchall())

    before = db.read(total)
    idle = db.read(total) - before
    start = db.read(total)
    db.read(work)
    return db.read(total) - start - idle
