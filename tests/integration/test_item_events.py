"""Events of items, made by the server from their rows."""

import pytest

from ingestd.store import ledger
from support.world import World, md5, photo


@pytest.mark.parametrize("places", [[0, 1, 2], [2, 0, 1], [0, 2], [1], [3, 0, 2]])
def test_events_are_of_the_items_that_are_given(world: World, places: list[int]) -> None:
    """In order of the manifest, whether or not their ids are a range."""
    context = world.context()
    assert world.import_all(context, world.put(*map(photo, "abcd"))) == ["done"]
    ids = [id_ for (id_,) in world.sql("SELECT id FROM ingest_batch_item ORDER BY ordinal")]
    ((last,),) = world.sql("SELECT MAX(id) FROM ingest_event")
    context.db.transaction(lambda tx: ledger.append_items(tx, [ids[place] for place in places]))
    found = world.sql("SELECT JSON_VALUE(payload, '$.hash') FROM ingest_event WHERE id > %s ORDER BY id", last)
    assert [hash_ for (hash_,) in found] == [md5("abcd"[place]) for place in sorted(places)]
