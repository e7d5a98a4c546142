"""Commands take a sync_id in upper case, whole or shortened, on this host and with --url."""

import pytest

from ingestd.app import Daemon
from support.command import Run
from support.elsewhere import reach
from support.world import World, photo


@pytest.mark.parametrize("place", ["here", "elsewhere"])
@pytest.mark.parametrize("length", [36, 8])
def test_commands_take_a_sync_id_in_upper_case(
    world: World,
    daemon: Daemon,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    elsewhere: list[str],
    place: str,
    length: int,
) -> None:
    reach(world, monkeypatch)
    options = elsewhere if place == "elsewhere" else []
    sync_id, other = world.put(photo("a")), world.put(photo("b"))
    run("scan", *options)
    name = sync_id[:length].upper()
    assert run("preflight", name, "--json", *options).json["sync_id"] == sync_id
    queued = run("queue", name, other.upper(), *options)
    assert (queued.code, [row["sync_id"] for row in queued.table]) == (0, [sync_id, other])
    assert run("status", name, "--json", *options).json["sync_id"] == sync_id
    assert run("status", name, "--items", *options).code == 0
    assert run("cancel", name, *options).table[0]["sync_id"] == sync_id
