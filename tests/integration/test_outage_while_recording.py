"""A connection that is lost while a bundle is recorded is an outage; the bundle is blamed when that goes on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestd.errors import DatabaseUnavailable
from ingestd.pipeline.scanner import Scanner
from support.mariadb_proxy import Action, Fault, drop_reply, drop_request, fake_error
from support.proxied import ProxiedWorld, proxied
from support.world import World, photo

ATTEMPTS = 3
"""after which a transaction is given up that its caller does not wait for"""
LOST: dict[str, tuple[str, Action]] = {
    "replies to COMMIT": ("^COMMIT", drop_reply),
    "requests to COMMIT": ("^COMMIT", drop_request),
    "connections": ("<connect>", fake_error(1040)),
    "shutdown of the server": ("INSERT INTO ingest_event", fake_error(1053)),
    "a read-only server": ("INSERT INTO ingest_batch", fake_error(1290)),
    "a killed connection": ("INSERT INTO ingest_batch", fake_error(1317)),
}


@pytest.fixture
def behind_proxy(world: World, tmp_path: Path) -> Iterator[ProxiedWorld]:
    with proxied(world, tmp_path) as made:
        yield made


def scan_on(scanner: Scanner) -> None:
    try:
        scanner.scan()
    except DatabaseUnavailable:
        pass


def reported(world: World) -> list[tuple[object, ...]]:
    return world.sql("SELECT payload FROM ingest_event WHERE event_type = %s", "bundle_stuck")


@pytest.mark.parametrize("lost", LOST)
def test_an_outage_that_ends_is_not_blamed_on_a_bundle(behind_proxy: ProxiedWorld, lost: str) -> None:
    pattern, action = LOST[lost]
    context = behind_proxy.context()
    scanner = Scanner(context)
    scanner.scan()
    sync_ids = {behind_proxy.put(photo(name)) for name in "ab"}
    behind_proxy.proxy.add(Fault(pattern, action, times=ATTEMPTS))
    for _ in range(3):
        scan_on(scanner)
    assert reported(behind_proxy) == []
    assert {sync_id for (sync_id,) in behind_proxy.sql("SELECT sync_id FROM ingest_batch WHERE %s", 1)} == sync_ids
    assert behind_proxy.one("SELECT COUNT(*) FROM ingest_event WHERE event_type = 'scan'") == len(sync_ids)


def test_a_bundle_over_which_every_connection_is_lost_delays_others_no_longer(behind_proxy: ProxiedWorld) -> None:
    context = behind_proxy.context()
    scanner = Scanner(context)
    scanner.scan()
    bad, good = behind_proxy.put(photo("a"), source_host="dreadful"), behind_proxy.put(photo("b"))
    behind_proxy.proxy.add(Fault("INSERT INTO ingest_batch.*dreadful", fake_error(1053), times=1000))
    for _ in range(4):
        scan_on(scanner)
    assert scanner.stuck == 1
    assert behind_proxy.sql("SELECT sync_id FROM ingest_stuck WHERE %s", 1) == [(bad,)]
    assert behind_proxy.status(good) == "new"
