"""What the server presets for every session must not change what ingestd's statements mean."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.sweeps import Sweeper
from ingestd.store.connection import connect
from support.world import World, new_sync_id, photo

PRESETS = {
    "check_constraint_checks": 0,
    "completion_type": "CHAIN",
    "div_precision_increment": 0,
    "foreign_key_checks": 0,
    "group_concat_max_len": 4,
    "idle_readonly_transaction_timeout": 1,
    "idle_write_transaction_timeout": 1,
    "max_join_size": 1,
    "max_recursive_iterations": 1,
    "max_sort_length": 64,
    "max_statement_time": 0.001,
    "sql_auto_is_null": 1,
    "sql_safe_updates": 1,
    "sql_select_limit": 1,
    "standard_compliant_cte": 0,
    "tx_read_only": 1,
    "unique_checks": 0,
}
"""Variables that a server may set for all, to values with which ingestd could not work."""


@contextmanager
def presets(world: World, values: dict[str, object]) -> Iterator[None]:
    """A server with these values for new sessions, until the end of the block."""
    before = {name: world.one(f"SELECT @@GLOBAL.{name}") for name in values}
    try:
        for name, value in values.items():
            world.sql(f"SET GLOBAL {name} = %s", value)
        yield
    finally:
        for name, value in before.items():
            world.sql(f"SET GLOBAL {name} = %s", value)


@pytest.mark.parametrize("name", PRESETS)
def test_a_session_does_not_take_over(world: World, name: str) -> None:
    settings = world.settings().database
    with presets(world, {name: PRESETS[name]}):
        connection = connect(settings, settings.user, settings.password(), settings.name)
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT @@SESSION.{name}")
            [found] = cursor.fetchone() or [None]
        connection.close()
    assert found != PRESETS[name]


def test_an_import_does_not_depend_on_them(world: World) -> None:
    first = world.put(photo("a"), photo("b"))
    second = world.put(photo("c"), day=2, prior_sync_id=first)
    with presets(world, PRESETS):
        context = world.context()
        world.scan(context)
        for sync_id in (first, second):
            enqueue(context, QueueRequest(sync_id, "someone"))
        outcomes = [world.run_next(context)]
        Sweeper(context).promote()
        outcomes.append(world.run_next(context))
    assert outcomes == ["done", "done"]
    assert [world.status(sync_id) for sync_id in (first, second)] == ["imported", "imported"]


@pytest.mark.parametrize("depth", [0, 1, 10])
def test_priors_in_a_circle_are_recognised_with_any_limit_of_recursion(world: World, depth: int) -> None:
    one, other = new_sync_id(), new_sync_id()
    world.put(photo("a"), sync_id=one, prior_sync_id=other)
    world.put(photo("b"), sync_id=other, prior_sync_id=one)
    with presets(world, {"max_recursive_iterations": depth}):
        context = world.context()
        world.scan(context)
        for sync_id in (one, other):
            enqueue(context, QueueRequest(sync_id, "someone"))
        for _job in range(2):
            Sweeper(context).promote()
            world.run_next(context)
    assert [world.status(sync_id) for sync_id in (one, other)] == ["imported", "imported"]
