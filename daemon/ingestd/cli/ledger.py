"""The command events."""

import re
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice

import click

from ingestd.cli.in_time import in_time
from ingestd.cli.operate import Operator, operated
from ingestd.cli.output import print_json_line, print_rows, shown
from ingestd.cli.session import as_sync_id, as_text
from ingestd.event_sentences import EVENT_TYPES, sentence
from ingestd.records import Event, as_dict
from ingestd.store.queries.events import Filter

FOLLOW_SECONDS = 1.0
PAGE = 500
OVERLAP = 500
"""ids that are looked at again: events of a transaction that was committed late have lower ids than shown ones"""
EVENT_TABLE = ("created_at", "sync_id", "event_type", "what_happened")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_AGE = re.compile(r"(\d{1,9})([smhd])")


def as_time(value: str) -> datetime:
    """A time in naive UTC, given as RFC 3339, or as an age such as 90m, 12h or 7d."""
    now = datetime.now(UTC)
    try:
        if found := _AGE.fullmatch(value):
            moment = now - timedelta(**{UNITS[found[2]]: int(found[1])})
        else:
            moment = datetime.fromisoformat(value)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{shown(value)} is neither a time such as {now:%Y-%m-%dT%H:%MZ} nor an age such as 12h"
        ) from None


@click.command()
@click.argument("sync_id", required=False, type=as_sync_id)
@click.option("--type", "event_type", metavar="TYPE", type=click.Choice(EVENT_TYPES), help="Only events of this type.")
@click.option("--by", metavar="WHO", type=as_text, help="Only what this operator, or ingestd, requested.")
@click.option("--since", metavar="TIME", type=as_time, help="Only later events: a time in RFC 3339, or an age: 12h.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 100_000), help="The newest so many.")
@click.option("--follow", "-f", is_flag=True, help="Go on with new events as they are recorded.")
@operated
def events(
    operator: Operator,
    sync_id: str | None,
    event_type: str | None,
    by: str | None,
    since: datetime | None,
    limit: int,
    follow: bool,
    as_json: bool,
) -> None:
    """Lists the ledger, of all batches or of one, newest last.

    With --follow, --json prints each event on a line of its own.
    """
    wanted = Filter(event_type=event_type, actor=by, since=since)
    followed = _Followed(operator, sync_id, wanted) if follow else None
    found = list(islice(operator.events(sync_id, wanted, min(limit, PAGE)), limit))[::-1]
    if followed is None:
        empty = "no events match these filters" if sync_id or wanted != Filter() else "no events yet"
        print_rows(found if as_json else map(_row, found), EVENT_TABLE, as_json=as_json, empty=empty)
        return
    while True:
        for event in found:
            _print(event, as_json=as_json)
        followed.seen.update(event.id for event in found)
        time.sleep(FOLLOW_SECONDS)
        found = followed.later()


def _row(event: Event) -> dict[str, object]:
    return {**as_dict(event), "what_happened": sentence(event.event_type, event.payload)}


def _print(event: Event, *, as_json: bool) -> None:
    if as_json:
        print_json_line(event)
    else:
        click.echo("  ".join(shown(_row(event)[column]) for column in EVENT_TABLE))


class _Followed:
    """Events that are recorded from now on; `seen` are the ids of those that are not new."""

    def __init__(self, operator: Operator, sync_id: str | None, wanted: Filter) -> None:
        self._operator, self._sync_id, self._wanted = operator, sync_id, wanted
        newest = next(operator.events(None, Filter(), 1), None)
        self._newest = 0 if newest is None else newest.id
        self.seen = {event.id for event in self._recent()}

    def later(self) -> list[Event]:
        """What was recorded since, oldest first; waits out an outage."""
        found = [event for event in in_time(self._recent) if event.id not in self.seen][::-1]
        self._newest = max([self._newest, *self.seen])
        self.seen = {id_ for id_ in self.seen if id_ > self._newest - OVERLAP}
        return found

    def _recent(self) -> list[Event]:
        wanted = replace(self._wanted, above=max(0, self._newest - OVERLAP))
        return list(self._operator.events(self._sync_id, wanted, PAGE))


COMMANDS = (events,)
