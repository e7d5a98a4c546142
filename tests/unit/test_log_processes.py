"""The log of processes: their last lines, their children and forks, and readers that stall."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from support.pipe import Pipe, open_pipe
from support.wait import PATIENCE

JOURNAL_LINE = re.compile(r"<[2-7]>\S.*|<[2-7]>  \| .*")


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    with open_pipe() as made:
        yield made


@contextmanager
def python(script: str, stderr: int, **environment: str) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen([sys.executable, "-c", script], stderr=stderr, env={**os.environ, **environment})
    try:
        yield process
    finally:
        process.kill()
        process.wait()


PRELUDE = """
import os, subprocess, sys, threading, structlog
from ingestd import logs
from ingestd.config import LogSettings
logs.configure(LogSettings())
log = structlog.get_logger()
"""


def lines_of(script: str, pipe: Pipe) -> list[str]:
    """What a process logs under the journal until it ends."""
    status = os.fstat(pipe.writing)
    with python(PRELUDE + script, pipe.writing, JOURNAL_STREAM=f"{status.st_dev}:{status.st_ino}") as process:
        pipe.close(pipe.writing)
        with open(pipe.reading, encoding="utf-8", closefd=False) as stream:
            lines = stream.read().splitlines()
        process.wait(PATIENCE)
    assert [line for line in lines if not JOURNAL_LINE.fullmatch(line)] == []
    return lines


def test_process_writes_all_lines_before_it_ends(pipe: Pipe) -> None:
    lines = lines_of("for number in range(500): log.info('job_claimed', job_id=number)", pipe)
    assert lines == [f"<6>level=info event=job_claimed job_id={number}" for number in range(500)]


def test_process_logs_the_exception_that_ends_it(pipe: Pipe) -> None:
    first, *rest = lines_of("raise SystemError('a\\nb')", pipe)
    assert first == "<2>level=critical event=uncaught_exception"
    assert rest[-2:] == ["<2>  | SystemError: a", "<2>  | b"]


def test_warning_is_one_line(pipe: Pipe) -> None:
    (line,) = lines_of("import warnings; warnings.warn('this is\\nold')", pipe)
    start = '<4>level=warning event=log_message logger=py.warnings message="<string>:7: UserWarning: '
    assert line == start + r'this is\nold"'


def test_stalled_reader_does_not_delay_the_exit(pipe: Pipe) -> None:
    pipe.fill()
    script = "for number in range(5000): log.info('job_claimed', job_id=number)\nassert logs.dropped() > 2000"
    with python(PRELUDE + script, pipe.writing) as process:
        assert process.wait(PATIENCE) == 0


def test_children_inherit_no_files_and_forks_log_at_once(pipe: Pipe) -> None:
    script = """
log.info("before")
held = set(os.listdir("/proc/self/fd"))
child = "import os; assert sorted(os.listdir('/proc/self/fd')) == ['0', '1', '2', '3']"
processes = [subprocess.Popen([sys.executable, "-c", child], start_new_session=True) for _ in range(3)]
assert [process.wait() for process in processes] == [0, 0, 0]
pid = os.fork()
if pid == 0:
    log.info("forked")
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
log.info("after")
"""
    lines = lines_of("import warnings; warnings.simplefilter('ignore')" + script, pipe)
    assert sorted(line.rpartition("=")[2] for line in lines) == ["after", "before", "forked"]
