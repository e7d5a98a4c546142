"""A daemon that can start no more threads, from its start or later: one sentence, and it stops as at other times."""

from pathlib import Path

import pytest

from support.process import Daemons
from support.wait import until
from support.world import World, photo

PROGRAM = """
import os, threading
left, flag, real = {left}, {flag!r}, threading.Thread.start
def start(self):
    global left
    if left <= 0 or os.path.exists(flag):
        raise RuntimeError("can't start new thread")
    left -= 1
    real(self)
threading.Thread.start = start
from ingestd.__main__ import main
main()
"""
ANY_PORT = {"listen": "127.0.0.1:0"}


def program(folder: Path, left: int = 10_000) -> tuple[str, ...]:
    return ("-c", PROGRAM.format(left=left, flag=str(folder / "no_threads")))


@pytest.mark.parametrize("left", [0, 1, 2, 3, 5, 8, 12, 16, 20])
def test_a_start_without_threads_ends_with_a_sentence(daemons: Daemons, tmp_path: Path, left: int) -> None:
    daemons.program = program(tmp_path, left)
    process = daemons.start(http=ANY_PORT, metrics=ANY_PORT)
    assert process.wait(30.0) == 69
    assert "can't start new thread; look at the limits" in process.log
    assert "Traceback" not in process.log
    assert "uncaught_exception" not in process.log


def test_a_daemon_that_lacks_threads_stops_as_at_other_times(world: World, daemons: Daemons, tmp_path: Path) -> None:
    daemons.program = program(tmp_path)
    process = daemons.start(worker={"poll_interval": 0.1, "chunk_items": 1}, queue={"auto": ["create"]})
    process.wait_until_started()
    for _ in range(3):
        world.put(*(photo(str(number)) for number in range(200)))
    until(lambda: world.sql("SELECT 1 FROM import_job WHERE items_done > %s", 0), what=lambda: process.log)
    (tmp_path / "no_threads").touch()
    assert process.terminate(30.0) == 0
    assert world.one("SELECT COUNT(*) FROM import_job WHERE state = 'running'") == 0
    assert "Traceback" not in process.log
