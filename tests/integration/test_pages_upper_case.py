"""The pages find a batch also by a sync_id in upper case."""

from support.web_client import Visitor, WebClient
from support.world import World, photo


def test_the_page_of_a_batch_and_its_actions(world: World, web_client: WebClient, olivia: Visitor) -> None:
    sync_id = web_client.put(photo("a"))
    address = f"/batches/{sync_id.upper()}"
    page = olivia.see(address)
    assert page.form(f"/batches/{sync_id}/queue"), "its forms name the batch as it is recorded"
    assert olivia.post(f"{address}/queue").status == 303
    assert world.sql("SELECT state FROM import_job") == [("queued",)]
    assert olivia.post(f"{address}/cancel").status == 303
    assert world.sql("SELECT state FROM import_job") == [("cancelled",)]
    assert olivia.post(f"{address}/preflight").status == 200


def test_selected_batches_are_one_in_whatever_case(world: World, web_client: WebClient, olivia: Visitor) -> None:
    sync_id = web_client.put(photo("a"))
    selected = {"sync_id": [sync_id.upper(), sync_id]}
    assert olivia.post("/confirm", selected).page.one("h1").text == "Queue 1 of 1 selected batch"
    assert olivia.post("/queue", selected).page.one("h1").text == "1 of 1 queued"
