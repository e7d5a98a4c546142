"""Reports a hand-over folder that cannot be listed to its end, for `ingestd status`: bundles in it may be missed."""

from collections.abc import Callable, Sequence
from functools import partial

import structlog

from ingestd.errors import (
    DatabaseUnavailable,
    DataRefused,
    ListingEndless,
    MountUnavailable,
    OtherRelease,
    Shortage,
)
from ingestd.mount.records import Listing
from ingestd.pipeline.context import Context
from ingestd.store import mount
from ingestd.store.attempts import never
from ingestd.store.db import Tx

log = structlog.get_logger()

MAX_PROBLEM = 2000
"""characters of a problem that are kept"""


def list_sentinels(
    context: Context, listing: Listing, on_part: Callable[[bytes], None], awaited: Sequence[str], known_stamp: str
) -> None:
    """A complete listing, or what comes before its end, with a report. Raises MountUnavailable, ListingEndless."""
    try:
        context.mount.list_sentinels(listing, on_part=on_part, awaited=awaited, known_stamp=known_stamp)
    except ListingEndless as error:
        _note(context, error)
        raise
    except (Shortage, OtherRelease):
        raise
    except MountUnavailable as error:
        context.mount.check()  # an absent mount says nothing about the folder
        _note(context, error)
        raise
    _end(context)


def _note(context: Context, error: ListingEndless | MountUnavailable) -> None:
    """Records why a listing of this host did not end, while its mount answers."""
    problem = str(error)
    if isinstance(error, ListingEndless):
        log.warning("listing_endless", reason=problem)
    else:
        problem = (
            f"{context.settings.mount.root}/sync cannot be listed to its end ({error}); see that it is a folder, and"
            " mount it again if it hangs"
        )
    context.mount.listing_problem = problem
    text = problem.encode("utf-8", "backslashreplace").decode()[:MAX_PROBLEM]
    _replace(context, text, partial(mount.note_broken_listing, place=context.gate.place, problem=text))


def _end(context: Context) -> None:
    """Records that a listing of this host ended."""
    context.mount.listing_problem = None
    _replace(context, None, partial(mount.end_broken_listing, place=context.gate.place))


def _replace(context: Context, problem: str | None, write: Callable[[Tx], None]) -> None:
    """Calls `write` if another problem is recorded. What the database refuses now, the next listing records."""
    try:
        found = context.db.read(mount.broken_listings, keep_waiting=never)
        present = {(known.host, known.root): known.problem for known in found}.get(context.gate.place)
        if present != problem:
            context.db.transaction_at_once(write)
    except (DatabaseUnavailable, DataRefused) as refused:
        log.warning("listing_not_reported", reason=str(refused))
