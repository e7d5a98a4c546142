"""Connections that somebody else ends while an import uses them: its items are not blamed for that."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pymysql
import pytest

from ingestd.app import Daemon
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.store import cuts
from support.mariadb_proxy import Action, Exchange, Fault, drop_reply, drop_request, fake_error
from support.proxied import ProxiedWorld, proxied
from support.scale import IS_SOAK, scaled
from support.wait import until
from support.world import World, md5, photo

ASSETS = r"^INSERT INTO asset "
NAMES = [f"n{number}" for number in range(8)]
OF_DAEMON = "SELECT id FROM information_schema.processlist WHERE user = 'ingestd'"


@pytest.fixture
def site(world: World, tmp_path: Path) -> Iterator[ProxiedWorld]:
    with proxied(world, tmp_path) as made:
        yield made


def kill_all(cursor: pymysql.cursors.Cursor) -> int:
    """Kills all connections of the daemon's account; returns how many."""
    cursor.execute(OF_DAEMON)
    killed = 0
    for (number,) in cursor.fetchall():
        try:
            killed += 1 - cursor.execute(f"KILL {number}")
        except pymysql.MySQLError:
            continue  # it has ended by itself
    return killed


@contextmanager
def killer(world: World, seconds: float, pause: float) -> Iterator[list[int]]:
    """Kills the daemon's connections again and again, for some seconds; yields the counts of the killed."""
    settings, counts, ending = world.server.owner_settings(), [0], time.monotonic() + seconds
    own = pymysql.connect(unix_socket=settings.unix_socket, user=settings.user, ssl_disabled=True, autocommit=True)

    def kill() -> None:
        with own.cursor() as cursor:
            while time.monotonic() < ending:
                counts.append(kill_all(cursor))
                time.sleep(pause)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield counts
    finally:
        thread.join()
        own.close()


@pytest.mark.soak
@pytest.mark.parametrize("pause", [0.05, 0.01, 0.3] if IS_SOAK else [0.01])
def test_connections_that_are_killed_at_random_fail_no_item(
    world: World, monkeypatch: pytest.MonkeyPatch, pause: float
) -> None:
    monkeypatch.setattr(cuts, "QUIET_SECONDS", 0.25 if IS_SOAK else 0.05)
    context = world.context()
    sync_ids = [world.put(*(photo(f"{n}-{m}", files=0) for m in range(300))) for n in range(scaled(1, 10))]
    world.scan(context)
    for sync_id in sync_ids:
        enqueue(context, QueueRequest(sync_id, "tester"))
    daemon = Daemon(world.settings(worker={"chunk_items": 100}))
    try:
        with killer(world, scaled(1, 20), pause) as counts:
            daemon.start()
        until(lambda: {*map(world.status, sync_ids)} == {"imported"}, seconds=60)
    finally:
        daemon.stop()
    assert sum(counts) >= scaled(5, 20)
    assert world.one("SELECT COUNT(*) FROM asset WHERE %s", 1) == 300 * len(sync_ids)


def killed(exchange: Exchange) -> None:
    """What a client of some servers and proxies sees: a word about it, then the end."""
    exchange.fake(1927, "70100", "Connection was killed")
    drop_request(exchange)


OTHERS: dict[str, tuple[Action, int]] = {
    "the server says that it was killed": (killed, 12),
    "the server says that it stops": (fake_error(1053), 12),
    "the server says that it was interrupted": (fake_error(1317), 12),
    "cut twice": (drop_request, 2),
    "reply lost twice": (drop_reply, 2),
}


@pytest.mark.parametrize("how", OTHERS)
def test_what_somebody_else_ends_blames_nothing(site: ProxiedWorld, how: str) -> None:
    context = site.context()
    sync_id = site.queued(context, *map(photo, NAMES))
    action, times = OTHERS[how]
    cut = Fault(ASSETS, action, times=times)
    site.proxy.add(cut)
    assert site.run_next(context) == "done"
    assert cut.done == times
    assert set(site.decisions(sync_id).values()) == {"created"}
    sizes = [len(statement) for statement in site.proxy.statements if statement.startswith("INSERT INTO asset ")]
    assert max(sizes) - min(sizes) < 100, "the chunk was not even split"


def other_moments(site: ProxiedWorld) -> dict[str, Callable[[], Fault]]:
    """Faults that end the look at the server, too, or that come with a restart."""
    return {
        "other statements are cut, too": lambda: Fault(r"SELECT SLEEP", drop_request, times=8),
        "other statements are interrupted, too": lambda: Fault(r"SELECT SLEEP", fake_error(1317), times=8),
        "no connections": lambda: Fault("<connect>", fake_error(1040), times=8),
    }


@pytest.mark.parametrize("moment", other_moments(None))  # type: ignore[arg-type]
def test_cuts_in_a_moment_that_is_not_quiet_do_not_count(site: ProxiedWorld, moment: str) -> None:
    context = site.context()
    sync_id = site.queued(context, *map(photo, NAMES))
    noise = other_moments(site)[moment]()
    cut = Fault(ASSETS, drop_request, times=8, while_=lambda: noise.done < noise.times)
    noise.while_ = lambda: cut.done > 0
    site.proxy.add(cut, noise)
    assert site.run_next(context) == "done"
    assert noise.done == noise.times
    assert set(site.decisions(sync_id).values()) == {"created"}


@pytest.mark.parametrize("why", ["a restart", "slow"])
def test_statements_that_are_cut_by_a_restart_or_after_long_do_not_count(
    site: ProxiedWorld, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    if why == "slow":
        monkeypatch.setattr(cuts, "MAX_SECONDS", 0.0)
    else:
        monkeypatch.setattr(cuts, "LOOK", "SELECT SLEEP(%s), 1 << 24, 0")
    context = site.context()
    sync_id = site.queued(context, *map(photo, NAMES))
    cut = Fault(ASSETS, drop_request, times=8)
    site.proxy.add(cut)
    assert site.run_next(context) == "done"
    assert cut.done == 8
    assert set(site.decisions(sync_id).values()) == {"created"}


def test_a_statement_that_is_too_large_fails_its_item_alone(world: World) -> None:
    """It breaks the connection of a real server, and the first time is enough: the sizes can be compared."""
    context = world.context()
    sync_id = world.put(*map(photo, NAMES))
    world.file(f"{photo('n3')['path']}/source/data/large.json", b'"' + b"x" * (3 << 20) + b'"')
    world.sql("SET GLOBAL max_allowed_packet = 1 << 20")
    try:
        assert world.import_all(context, sync_id) == ["done"]
    finally:
        world.sql("SET GLOBAL max_allowed_packet = 1 << 24")
    decisions = world.decisions(sync_id)
    assert decisions.pop(md5("n3")) == "failed:database_refused"
    assert set(decisions.values()) == {"created"}
    error = world.one("SELECT last_error FROM ingest_batch_item WHERE decision = 'failed'")
    assert "max_allowed_packet of the server is 1048576" in error
    assert context.db.errors["connection"] == 5, "one at once, and one for each halving"
