"""Items that succeeded and are delivered again unchanged: their rows stand, and nothing of the library is asked for."""

from typing import Any

import pytest

from ingestd.pipeline import plan_steps, preflight, staging
from ingestd.pipeline.context import Context
from ingestd.pipeline.evaluate import evaluate
from ingestd.pipeline.staging import KEPT, Staging
from support.imports import lean
from support.world import World, cover

STEP = 4


@pytest.fixture
def context(world: World) -> Context:
    return world.context(worker={"chunk_items": STEP})


@pytest.fixture(params=["in steps", "at once"])
def _plans(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "ENTRIES_PER_STEP", STEP)
    monkeypatch.setattr(plan_steps, "MAX_AT_ONCE", STEP if request.param == "in steps" else 1000)


@pytest.fixture
def evaluated(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The titles of the entries that are forecast."""
    found: list[str] = []
    real = evaluate

    def noted(entry: Any, *others: Any, **more: Any) -> Any:
        found.append(entry.title)
        return real(entry, *others, **more)

    monkeypatch.setattr("ingestd.pipeline.forecast.evaluate", noted)
    return found


@pytest.mark.usefixtures("_plans")
def test_only_what_changed_is_forecast(world: World, context: Context, evaluated: list[str]) -> None:
    entries = lean("n", 3 * STEP)
    sync_id = world.put(*entries)
    world.import_all(context, sync_id)
    entries[STEP]["title"] = "another"
    evaluated.clear()
    world.put(*entries, cover("c", "n0"), sync_id=sync_id)
    world.scan(context)
    assert preflight.preflight(context, sync_id)["counts"] == {
        "will_create": 0, "will_update": 1, "will_link": 1, "will_remove": 0, "will_skip": 3 * STEP - 1, "will_fail": 0,
        "will_defer": 0,
    }  # fmt: skip
    assert sorted(map(str, evaluated)) == ["None", "another"]
    world.import_all(context, sync_id)
    assert world.status(sync_id) == "imported"
    assert world.tallies() == world.counted()


def test_row_that_changed_since_is_forecast_after_all(
    world: World, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the forecast, which is made ahead, and the transaction that writes it."""
    entries = lean("n", STEP)
    sync_id = world.put(*entries)
    world.import_all(context, sync_id)
    world.put(*entries, cover("c", "n0"), sync_id=sync_id)
    world.scan(context)
    monkeypatch.setattr(plan_steps, "MAX_AT_ONCE", 1)
    real, ahead = Staging.write, []

    def write(self: Staging, tx: Any, part: Any, forecasts: Any = None) -> Any:
        ahead.extend(forecasts)
        world.sql("UPDATE ingest_batch_item SET decision = 'pending' WHERE ordinal = %s", 2)
        return real(self, tx, part, forecasts)

    monkeypatch.setattr(Staging, "write", write)
    plan = preflight.preflight(context, sync_id)
    assert ahead.count(KEPT) == STEP
    assert world.sql("SELECT decision, reason FROM ingest_batch_item WHERE ordinal = 2") == [("will_skip", "unchanged")]
    assert plan["counts"]["will_skip"] == STEP
