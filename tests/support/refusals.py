"""Triggers of a site that make the database refuse what a test names."""

from collections.abc import Iterator
from contextlib import contextmanager

from support.world import World


@contextmanager
def refused_events(world: World, event_type: str) -> Iterator[None]:
    """Meanwhile the ledger refuses one type of event, so that a run fails outside of any chunk."""
    world.sql(
        "CREATE TRIGGER refusal BEFORE INSERT ON ingest_event FOR EACH ROW"
        f" IF NEW.event_type = '{event_type}' THEN"
        " SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the site refuses it'; END IF"
    )
    try:
        yield
    finally:
        world.sql("DROP TRIGGER refusal")
