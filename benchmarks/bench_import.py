"""Line 7 and 8: imports of large local bundles from pre-flight to done, to LOAD DATA of exactly the same rows."""

import json
from collections.abc import Iterator
from typing import Any

from common import Bench, announce, lean_item, write_manifest
from costs import spent
from frame import Form, Value, measures, note
from load_data import LOADED, load_data
from real_daemon import daemon, make_files, seconds_of_job, wait_until_imported

DOCUMENTS = ("photo.manifest.json", "photo.analysis.json", "photo.meaning.json", "photo.family.json")


@measures("7a", "7b", quick=True)
def lean_items(world: Bench, form: Form) -> Iterator[Value]:
    """Items of one file without documents."""
    items = [lean_item(number, "lean") for number in range(form.of(100_000, 5_000))]
    make_files(world, items)
    for _ in range(form.rounds(5)):
        rate, processor = one_round(world, items, LOADED)
        yield Value("7a", rate)
        yield Value("7b", processor)


@measures("8a", "8b", quick=True)
def items_with_documents(world: Bench, form: Form) -> Iterator[Value]:
    """Items of one file and 5 documents: provenance and 4 analyses."""
    items = [lean_item(number, "documents") for number in range(form.of(20_000, 1_500))]
    make_files(world, items)
    make_documents(world, items)
    for _ in range(form.rounds(5)):
        rate, processor = one_round(world, items, (*LOADED, "asset_source", "asset_ai_run"))
        yield Value("8a", rate)
        yield Value("8b", processor)


def make_documents(world: Bench, items: list[dict[str, Any]]) -> None:
    for item in items:
        source = world.root / item["path"] / "source"
        (source / "data").mkdir(parents=True)
        text = json.dumps({"hash": item["hash"], "title": item["title"], "tags": ["a", "b", "c"] * 20})
        (source / "source.json").write_text(text)
        for name in DOCUMENTS:
            (source / "data" / name).write_text(text)


def one_round(world: Bench, items: list[dict[str, Any]], tables: tuple[str, ...]) -> tuple[float, float]:
    """The rate of the import to that of LOAD DATA, and its processor time."""
    world.empty()
    with daemon(world) as process:
        sync_id = write_manifest(world, items)
        _, processor = spent(lambda: deliver(world, sync_id), world.server.pid, process.pid)
    seconds = seconds_of_job(world, sync_id)
    load_seconds, load_processor = load_data(world, tables)
    note(f"ingestd {len(items) / seconds:,.0f} items/s; LOAD DATA {len(items) / load_seconds:,.0f}/s")
    note(f"ingestd {processor:.2f} s of processor time; LOAD DATA {load_processor:.2f} s")
    return load_seconds / seconds, load_processor / processor


def deliver(world: Bench, sync_id: str) -> None:
    announce(world, sync_id)
    wait_until_imported(world)
