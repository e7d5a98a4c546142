"""The real daemon under real signals and without its database, and its command."""

import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingestd.embedded import EmbeddedMariaDB
from support.imports import AUTO, BIG, CHUNKS, STOP_SECONDS, View, in_the_middle, lean, put_big, view_of, wait_for_end
from support.private_db import folder_in_memory, prepare, unstarted_server
from support.process import Daemons
from support.wait import until
from support.world import World


def test_sigterm_puts_the_job_back_and_the_next_daemon_finishes_it(world: World, daemons: Daemons) -> None:
    sync_id, view = put_big(world), view_of(world)
    first = daemons.start(worker=CHUNKS)
    in_the_middle(view, first)
    assert first.terminate(STOP_SECONDS) == 0, first.log
    first.wait_for("event=stopped")
    ((state, done, total),) = view.jobs()
    assert (state, total) == ("queued", BIG)
    assert 0 < done < BIG
    assert view.statuses() == ["queued"]
    kind, payload = world.events(sync_id)[-1]
    assert kind == "job_released"
    job_id = world.one("SELECT id FROM import_job")
    worker = payload.pop("worker_id")
    assert payload == {"phase": "job_release", "job_id": job_id, "reason": "stopping"}
    assert f"/pid:{first.pid}/" in worker
    assert world.sql("SELECT claimed_by, claimed_instance, heartbeat_at FROM import_job") == [(None, None, None)]
    assert view.one("SELECT COUNT(*) FROM ingest_batch_item WHERE decision = 'created'") == done, "no half a chunk"
    second = daemons.start(worker={**CHUNKS, "chunk_items": 500})
    wait_for_end(view, second, BIG)
    assert view.events("job_reset") == 0
    assert view.events("job_finished") == 1
    assert second.terminate(STOP_SECONDS) == 0


def test_sigkill_loses_nothing_and_the_next_daemon_goes_on_at_once(world: World, daemons: Daemons) -> None:
    sync_id, view = put_big(world), view_of(world)
    first = daemons.start(worker=CHUNKS)
    in_the_middle(view, first)
    first.kill()
    assert [state for state, *_ in view.jobs()] == ["running"]
    second = daemons.start(worker={**CHUNKS, "chunk_items": 500})
    wait_for_end(view, second, BIG)
    (reset,) = (payload for kind, payload in world.events(sync_id) if kind == "job_reset")
    assert f"/pid:{first.pid}/" in reset["prior_claimed_by"]
    assert f"/pid:{second.pid}" in reset["reaped_by"]
    assert reset["threshold_seconds"] == 900, "it did not wait for that"
    assert view.sql("SELECT reset_count, isolate_items FROM import_job") == [(1, 0)]
    claims = [payload["worker_id"] for kind, payload in world.events(sync_id) if kind == "job_claimed"]
    assert [re.sub(r".*/pid:(\d+)/.*", r"\1", claim) for claim in claims] == [str(first.pid), str(second.pid)]


# the database


@pytest.fixture
def own_server() -> Iterator[EmbeddedMariaDB]:
    """A database of the test's own, that it may start and stop; not there yet."""
    with unstarted_server() as made:
        yield made


@pytest.fixture
def empty_folder() -> Iterator[Path]:
    with folder_in_memory() as folder:
        yield folder


def bring_up(server: EmbeddedMariaDB) -> View:
    server.start()
    prepare(server)
    return View(server.owner_settings())


def test_a_daemon_outlives_its_database(world: World, daemons: Daemons, own_server: EmbeddedMariaDB) -> None:
    """It is started before its database exists, and goes on by itself after two outages in the middle of a job."""
    socket = str(own_server.folder / "mariadb.sock")
    world.put(*lean("big", BIG))
    worker = {**CHUNKS, "heartbeat_interval": 0.5}
    process = daemons.start(socket=socket, worker=worker, queue=AUTO, mount={"rescan_interval": 1.0})
    process.wait_until_started()
    process.wait_for("event=waiting", "out of reach")
    view = bring_up(own_server)
    for limit in (BIG / 3, BIG):
        before = view.items_done()
        until(lambda before=before: view.items_done() > before, what=lambda: f"for items; log: {process.log}")  # type: ignore[misc]
        assert view.items_done() < limit, "the outage comes in the middle"
        own_server.stop()
        process.wait_for("event=waiting", "out of reach")
        own_server.start()
    wait_for_end(view, process, BIG)
    assert view.events("job_finished") == 1
    assert view.events("job_reset") == 0, "its worker never died"
    assert process.terminate(STOP_SECONDS) == 0


# the command


def test_all_errors_of_a_configuration_are_reported_together(daemons: Daemons) -> None:
    wrong: dict[str, Any] = {
        "worker": {"threads": 0, "chunk_items": "many"},
        "queue": {"auto": ["destroy"]},
        "mount": {"verify": "md5", "rot": "/"},
        "nonsense": {"a": 1},
    }
    process = daemons.make("run", **wrong)
    process.environment = {"INGESTD_WORKER__THREDS": "4", "INGESTD_LOG__LEVEL": "loud"}
    daemons.started.append((process, None))
    process.start()
    assert process.wait(30) == 78
    for key in ("worker.threads", "worker.chunk_items", "queue.auto", "mount.verify", "mount.rot", "nonsense",
                "INGESTD_WORKER__THREDS", "log.level"):  # fmt: skip
        assert key in process.log
    assert "Traceback" not in process.log


def test_run_embedded_from_an_empty_folder_and_again(world: World, daemons: Daemons, empty_folder: Path) -> None:
    folder = empty_folder
    for number, name in enumerate(("first", "second")):
        process = daemons.start(embedded=folder, queue=AUTO, mount={"rescan_interval": 0.5})
        view = View(process.embedded_settings())
        process.wait_until_started()
        world.put(*lean(name, 3))
        until(lambda view=view, number=number: view.events("job_finished") == number + 1, what=process.log)  # type: ignore[misc]
        assert view.statuses() == ["imported"]
        view.demand_each_item_once(3 * (number + 1))
        assert process.terminate(30) == 0, process.log
        assert not (folder / "pid").exists(), "its database ended with it"
    # What it leaves is a clean database, which anybody may start.
    with_data = EmbeddedMariaDB(folder)
    with_data.start()
    try:
        assert View(with_data.owner_settings()).statuses() == ["imported"]
    finally:
        with_data.stop()


def test_sigint_stops_it_as_sigterm_does(world: World, daemons: Daemons) -> None:
    process = daemons.start(worker=CHUNKS)
    process.wait_until_started()
    process.send(signal.SIGINT)
    process.send(signal.SIGTERM)
    assert process.wait(STOP_SECONDS) == 0
