"""Approvals of removals hold for what was there when they were given."""

import pytest

from ingestd.errors import NotEligible, RemovalRefused
from support.removals import entries, events, imported, live, names, queue
from support.world import World


def test_a_manifest_that_arrived_after_the_hold_is_not_approved_unseen(world: World) -> None:
    context = world.context(queue={"removal_limit": 2})
    removal = world.put(*entries(imported(world, context, 4)[:3]), action="remove", day=2)
    world.scan(context)
    with pytest.raises(RemovalRefused):
        queue(context, removal)
    world.put(*entries(names(4)), sync_id=removal, action="remove", day=2)
    with pytest.raises(NotEligible, match="delivered again after it was held"):
        queue(context, removal, force=True)
    assert world.run_next(context) is None
    assert live(world) == 4
    assert events(world, removal, "removal_approved") == []
    queue(context, removal, force=True)
    assert world.run_next(context) == "done"
    assert live(world) == 0
