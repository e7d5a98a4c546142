"""The queue of log lines: a reader that stalls or goes away, losses, and the last lines."""

import fcntl
import logging
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from ingestd.logs import handler
from ingestd.logs.handler import BoundedQueueHandler, write_all
from ingestd.logs.lines import LineFormatter
from support.pipe import Pipe, open_pipe
from support.wait import PATIENCE, until

BEYOND_A_PIPE = 2**17
LOST = "<4>level=warning event=log_lines_dropped count="


class LostOrText(logging.Formatter):
    """Plain text, and the report of dropped lines as it is logged."""

    def format(self, record: logging.LogRecord) -> str:
        if isinstance(record.msg, dict):
            return LineFormatter(as_json=False, for_journal=True).format(record)
        return record.getMessage()


@dataclass
class Queue:
    """A queue of 50 lines in front of a pipe."""

    pipe: Pipe
    limit: int = 50
    handler: BoundedQueueHandler = field(init=False)

    def __post_init__(self) -> None:
        self.handler = BoundedQueueHandler(self.pipe.writing, self.limit)
        self.handler.setFormatter(LostOrText())

    def log(self, text: str) -> None:
        self.handler.handle(logging.makeLogRecord({"msg": text}))

    def put(self, count: int, start: int = 0) -> None:
        for number in range(start, start + count):
            self.log(f"line {number}")

    @property
    def is_running(self) -> bool:
        return self.handler._writer.is_alive()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    with open_pipe() as made:
        yield made


@pytest.fixture
def queue(pipe: Pipe) -> Iterator[Queue]:
    made = Queue(pipe)
    yield made
    # Releases a writer that still waits for room.
    pipe.close(pipe.reading)
    made.handler.close()
    until(lambda: not made.is_running, what="for the writer to end")


def test_full_pipe_blocks_no_thread_and_losses_are_counted_and_reported(queue: Queue) -> None:
    queue.pipe.fill()
    logging_thread = threading.Thread(target=queue.put, args=(200,), daemon=True)
    logging_thread.start()
    logging_thread.join(PATIENCE)
    assert not logging_thread.is_alive(), "a thread that logs must go on"
    # The writer holds one line; when it took that line, there was room for one more.
    assert 149 <= queue.handler.dropped <= 150
    lines = queue.pipe.read_until(f"{LOST}{queue.handler.dropped}\n".encode())
    until(queue.handler.queue.empty, what="for the queue to be written")
    queue.put(1, start=900)
    lines = queue.pipe.read_until(b"line 900\n")
    kept = [int(line.split()[1]) for line in lines if line.startswith("line")][:-1]
    assert (kept[:50], len(kept)) == (list(range(50)), 200 - queue.handler.dropped)
    assert lines.count(f"{LOST}{queue.handler.dropped}") == 1, "it is reported once"


def test_losses_are_reported_when_half_of_the_queue_is_free(queue: Queue) -> None:
    queue.pipe.fill()
    queue.put(200)
    lines = queue.pipe.read_until(b"line 49\n")
    reported_at = [line.startswith(LOST) for line in lines].index(True)
    assert queue.limit // 2 <= reported_at < queue.limit


def test_lines_come_in_order_and_at_once(queue: Queue) -> None:
    queue.put(20)
    assert queue.pipe.read_until(b"line 19\n") == [f"line {number}" for number in range(20)]


def test_line_longer_than_the_pipe_arrives_in_full(queue: Queue) -> None:
    queue.log("x" * BEYOND_A_PIPE + "!")
    assert queue.pipe.read_until(b"!") == ["x" * BEYOND_A_PIPE + "!"]


def test_close_writes_the_queued_lines_and_later_lines_are_written_at_once(pipe: Pipe) -> None:
    queue = Queue(pipe)
    queue.put(20)
    queue.handler.close()
    assert not queue.is_running
    assert pipe.take().decode().splitlines() == [f"line {number}" for number in range(20)]
    queue.put(1, start=99)
    assert pipe.take().endswith(b"line 99\n")
    queue.handler.close()


def test_close_waits_for_a_stalled_reader_for_a_bounded_time(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler, "FLUSH_SECONDS", 0.2)
    queue.pipe.fill()
    queue.put(10)
    began = time.monotonic()
    queue.handler.close()
    assert 0.2 <= time.monotonic() - began < PATIENCE / 2
    queue.pipe.read_until(b"line 9\n")


def test_losses_are_reported_by_a_writer_that_ends(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler, "FLUSH_SECONDS", 0.0)
    queue.pipe.fill()
    queue.put(200)
    queue.handler.close()
    queue.pipe.read_until(f"{LOST}{queue.handler.dropped}\n".encode())


def test_pipe_that_was_made_non_blocking_is_waited_for(queue: Queue) -> None:
    os.set_blocking(queue.pipe.writing, False)
    long = "x" * 8 * BEYOND_A_PIPE
    queue.log(f"{long}!")
    queue.put(1)
    assert queue.pipe.read_until(b"line 0\n") == [f"{long}!", "line 0"]
    assert queue.handler.dropped == 0


def test_lines_without_a_reader_are_counted_as_lost(pipe: Pipe) -> None:
    queue = Queue(pipe)
    pipe.close(pipe.reading)
    queue.put(7)
    until(lambda: queue.handler.dropped == 7, what="for the losses")
    queue.handler.close()
    assert queue.handler.dropped == 7, "a report that cannot be written does not count as a loss"


def test_writing_to_a_closed_file_fails(pipe: Pipe) -> None:
    pipe.close(pipe.writing)
    assert not write_all(pipe.writing, b"x")


def test_pipe_of_these_tests_is_really_full(pipe: Pipe) -> None:
    assert pipe.fill() == fcntl.fcntl(pipe.writing, fcntl.F_GETPIPE_SZ)
