"""When values are blamed for broken connections, and when they are not."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestd.store import attempts, connection
from ingestd.store.db import Database
from support.mariadb_proxy import CONNECT, Fault, delay, drop_request, fake_error
from support.proxied import ProxiedWorld, proxied
from support.scale import scaled
from support.wait import until
from support.world import World, md5, photo

NAMES = [f"n{number}" for number in range(8)]
ASSETS = r"^INSERT INTO asset "
READ = r"^SELECT GROUP_CONCAT\(\s+'\[', a\.id"


@pytest.fixture
def site(world: World, tmp_path: Path) -> Iterator[ProxiedWorld]:
    with proxied(world, tmp_path) as made:
        yield made


def test_a_value_that_ends_every_connection_fails_alone(site: ProxiedWorld) -> None:
    context = site.context()
    sync_id = site.queued(context, *map(photo, NAMES))
    site.proxy.add(Fault(ASSETS + f".*{md5('n5')}", drop_request, times=1e9))
    assert site.run_next(context) == "done"
    decisions = site.decisions(sync_id)
    assert decisions.pop(md5("n5")) == "failed:database_refused"
    assert list(decisions.values()) == ["created"] * 7


def test_a_server_that_takes_no_connections_blames_nothing(site: ProxiedWorld) -> None:
    """As one that crashes under load and starts again, or that is being stopped."""
    context = site.context()
    sync_id = site.queued(context, *map(photo, NAMES))
    cut = Fault(ASSETS, drop_request, times=6)
    site.proxy.add(cut, Fault(CONNECT, fake_error(1053), times=20, while_=lambda: cut.done >= 2))
    assert site.run_next(context) == "done"
    assert set(site.decisions(sync_id).values()) == {"created"}


@pytest.mark.parametrize("pattern", [ASSETS, "^COMMIT", READ])
def test_our_own_time_outs_blame_nothing(site: ProxiedWorld, monkeypatch: pytest.MonkeyPatch, pattern: str) -> None:
    monkeypatch.setattr(connection, "SILENCE_SECONDS", 0.1)
    context = site.context()
    sync_id = site.queued(context, *map(photo, NAMES[:4]))
    slow = Fault(pattern, delay(0.2), nth=2 if pattern == "^COMMIT" else 1, times=16)
    site.proxy.add(slow)
    assert site.run_next(context) == "done"
    assert slow.done
    assert list(site.decisions(sync_id).values()) == ["created"] * 4
    assert [kind for kind, _ in site.events(sync_id)].count("item_created") == 4


def test_a_read_is_never_blamed_on_values(site: ProxiedWorld) -> None:
    context = site.context()
    site.proxy.add(Fault("^SELECT 1", drop_request, times=2), Fault("^SELECT 1", fake_error(4025), times=2))
    context.db.read(lambda tx: tx.connection.cursor().execute("SELECT 1"), keep_waiting=lambda: True)
    assert all(fault.done == 2 for fault in site.proxy.faults)


def test_an_idle_connection_that_was_cut_is_not_an_outage(site: ProxiedWorld) -> None:
    db: Database = site.context().db
    db.read(lambda tx: tx.connection.cursor().execute("SELECT 1"))
    for work in (db.read, db.transaction):
        site.proxy.cut_all()
        work(lambda tx: tx.connection.cursor().execute("SELECT 1"))
    assert not db.had_outage
    assert db.available_since is not None


@pytest.mark.soak
@pytest.mark.parametrize(
    ("number", "pattern"),
    [(1021, ASSETS), (1142, "^COMMIT"), (1146, READ), (1205, "^COMMIT"), (1213, ASSETS), (1290, READ)][: scaled(1, 6)],
)
def test_an_error_that_lasts_makes_no_busy_loop(
    site: ProxiedWorld, monkeypatch: pytest.MonkeyPatch, number: int, pattern: str
) -> None:
    """At most a second of processor time a minute, and a few attempts; no ledger events at all."""
    monkeypatch.setattr(attempts, "MAX_PAUSE", 3.0)
    context = site.context()
    sync_id = site.queued(context, *map(photo, NAMES))
    seconds = scaled(2, 60)
    until_then = time.monotonic() + seconds
    full = Fault(
        pattern,
        fake_error(number),
        nth=2 if pattern == "^COMMIT" else 1,
        times=1e9,
        while_=lambda: time.monotonic() < until_then,
    )
    site.proxy.add(full)
    before = time.process_time()
    assert site.run_next(context) == "done"
    assert time.process_time() - before < 1.0
    assert full.done <= 10 + seconds / 2
    assert time.monotonic() - until_then < 5.0
    assert len(site.events(sync_id)) <= 20 + len(NAMES)
    until(lambda: site.status(sync_id) == "imported")
