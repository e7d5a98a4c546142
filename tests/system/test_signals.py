"""Signals at any moment: none loses work, none ends the daemon with another status than 0."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.endings import demand_good_end
from support.process import Daemons, Process
from support.scale import scaled
from support.uncovered import NOT_MEASURED
from support.wait import until
from support.world import World, md5

STOP = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
OTHERS = ("SIGUSR1", "SIGUSR2", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGPWR", "SIGIO")
WORKER = {"poll_interval": 0.1, "stop_seconds": 5.0}
SLOW = 20.0


@pytest.fixture
def daemons(daemons: Daemons) -> Daemons:
    daemons.environment = NOT_MEASURED
    return daemons


def start(daemons: Daemons) -> Process:
    return daemons.start(worker=WORKER, queue={"auto": ["create"]}, mount={"rescan_interval": 3600.0, "watch": "poll",
                                                                          "poll_interval": 3600.0})  # fmt: skip


def test_signals_that_are_not_for_it_do_nothing(world: World, daemons: Daemons) -> None:
    process = start(daemons)
    process.wait_until_started()
    for name in OTHERS:
        process.send(signal.Signals[name])
    for name in OTHERS:
        process.wait_for("event=signal_ignored", signal.Signals[name].name)
    world.put({"type": "photo", "hash": md5("a")})
    process.send(signal.SIGHUP)
    until(lambda: world.sql("SELECT 1 FROM ingest_batch WHERE status = %s", "imported"), what=lambda: process.log)
    assert process.terminate(SLOW) == 0
    assert "event=signal_received signal=SIGHUP" in process.log


@pytest.mark.parametrize(
    ("first", "second"), list(zip(STOP, (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1), strict=True))
)
def test_a_second_signal_changes_nothing(daemons: Daemons, first: signal.Signals, second: signal.Signals) -> None:
    process = start(daemons)
    process.wait_until_started()
    process.send(first)
    while not process.has_ended():
        process.send(second)
        time.sleep(0.01)
    assert process.wait(SLOW) == 0, process.log
    assert "Traceback" not in process.log


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(scaled(3, 200)))
def test_a_signal_at_any_moment_of_the_start(daemons: Daemons, seed: int) -> None:
    """It has not started, or it ends with 0."""
    dice = random.Random(seed)
    process = start(daemons)
    number = dice.choice(STOP[:2])
    if number == signal.SIGINT:
        process.wait_for_own_code()
    time.sleep(dice.uniform(0.0, dice.choice((0.1, 0.3, 1.5))))
    process.send(number)
    demand_good_end(process, [number], process.wait(SLOW))


def test_sigint_ends_other_commands_as_usual(tmp_path: Path) -> None:
    """Commands that have begun say that they were interrupted."""
    fifo = tmp_path / "fifo.json"
    os.mkfifo(fifo)
    command = [sys.executable, "-m", "ingestd", "bundle", "check", str(fifo)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process, fifo.open("wb"):
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=SLOW)
    assert (process.returncode, error.strip()) == (130, b"ingestd: interrupted")
