"""Import of items with five documents each, by one worker, against LOAD DATA of exactly the same final rows."""

import json
import os
import sys
from typing import Any

from common import Bench, bench, lean_item, median, put, report
from importing import LOADED, import_all, load_data

ITEMS = int(os.environ.get("ITEMS", "20000"))
ROUNDS = int(os.environ.get("ROUNDS", "3"))
DOCUMENTS = ("photo.manifest.json", "photo.analysis.json", "photo.meaning.json", "photo.family.json")


def main() -> None:
    print(f"{ITEMS} items with provenance and {len(DOCUMENTS)} analyses, mount.verify = none", flush=True)
    against_load = []
    with bench() as world:
        items = [lean_item(number, "documents") for number in range(ITEMS)]
        make_documents(world, items)
        for _ in range(ROUNDS):
            ours, load = one_round(world, items)
            against_load.append(load / ours)
            print(f"  ingestd {ITEMS / ours:,.0f} items/s; LOAD DATA {ITEMS / load:,.0f}/s", flush=True)
    report("speed relative to LOAD DATA", against_load, "at least 0.4", median(against_load) >= 0.4)
    sys.exit(0 if median(against_load) >= 0.4 else 1)


def make_documents(world: Bench, items: list[dict[str, Any]]) -> None:
    for item in items:
        source = world.root / item["path"] / "source"
        (source / "data").mkdir(parents=True)
        text = json.dumps({"hash": item["hash"], "title": item["title"], "tags": ["a", "b", "c"] * 20})
        (source / "source.json").write_text(text)
        for name in DOCUMENTS:
            (source / "data" / name).write_text(text)


def one_round(world: Bench, items: list[dict[str, Any]]) -> tuple[float, float]:
    """Seconds of the import, and of LOAD DATA of its rows."""
    world.empty()
    put(world, items)
    ours = import_all(world, mount={"verify": "none"})
    assert world.sql("SELECT COUNT(*) FROM asset_ai_run") == [(len(DOCUMENTS) * len(items),)]
    load = load_data(world, (*LOADED, "asset_source", "asset_ai_run"))
    world.empty()
    return ours, load


if __name__ == "__main__":
    main()
