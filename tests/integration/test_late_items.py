"""Items that cannot be read at present come last: the others of their bundle are imported meanwhile."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from ingestd.errors import DatabaseUnavailable
from ingestd.mount import reader
from ingestd.pipeline import evaluate
from ingestd.pipeline.claims import claim
from ingestd.pipeline.context import Context
from ingestd.pipeline.importer import chunk_source
from ingestd.pipeline.importer.run import Run
from ingestd.pipeline.queueing import QueueRequest, enqueue
from support.faulty_helper import QUICK, inject
from support.scale import IS_SOAK, scaled
from support.wait import stop_event, until
from support.world import World, md5, photo

SETTLE = 60.0
"""Who waited for the items in trouble would wait this long."""
NAMES = [f"n{number}" for number in range(20)]
TROUBLE = """
import errno, time
from ingestd.mount import documents
real_as_json = documents.as_json
def as_json(data):
    if data == b'"hang"':
        time.sleep(3600)
    if data == b'"eio"':
        raise OSError(errno.EIO, "made up by a test")
    return real_as_json(data)
documents.as_json = as_json
"""


@pytest.fixture(autouse=True)
def _faulty(monkeypatch: pytest.MonkeyPatch) -> None:
    inject(monkeypatch, QUICK, TROUBLE)
    monkeypatch.setattr(reader, "MAX_PAUSE", 0.2)


def document(world: World, name: str) -> Path:
    return world.file(f"{photo(name)['path']}/source/data/notes.json", b"{}")


def queued(world: World, context: Context, trouble: dict[str, str]) -> str:
    sync_id = world.put(*map(photo, NAMES))
    for name, how in trouble.items():
        document(world, name).write_text(f'"{how}"')
    world.scan(context)
    enqueue(context, QueueRequest(sync_id, "tester"))
    return sync_id


@contextmanager
def running(context: Context) -> Iterator[list[str]]:
    """A run in a thread of its own; yields a list that gets its outcome."""
    lease, outcome = claim(context, "w", ""), []  # type: ignore[var-annotated]
    assert lease is not None
    stopping = stop_event()
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(Run(context, lease, stopping).execute)
        try:
            yield outcome
            outcome.append(run.result(30))
        finally:
            stopping.set()


@pytest.mark.soak
@pytest.mark.parametrize(
    "trouble",
    [{"n0": "hang", "n7": "eio", "n19": "eio"}, {"n3": "eio", "n4": "eio"}, {"n0": "hang", "n1": "hang"}][
        : None if IS_SOAK else 1
    ],
)
@pytest.mark.parametrize("chunk_items", [5, 100][: scaled(1, 2)])
def test_the_others_are_imported_meanwhile(world: World, trouble: dict[str, str], chunk_items: int) -> None:
    context = world.context(worker={"chunk_items": chunk_items}, mount={"deadline": 0.5, "settle_seconds": SETTLE})
    sync_id = queued(world, context, trouble)
    with running(context) as outcome:
        until(
            lambda: [*world.decisions(sync_id).values()].count("created") == 20 - len(trouble),
            what=lambda: str(world.decisions(sync_id)),
            seconds=SETTLE / 2,
        )
        undecided = {h for h, decision in world.decisions(sync_id).items() if decision == "will_create"}
        assert undecided == {md5(name) for name in trouble}
        for name in trouble:
            document(world, name)
    assert outcome == ["done"]
    assert set(world.decisions(sync_id).values()) == {"created"}
    kinds = [kind for kind, _ in world.events(sync_id)]
    assert kinds.count("item_created") == 20


def test_items_that_stay_unreadable_fail_after_settling(world: World) -> None:
    context = world.context(worker={"chunk_items": 5}, mount={"deadline": 0.5, "settle_seconds": 0.3})
    sync_id = queued(world, context, {"n2": "eio", "n8": "hang"})
    assert world.run_next(context) == "done"
    failed = {hash_: decision for hash_, decision in world.decisions(sync_id).items() if decision != "created"}
    assert failed == {md5("n2"): "failed:file_unreadable", md5("n8"): "failed:file_unreadable"}


def test_when_many_are_late_all_wait(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunk_source, "MAX_LATE", 2)
    context = world.context(worker={"chunk_items": 5}, mount={"settle_seconds": 0.2})
    sync_id = queued(world, context, dict.fromkeys(NAMES[::2], "eio"))
    assert world.run_next(context) == "done"
    assert [*world.decisions(sync_id).values()] == ["failed:file_unreadable", "created"] * 10


def test_late_items_survive_the_loss_of_the_second_connection(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading ahead starts again in the middle: nothing is imported twice or left out."""
    monkeypatch.setattr(chunk_source, "AHEAD_RETRY_SECONDS", 0.0)
    context = world.context(worker={"chunk_items": 2}, mount={"settle_seconds": 0.2})
    sync_id = queued(world, context, {"n1": "eio", "n6": "eio"})
    real, calls = evaluate.load_state, []

    def flapping(*arguments: object) -> object:
        calls.append(1)
        if len(calls) % 2:
            raise DatabaseUnavailable("no connection to spare")
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(chunk_source, "load_state", flapping)
    assert world.run_next(context) == "done"
    decisions = [*world.decisions(sync_id).values()]
    assert decisions.count("created") == 18
    assert [kind for kind, _ in world.events(sync_id)].count("item_created") == 18
