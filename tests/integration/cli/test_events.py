"""`ingestd events`: the ledger of all batches or of one, newest last."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import click
import pytest

from ingestd.cli import ledger
from ingestd.pipeline import pausing
from ingestd.pipeline.context import Context
from support.command import UNKNOWN, Run
from support.world import World, owner_cursor, photo


@pytest.fixture
def sync_ids(configured: World, context: Context) -> list[str]:
    found = [configured.put(photo(name), day=day) for day, name in enumerate("ab", 1)]
    configured.import_all(context, *found)
    pausing.pause(context, "olga", "lunch")
    return found


def test_the_newest_events_come_last(configured: World, run: Run, sync_ids: list[str]) -> None:
    rows = run("events").table
    kinds = [row[0] for row in configured.sql("SELECT event_type FROM ingest_event ORDER BY id")]
    assert [row["event_type"] for row in rows] == kinds
    assert rows[-1]["what_happened"] == "Queue paused by olga: lunch"
    assert (rows[-1]["sync_id"], rows[0]["sync_id"] in sync_ids) == ("-", True)
    assert [row["event_type"] for row in run("events", "--limit", "2").table] == kinds[-2:]
    found = run("events", "--json").json
    assert [event["event_type"] for event in found] == kinds
    assert found[-1]["payload"] == {"phase": "queue", "reason": "lunch", "requested_by": "olga"}


def test_filters(run: Run, sync_ids: list[str]) -> None:
    of_one = run("events", sync_ids[1][:20], "--json").json
    assert {event["sync_id"] for event in of_one} == {sync_ids[1]}
    assert len(run("events", "--type", "item_created", "--json").json) == 2
    assert [event["event_type"] for event in run("events", "--by", "olga", "--json").json] == ["queue_paused"]
    assert len(run("events", "--since", "1h", "--json").json) == len(run("events", "--json").json)
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    nothing = run("events", "--since", later)
    assert nothing == (0, "", "ingestd: no events match these filters\n")
    assert run("events", UNKNOWN).code == 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--since", "yesterday"], "is neither a time such as"),
        (["--since", "999999999d"], "is neither a time such as"),
        (["--type", "item_create"], "item_created"),
        (["--limit", "0"], "--limit"),
    ],
)
def test_wrong_options(configured: World, run: Run, options: list[str], said: str) -> None:
    result = run("events", *options)
    assert (result.code, said in result.stderr) == (2, True)


def test_no_events_yet(configured: World, run: Run) -> None:
    assert run("events") == (0, "", "ingestd: no events yet\n")


def happens_at(monkeypatch: pytest.MonkeyPatch, *steps: Callable[[], object]) -> None:
    """What happens while the command sleeps, one after another; then it is interrupted."""
    left = iter(steps)

    def sleep(_seconds: float) -> None:
        step = next(left, None)
        if step is None:
            raise click.Abort
        step()

    monkeypatch.setattr("ingestd.cli.ledger.time.sleep", sleep)


@pytest.mark.parametrize("overlap", [ledger.OVERLAP, 1])
def test_following_shows_each_event_once(
    configured: World, run: Run, context: Context, sync_ids: list[str], monkeypatch: pytest.MonkeyPatch, overlap: int
) -> None:
    monkeypatch.setattr(ledger, "OVERLAP", overlap)
    happens_at(
        monkeypatch,
        lambda: None,
        lambda: pausing.resume(context, "olga"),
        lambda: None,
        lambda: (pausing.pause(context, "otto", "one"), pausing.resume(context, "otto")),
        lambda: None,
    )
    result = run("events", "--follow", "--json", "--limit", "1")
    shown = [json.loads(line) for line in result.stdout.splitlines()]
    assert [event["event_type"] for event in shown] == [
        "queue_paused", "queue_resumed", "queue_paused", "queue_resumed",
    ]  # fmt: skip
    assert len({event["id"] for event in shown}) == 4
    assert (result.code, result.stderr) == (130, "ingestd: interrupted\n")


def test_following_finds_events_that_are_committed_late(
    configured: World, run: Run, context: Context, sync_ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction that took its ids first, and is committed after one with higher ids."""
    late = (
        "INSERT INTO ingest_event (event_type, payload) VALUES ('queue_resumed', JSON_OBJECT('requested_by', 'late'))"
    )
    with owner_cursor(configured.server.owner_settings()) as cursor:
        cursor.execute("BEGIN")
        cursor.execute(late)
        happens_at(monkeypatch, lambda: pausing.resume(context, "otto"), lambda: cursor.execute("COMMIT"))
        result = run("events", "--follow", "--limit", "1")
    said = [line.split("  ")[-1] for line in result.stdout.splitlines()]
    assert said == ["Queue paused by olga: lunch", "Queue resumed by otto", "Queue resumed by late"]
