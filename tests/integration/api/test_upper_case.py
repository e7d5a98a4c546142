"""A sync_id in upper case names the same batch, in addresses and in bodies."""

from collections.abc import Callable

import pytest

from support.api_site import UNKNOWN, Site, put
from support.world import World, photo


def in_turns(sync_id: str) -> str:
    return "".join(char.upper() if place % 2 else char for place, char in enumerate(sync_id))


@pytest.mark.parametrize("spelt", [str.upper, in_turns])
def test_addresses_take_a_sync_id_in_any_case(world: World, site: Site, spelt: Callable[[str], str]) -> None:
    sync_id = put(world, site, photo("a"))
    address = f"/api/v1/batches/{spelt(sync_id)}"
    assert site.post(f"{address}/preflight").status == 200
    assert site.post(f"{address}/queue").json["sync_id"] == sync_id
    assert site.get(address)["sync_id"] == sync_id
    for what in ("items", "events"):
        assert site.get(f"{address}/{what}")["items"] == site.get(f"/api/v1/batches/{sync_id}/{what}")["items"] != []
    assert site.post(f"{address}/cancel").json["state"] == "cancelled"


def test_bodies_take_a_sync_id_in_any_case(world: World, site: Site) -> None:
    first, second = (put(world, site, photo(str(day)), day=day) for day in (1, 2))
    answer = site.post("/api/v1/queue", {"sync_ids": [second.upper(), in_turns(first), first]})
    results = [(result["sync_id"], result["status"]) for result in answer.json["results"]]
    assert results in ([(second, 201), (first, 201), (first, 200)], [(second, 201), (first, 200), (first, 201)])
    assert world.one("SELECT COUNT(*) FROM import_job") == 2


@pytest.mark.parametrize("name", ["%C5%BF" + UNKNOWN[1:], "%E2%84%AA" + UNKNOWN[1:], "%C4%B0"])
def test_other_letters_are_not_taken_for_ascii(world: World, site: Site, name: str) -> None:
    """Some become ASCII in lower or upper case."""
    assert site.post(f"/api/v1/batches/{name}/queue").status == 404
