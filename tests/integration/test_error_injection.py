"""A small import while the server reports errors and breaks connections: nothing fails that is not about the values."""

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from pymysql.constants import CR

from ingestd.embedded import EmbeddedMariaDB
from ingestd.errors import DatabaseUnavailable
from ingestd.pipeline.context import Context
from ingestd.store.server_errors import MEANINGS, Meaning
from support.mariadb_proxy import Fault, drop_reply, drop_request, error_after, fake_error
from support.proxied import ProxiedWorld, proxied
from support.scale import IS_SOAK
from support.steps import in_steps
from support.world import World, cover, owner_sql, photo

SAMPLE = [
    0,
    1021,
    1030,
    1040,
    1047,
    1062,
    1064,
    1105,
    1114,
    1142,
    1146,
    1172,
    1205,
    1213,
    1290,
    1317,
    1406,
    1927,
    4025,
    9999,
]
PARTS = 4
EVERY = 1 if IS_SOAK else 7
"""of the statements of an import, every n-th one fails in a run of its own"""


@pytest.fixture
def site(world: World, tmp_path: Path) -> Iterator[ProxiedWorld]:
    with proxied(world, tmp_path) as made:
        yield made


def bundle(name: str) -> list[dict[str, object]]:
    return [photo(f"{name}{number}") for number in range(3)] + [cover(f"{name}-cover", f"{name}0")]


def run_to_its_end(site: ProxiedWorld, context: Context, sync_id: str, name: str) -> None:
    """Runs the job, claiming it as often as a worker would, and checks that everything was imported once."""
    for _ in range(10):
        try:
            site.run_next(context)
        except DatabaseUnavailable:
            continue
        if site.status(sync_id) not in ("queued", "importing"):
            break
    assert site.status(sync_id) == "imported", (name, site.decisions(sync_id), site.events(sync_id)[-1])
    assert list(site.decisions(sync_id).values()) == ["created"] * 3 + ["linked"]
    kinds = [kind for kind, _ in site.events(sync_id)]
    assert [kinds.count(kind) for kind in ("job_claimed", "import_started", "item_created", "job_finished")] == [
        1,
        1,
        3,
        1,
    ]
    assert len(kinds) <= 20


def numbers_of(server: EmbeddedMariaDB) -> list[int]:
    """The error numbers of the server, from its own file of messages, and those of the driver."""
    ((folder,),) = owner_sql(server.owner_settings(), "SELECT @@character_sets_dir")
    head = (Path(folder).parent / "english" / "errmsg.sys").read_bytes()[:40]
    total, sections = struct.unpack("<HH", head[12:16])
    counts = struct.unpack(f"<{sections}H", head[32 : 32 + 2 * sections])
    numbers = {1000 * section + number for section, count in enumerate(counts, 1) for number in range(count)}
    assert len(numbers) == total > 1000
    return sorted(numbers | {number for number in vars(CR).values() if isinstance(number, int)} | {*SAMPLE, *MEANINGS})


@pytest.mark.soak
@pytest.mark.parametrize("also_small", [False, True])
@pytest.mark.parametrize("part", range(PARTS))
def test_no_error_number_fails_a_job_or_an_item(site: ProxiedWorld, part: int, *, also_small: bool) -> None:
    """Each number is reported for a read, a write and a COMMIT."""
    context, numbers = site.context(), numbers_of(site.server)
    for number in (numbers if IS_SOAK else SAMPLE)[part::PARTS]:
        name = f"error {number}"
        sync_id = site.queued(context, *bundle(name))
        about_values = MEANINGS.get(number) in (Meaning.VALUES, Meaning.SUSPECTED)
        fake = fake_error(number, text=name)
        site.proxy.add(Fault(r"^SELECT GROUP_CONCAT\(\s+'\[', a\.id", fake, times=2))
        site.proxy.add(Fault(r"^INSERT INTO asset ", fake, times=1 if about_values else 3))
        site.proxy.add(Fault("^COMMIT", fake, nth=3 if also_small else 2, times=2))
        with in_steps(also_small=also_small):
            run_to_its_end(site, context, sync_id, name)
        assert all(fault.done == fault.times for fault in site.proxy.faults), name
        site.proxy.clear()


ACTIONS = {
    "error": fake_error(1030),
    "error after": error_after(1030),
    "cut before": drop_request,
    "cut after": drop_reply,
    "deadlock": fake_error(1213),
}


@pytest.mark.soak
@pytest.mark.parametrize("action", ACTIONS)
def test_any_statement_of_an_import_may_fail(site: ProxiedWorld, action: str) -> None:
    """The n-th statement fails, n = 1, 2, 3 … until a run meets no failure any more."""
    context, number = site.context(), 1
    while True:
        name = f"{action} {number}"
        sync_id = site.queued(context, *bundle(name))
        fault = Fault(".", ACTIONS[action], nth=number)
        site.proxy.add(fault)
        run_to_its_end(site, context, sync_id, name)
        site.proxy.clear()
        if not fault.done:
            break
        number += EVERY
    assert number > 30, "an import has more statements"
