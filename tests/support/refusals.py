"""Triggers of a site that make the database refuse what a test names."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from support.world import World

REFUSAL = "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the site refuses it'"


@contextmanager
def refused_events(world: World, event_type: str, *, name: str = "refusal") -> Iterator[None]:
    """Meanwhile the ledger refuses one type of event, so that a run fails outside of any chunk."""
    world.sql(
        f"CREATE TRIGGER {name} BEFORE INSERT ON ingest_event FOR EACH ROW"
        f" IF NEW.event_type = '{event_type}' THEN {REFUSAL}; END IF"
    )
    try:
        yield
    finally:
        world.sql(f"DROP TRIGGER {name}")


@contextmanager
def refused_changes(world: World, tables: Mapping[str, str]) -> Iterator[None]:
    """Meanwhile some tables refuse changes of rows that match a condition on OLD and NEW."""
    for table, condition in tables.items():
        when = f"BEFORE UPDATE ON {table} FOR EACH ROW IF {condition}"
        world.sql(f"CREATE TRIGGER refusal_{table} {when} THEN {REFUSAL}; END IF")
    try:
        yield
    finally:
        for table in tables:
            world.sql(f"DROP TRIGGER refusal_{table}")
