"""Plans that a daemon makes in the background are waited for."""

import pytest

from ingestd.app import Daemon
from ingestd.web import operations
from support.command import Run
from support.elsewhere import HOSTILE, reach
from support.world import World, cover, photo


@pytest.fixture
def _all_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "PLANNED_AT_ONCE", 0)


@pytest.mark.usefixtures("_all_are_large")
def test_a_background_plan_is_waited_for(
    world: World, daemon: Daemon, run: Run, monkeypatch: pytest.MonkeyPatch, elsewhere: list[str]
) -> None:
    sync_id = world.put(photo("a"), cover("c", "a"), {"type": "photo", "hash": HOSTILE})
    assert run("scan", *elsewhere).code == 0
    there = [run("preflight", sync_id, *elsewhere), run("preflight", sync_id, "--json", *elsewhere)]
    reach(world, monkeypatch)
    here = [run("preflight", sync_id), run("preflight", sync_id, "--json")]
    assert there[0] == here[0]
    assert (there[1].json, there[1].stderr) == (here[1].json, "")
    assert list(there[1].json) == list(here[1].json)
    assert list(there[1].json["counts"].items()) == list(here[1].json["counts"].items())


@pytest.mark.usefixtures("_all_are_large")
def test_a_failed_background_plan_prints_its_error(
    world: World, daemon: Daemon, run: Run, elsewhere: list[str]
) -> None:
    invalid = world.put(photo("a"), status="uploading")
    run("scan", *elsewhere)
    result = run("preflight", invalid, *elsewhere)
    assert (result.code, result.stdout) == (3, "")
    assert f"batch {invalid} is invalid" in result.stderr
