"""Line 7 and 8: imports of large local bundles from pre-flight to done, to LOAD DATA of exactly the same rows."""

import json
from collections.abc import Iterator
from typing import Any

from common import Bench, lean_item, put
from frame import Form, Value, measures, note
from load_data import LOADED, load_data
from real_daemon import daemon, make_files, seconds_of_job, wait_until_imported

DOCUMENTS = ("photo.manifest.json", "photo.analysis.json", "photo.meaning.json", "photo.family.json")


@measures("7", quick=True)
def lean_items(world: Bench, form: Form) -> Iterator[Value]:
    """Items of one file without documents."""
    items = [lean_item(number, "lean") for number in range(form.of(100_000, 5_000))]
    make_files(world, items)
    for _ in range(form.rounds(5, 5)):
        yield Value("7", one_round(world, items, LOADED))


@measures("8", quick=True)
def items_with_documents(world: Bench, form: Form) -> Iterator[Value]:
    """Items of one file and 5 documents: provenance and 4 analyses."""
    items = [lean_item(number, "documents") for number in range(form.of(20_000, 1_500))]
    make_files(world, items)
    make_documents(world, items)
    for _ in range(form.rounds(5, 5)):
        yield Value("8", one_round(world, items, (*LOADED, "asset_source", "asset_ai_run")))


def make_documents(world: Bench, items: list[dict[str, Any]]) -> None:
    for item in items:
        source = world.root / item["path"] / "source"
        (source / "data").mkdir(parents=True)
        text = json.dumps({"hash": item["hash"], "title": item["title"], "tags": ["a", "b", "c"] * 20})
        (source / "source.json").write_text(text)
        for name in DOCUMENTS:
            (source / "data" / name).write_text(text)


def one_round(world: Bench, items: list[dict[str, Any]], tables: tuple[str, ...]) -> float:
    """The rate of the import to that of LOAD DATA."""
    world.empty()
    with daemon(world):
        sync_id = put(world, items)
        wait_until_imported(world)
    ours = seconds_of_job(world, sync_id)
    load = load_data(world, tables)
    note(f"ingestd {len(items) / ours:,.0f} items/s; LOAD DATA {len(items) / load:,.0f}/s")
    return load / ours
