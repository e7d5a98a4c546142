"""Logging: what lines look like, that nobody forges or repeats them, and that no reader can hold up who writes them."""

import fcntl
import io
import json
import logging
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import structlog

from ingestd import logs
from ingestd.config import LogSettings
from ingestd.logs import bridge, limit, sink
from ingestd.logs.limit import Limiter
from ingestd.logs.lines import MAX_BLOCK, MAX_LINE, Layout, is_journal
from ingestd.logs.sink import Drops, QueuedSink, write_all
from ingestd.pipeline.prefetch import prefetch
from support.wait import PATIENCE, until

HOSTILE = 'dawn\nlevel=critical event=forged\r\x1b[2J\x85\u2028\u202e"\\ \udc80\x7f'
JOURNAL_LINE = re.compile(r"<[2-7]>\S.*|<[2-7]>  \| .*")
BEYOND_A_PIPE = 2**17


def text(**event: Any) -> str:
    return Layout(as_json=False, with_priority=False).render({"level": "info", **event}).decode()


def for_journal(**event: Any) -> str:
    return Layout(as_json=False, with_priority=True).render(event).decode()


def as_json(**event: Any) -> dict[str, Any]:
    line = Layout(as_json=True, with_priority=False).render({"level": "info", **event})
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert b"\x7f" not in line
    parsed: dict[str, Any] = json.loads(line)
    return parsed


# what a line looks like


def test_a_line_is_key_value_with_time_level_and_event_first() -> None:
    values = {"root": Path("/mnt/a b"), "none": None, "yes": True, "jobs": [1, 2], "empty": "", "eq": "a=b", "n": 1.5}
    line = text(**values, event="started")
    assert re.fullmatch(
        r'timestamp=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z level=info event=started root="/mnt/a b" none= yes=true'
        r' jobs=\[1,2\] empty="" eq="a=b" n=1\.5\n',
        line,
    )


def test_a_key_of_the_processors_is_not_shown() -> None:
    assert "secret" not in text(event="started", _template="secret")


def test_a_hostile_name_forges_no_line() -> None:
    line = text(event="sentinel_ignored", name=HOSTILE)
    assert line.count("\n") == 1
    assert line[:-1].isprintable()
    escaped = r'"dawn\nlevel=critical event=forged\r\x1b[2J\x85\u2028\u202e\"\\ \udc80\x7f"'
    assert line.endswith(f" name={escaped}\n")


def test_a_hostile_key_forges_no_value() -> None:
    assert " a_level_critical_=1\n" in text(event="told", **{"a level=critical\n": 1})


def test_a_hostile_name_stays_one_value_in_json() -> None:
    assert as_json(event="sentinel_ignored", name=HOSTILE)["name"] == HOSTILE
    assert as_json(event="listed", names=[HOSTILE])["names"] == [HOSTILE]


def test_json_keeps_types_and_tells_what_it_cannot_hold() -> None:
    values = {"a": 1, "b": None, "c": True, "d": [1, {"e": "f"}], "g": 0.5}
    line = as_json(**values, event="told", path=Path("/x"), bad=float("nan"), nested=[float("inf")], odd={(1, 2): 3})
    assert {key: line[key] for key in values} == values
    assert (line["path"], line["bad"], line["nested"], line["odd"]) == ("/x", "nan", "[inf]", "{(1, 2): 3}")


class Unspeakable:
    def __str__(self) -> str:
        raise RuntimeError


def test_whoever_logs_what_cannot_be_shown_does_not_fail() -> None:
    shown = "<Unspeakable that cannot be shown: RuntimeError>"
    assert f'what="{shown}"' in text(event="told", what=Unspeakable())
    assert as_json(event="told", what=Unspeakable())["what"] == shown
    assert as_json(event="told", what=[Unspeakable()])["what"] == [shown]


def raised(message: str) -> str:
    return f'Traceback (most recent call last):\n  File "x.py"\nValueError: {message}'


def test_each_line_of_a_traceback_has_the_priority_and_a_margin() -> None:
    first, *rest = for_journal(level="error", event="crashed", exception=raised(HOSTILE)).split("\n")
    assert first == "<3>level=error event=crashed"
    assert rest[:3] == ["<3>  | Traceback (most recent call last):", '<3>  |   File "x.py"', "<3>  | ValueError: dawn"]
    assert rest[3].startswith(r"<3>  | level=critical event=forged\r\x1b[2J\x85\u2028\u202e")
    assert rest[4:] == [""]


def test_a_traceback_is_one_value_in_json() -> None:
    assert as_json(event="crashed", exception=raised("x"))["exception"] == raised("x")


@pytest.mark.parametrize(
    ("level", "priority"), [("debug", 7), ("info", 6), ("warning", 4), ("error", 3), ("critical", 2)]
)
def test_the_journal_is_told_the_priority_and_no_time(level: str, priority: int) -> None:
    assert for_journal(level=level, event="told") == f"<{priority}>level={level} event=told\n"
    json_line = Layout(as_json=True, with_priority=True).render({"level": level, "event": "told"})
    assert json_line == f'<{priority}>{{"level":"{level}","event":"told"}}\n'.encode()


def test_no_line_is_so_long_that_the_journal_would_cut_it() -> None:
    long = {f"key{number}": HOSTILE * 1000 for number in range(60)}
    for layout in (Layout(as_json=False, with_priority=True), Layout(as_json=True, with_priority=True)):
        shown = layout.render({"level": "info", "event": "told", **long, "exception": HOSTILE * 2000})
        assert max(map(len, shown.split(b"\n"))) <= MAX_LINE + 10
    assert as_json(event="told", **long, exception="x" * 10**6)["event"] == "told"
    assert 'key="xx' in (line := text(event="told", key="x" * 2100))
    assert line.endswith('x… (100 more)"\n')
    assert text(event="told", exception="x" * 1100).endswith("x… (100 more)\n")
    many = text(event="told", exception="x\n" * 20_000 + "the end")
    assert many.endswith("  | the end\n")
    assert many.count("\n") <= MAX_BLOCK / 2 + 10


def test_the_journal_is_known_by_device_and_inode(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as output:
        status = os.fstat(output.fileno())
        for told, expected in (
            (f"{status.st_dev}:{status.st_ino}", True),
            (f"{status.st_dev}:{status.st_ino + 1}", False),
            (f"{status.st_dev + 1}:{status.st_ino}", False),
            ("nonsense", False),
            ("", False),
        ):
            monkeypatch.setenv("JOURNAL_STREAM", told)
            assert is_journal(output.fileno()) is expected
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        assert not is_journal(None)
        fd = output.fileno()
    assert not is_journal(fd), "it is closed"
    monkeypatch.delenv("JOURNAL_STREAM")
    assert not is_journal(0)


# repeats


@dataclass
class Limited:
    """A limiter of three in ten seconds, in a time of its own."""

    now: float = 0.0
    limiter: Limiter = field(init=False)

    def __post_init__(self) -> None:
        self.limiter = Limiter(3, 10.0, lambda: self.now, limit=5)

    def passes(self, event: str = "swept", level: str = "warning", **values: Any) -> bool:
        try:
            self.limiter(None, level, {"event": event, "level": level, **values})
        except structlog.DropEvent:
            return False
        return True


def test_repeats_are_told_a_few_times_and_then_counted() -> None:
    limited = Limited()
    assert [limited.passes(service="scanner") for _ in range(5)] == [True] * 3 + [False] * 2
    assert limited.limiter.summaries() == [], "the window is still open"
    limited.now = 10.0
    assert limited.limiter.summaries() == [
        {"level": "warning", "event": "log_lines_suppressed", "suppressed": "swept", "service": "scanner",
         "seconds": 10.0, "count": 2}
    ]  # fmt: skip
    assert limited.limiter.summaries() == [], "it is told once"
    assert limited.passes(service="scanner"), "a new window"


def test_a_window_that_the_next_event_closes_is_told_too() -> None:
    limited = Limited()
    assert [limited.passes() for _ in range(4)] == [True] * 3 + [False]
    limited.now = 11.0
    assert limited.passes()
    (summary,) = limited.limiter.summaries()
    assert summary["count"] == 1


def test_without_suppression_there_is_no_summary() -> None:
    limited = Limited()
    assert all(limited.passes() for _ in range(3))
    assert limited.limiter.summaries(everything=True) == []


def test_what_is_still_open_at_the_end_is_told() -> None:
    limited = Limited()
    for _ in range(6):
        limited.passes()
    (summary,) = limited.limiter.summaries(everything=True)
    assert summary["count"] == 3


@pytest.mark.parametrize("key", ["service", "sync_id", "job_id", "logger", "_template"])
def test_another_identity_is_another_event(key: str) -> None:
    limited = Limited()
    assert [limited.passes(**{key: "a"}) for _ in range(4)][-1] is False
    assert limited.passes(**{key: "b"})
    assert not limited.passes(**{key: "a"}, reason="whatever else differs")


def test_level_and_event_are_part_of_the_identity() -> None:
    limited = Limited()
    assert not all(limited.passes() for _ in range(4))
    assert limited.passes(level="error")
    assert limited.passes("scanned")


def test_events_of_jobs_are_never_left_out() -> None:
    limited = Limited()
    assert all(limited.passes("job_claimed") for _ in range(20))
    assert limited.limiter.summaries(everything=True) == []


def fail(kind: type[Exception]) -> None:
    raise kind


def fail_elsewhere(kind: type[Exception]) -> None:
    raise kind


def test_the_first_occurrence_of_each_error_is_told() -> None:
    limited = Limited()

    def told(where: Any, kind: type[Exception]) -> bool:
        try:
            where(kind)
        except LookupError as error:
            known = {limited.passes("failed", "error", exc_info=info) for info in (True, error, sys.exc_info())}
            return known == {True}
        raise AssertionError

    assert told(fail, IndexError)
    assert not told(fail, IndexError)
    assert told(fail, KeyError)
    assert told(fail_elsewhere, IndexError)


def test_ever_new_identities_do_not_fill_the_memory() -> None:
    limited = Limited()
    for _ in range(5):
        limited.passes(sync_id="first")
    for number in range(100):
        assert limited.passes(sync_id=number)
    assert len(limited.limiter._windows) <= 6
    assert [summary["count"] for summary in limited.limiter.summaries()] == [2]


# a reader that stalls


@dataclass
class Pipe:
    """A pipe that is read only when a test says so."""

    reading: int
    writing: int
    taken: bytes = b""
    closed: set[int] = field(default_factory=set)

    def close(self, *ends: int) -> None:
        """Closes each end once: its number may be another file's afterwards."""
        for fd in set(ends) - self.closed:
            self.closed.add(fd)
            os.close(fd)

    def fill(self) -> int:
        """Leaves no room at all, and the writing end blocking; returns how much went in."""
        os.set_blocking(self.writing, False)
        filled = 0
        with suppress(BlockingIOError):
            while True:
                filled += os.write(self.writing, b"#" * 4096)
        os.set_blocking(self.writing, True)
        return filled

    def take(self, count: int = 2**16) -> bytes:
        self.taken += os.read(self.reading, count)
        return self.taken

    def read_until(self, wanted: bytes) -> list[str]:
        until(lambda: wanted in self.take(), what=f"for {wanted!r}")
        return self.taken.lstrip(b"#").decode().splitlines()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe(*os.pipe())
    yield made
    made.close(made.reading, made.writing)


@dataclass
class Queued:
    """A sink on a pipe, with what it was asked to tell."""

    pipe: Pipe
    limit: int = 50
    drops: Drops = field(default_factory=Drops)
    due: list[bytes] = field(default_factory=list)
    sink: QueuedSink = field(init=False)

    def __post_init__(self) -> None:
        self.sink = QueuedSink(self.pipe.writing, self.drops, lambda count: b"lost %d\n" % count, self.told, self.limit)

    def told(self, everything: bool) -> list[bytes]:
        return [self.due.pop() for _ in self.due[:]] if everything else []

    def put(self, count: int, start: int = 0) -> None:
        for number in range(start, start + count):
            self.sink.put(b"line %d\n" % number)


@pytest.fixture
def queued(pipe: Pipe) -> Iterator[Queued]:
    made = Queued(pipe)
    yield made
    # Lets go of whatever still waits for room.
    pipe.close(pipe.reading)
    made.sink.close(PATIENCE)
    assert not made.sink._thread.is_alive()


def test_a_full_pipe_stops_no_thread_and_what_is_lost_is_counted_and_told(queued: Queued) -> None:
    queued.pipe.fill()
    logging_thread = threading.Thread(target=queued.put, args=(200,), daemon=True)
    logging_thread.start()
    logging_thread.join(PATIENCE)
    assert not logging_thread.is_alive(), "a thread that logs must go on"
    # One line is in the writer's hands; whenever it took that, there was room for one more.
    assert 149 <= queued.drops.total <= 150
    lines = queued.pipe.read_until(b"lost %d\n" % queued.drops.total)
    kept = [int(line.split()[1]) for line in lines if line.startswith("line")]
    assert (kept[:50], len(kept)) == (list(range(50)), 200 - queued.drops.total)
    queued.put(1, start=900)
    assert queued.pipe.read_until(b"line 900\n").count(f"lost {queued.drops.total}") == 1, "it is told once"


def test_losses_are_told_when_there_is_room_again_and_not_before(queued: Queued) -> None:
    queued.pipe.fill()
    queued.put(200)
    lines = queued.pipe.read_until(b"line 49\n")
    told = [line[:4] for line in lines].index("lost")
    assert told >= queued.limit // 2, "half of the queue goes first"
    assert told < queued.limit, "but it does not wait for the end"


def test_lines_come_in_order_and_at_once(queued: Queued) -> None:
    queued.put(20)
    assert queued.pipe.read_until(b"line 19\n") == [f"line {number}" for number in range(20)]


def test_a_line_longer_than_the_pipe_arrives_in_full(queued: Queued) -> None:
    queued.sink.put(b"x" * BEYOND_A_PIPE + b"!")
    assert queued.pipe.read_until(b"!") == ["x" * BEYOND_A_PIPE + "!"]


def test_what_is_queued_is_written_at_the_end_with_what_is_due(pipe: Pipe) -> None:
    queued = Queued(pipe)
    queued.due.append(b"due\n")
    queued.put(20)
    queued.sink.close(PATIENCE)
    assert not queued.sink._thread.is_alive()
    assert pipe.take().decode().splitlines() == [*(f"line {number}" for number in range(20)), "due"]
    queued.put(1, start=99)
    assert pipe.take().endswith(b"line 99\n"), "later lines are written directly"
    queued.sink.close(PATIENCE)


def test_the_end_waits_for_a_stalled_reader_for_a_bounded_time(queued: Queued) -> None:
    queued.pipe.fill()
    queued.put(10)
    began = time.monotonic()
    queued.sink.close(0.2)
    assert 0.2 <= time.monotonic() - began < PATIENCE / 2
    queued.pipe.read_until(b"line 9\n")


def test_a_pipe_that_somebody_made_non_blocking_is_waited_for(queued: Queued) -> None:
    os.set_blocking(queued.pipe.writing, False)
    long = "x" * 8 * BEYOND_A_PIPE
    queued.sink.put(f"{long}!\n".encode())
    queued.put(1)
    assert queued.pipe.read_until(b"line 0\n") == [f"{long}!", "line 0"]
    assert queued.drops.total == 0


def test_without_a_reader_lines_are_lost_and_counted(pipe: Pipe) -> None:
    queued = Queued(pipe)
    pipe.close(pipe.reading)
    queued.put(7)
    until(lambda: queued.drops.total == 7, what="for the losses")
    queued.sink.close(PATIENCE)
    assert queued.drops.total == 7, "that the losses could not be told is no further loss"


def test_summaries_come_without_further_lines(monkeypatch: pytest.MonkeyPatch, pipe: Pipe) -> None:
    monkeypatch.setattr(sink, "TICK_SECONDS", 0.01)
    due = [b"due\n"]
    made = QueuedSink(pipe.writing, Drops(), lambda _count: b"", lambda _everything: [due.pop()] if due else [])
    assert pipe.read_until(b"due\n") == ["due"]
    made.close(PATIENCE)


def test_writing_to_a_closed_file_is_a_loss(pipe: Pipe) -> None:
    pipe.close(pipe.writing)
    assert not write_all(pipe.writing, b"x")


# the whole, in this process


@pytest.fixture
def quiet_again() -> Iterator[None]:
    """Puts everything back that `configure` touches.

    Comes before `monkeypatch`, whose changes must be undone by then: a sink on the pipe of a test would write into
    whatever file or socket gets the number of that pipe.
    """
    root, hooks = logging.getLogger(), (sys.excepthook, threading.excepthook, sys.unraisablehook)
    descriptor, standard_error = logs._descriptor, sys.stderr
    yield
    assert (logs._descriptor, sys.stderr) == (descriptor, standard_error), "monkeypatch has not been undone yet"
    logs.shutdown()
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
    logging.captureWarnings(False)
    root.setLevel(logging.WARNING)
    logs.configure(LogSettings(level="error"))


@pytest.fixture
def stderr(quiet_again: None, pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipe]:
    """Standard error is a pipe, and the hooks are Python's own."""
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)
    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)
    monkeypatch.setattr(logs, "_descriptor", lambda: pipe.writing)
    yield pipe
    logs.shutdown()


def journal(monkeypatch: pytest.MonkeyPatch, pipe: Pipe) -> None:
    status = os.fstat(pipe.writing)
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")


def written(pipe: Pipe) -> list[str]:
    """All lines so far."""
    logs.shutdown()
    os.set_blocking(pipe.reading, False)
    with suppress(BlockingIOError):
        pipe.take()
    return pipe.taken.decode().splitlines()


log = structlog.get_logger()


def test_every_way_to_log_goes_the_same_way(stderr: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    journal(monkeypatch, stderr)
    # The handlers of a test run do not stand what a library may do.
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    logs.configure(LogSettings(level="debug"))
    log.debug("started", name=HOSTILE)
    for level in ("info", "warning", "error", "critical"):
        getattr(log, level)("told")
    with suppress(ValueError):
        raise_and_log()
    logging.getLogger("watchdog.observers").warning("%d of %s", 3, "a\nb")
    logging.getLogger("waitress").log(25, "between")
    logging.getLogger("odd").error("%d", "no number")
    logging.getLogger("odd").error("nothing is wrong", exc_info=True, stack_info=True)
    lines = written(stderr)
    assert [line for line in lines if not JOURNAL_LINE.fullmatch(line)] == []
    assert not [line for line in lines if "timestamp" in line]
    events = [line for line in lines if "  | " not in line]
    assert events[0].startswith("<7>level=debug event=started name=")
    assert [line.split()[0] for line in events[1:7]] == [
        "<6>level=info", "<4>level=warning", "<3>level=error", "<2>level=critical", "<3>level=error",
        "<3>level=error",
    ]  # fmt: skip
    assert events[7] == r'<4>level=warning event=log_message logger=watchdog.observers message="3 of a\nb"'
    assert events[8] == "<6>level=info event=log_message logger=waitress message=between"
    assert events[9] == """<3>level=error event=log_message logger=odd message="%d ('no number',)\""""
    assert events[10] == '<3>level=error event=log_message logger=odd message="nothing is wrong"'
    assert len(events) == 11
    assert "<3>  | ValueError: it broke" in lines
    assert "<3>  | Stack (most recent call last):" in lines


def raise_and_log() -> None:
    try:
        raise ValueError("it broke")
    except ValueError:
        log.exception("crashed")
        logging.getLogger("x").exception("crashed")
        raise


def test_json_by_option(stderr: Pipe) -> None:
    logs.configure(LogSettings(format="json"))
    log.info("started", name=HOSTILE)
    logging.getLogger("x").error("y")
    with suppress(ValueError):
        raise_and_log()
    started, message, *crashed = map(json.loads, written(stderr))
    assert started.pop("timestamp").endswith("Z")
    assert started == {"level": "info", "event": "started", "name": HOSTILE}
    assert (message["logger"], message["message"]) == ("x", "y")
    assert len(crashed) == 2
    assert all(line["exception"].endswith("ValueError: it broke") for line in crashed)


def test_the_level_holds_for_libraries_too_and_may_change(stderr: Pipe) -> None:
    logs.configure(LogSettings(level="warning"))
    log.info("unheard")
    logging.getLogger("x").info("unheard")
    logs.configure(LogSettings(level="info"))
    log.info("heard")
    logging.getLogger("x").info("heard")
    assert [re.sub("timestamp=[^ ]+ ", "", line) for line in written(stderr)] == [
        "level=info event=heard",
        "level=info event=log_message logger=x message=heard",
    ]


def test_uncaught_exceptions_are_logged(stderr: Pipe) -> None:
    logs.configure(LogSettings())
    thread = threading.Thread(target=fail, args=(KeyError,), name="scanner")
    thread.start()
    thread.join()
    leaving = threading.Thread(target=sys.exit)
    leaving.start()
    leaving.join()
    drop_what_fails()
    try:
        fail(OSError)
    except OSError as error:
        sys.excepthook(OSError, error, error.__traceback__)
    lines = [re.sub("timestamp=[^ ]+ ", "", line) for line in written(stderr)]
    in_thread, unraisable, in_main = (line for line in lines if "  | " not in line)
    assert in_thread == "level=error event=uncaught_exception thread=scanner"
    assert unraisable.startswith("level=error event=unraisable_exception source=")
    assert in_main == "level=critical event=uncaught_exception"
    assert [line for line in lines if line.endswith("Error") and "raise" not in line] == [
        "  | KeyError",
        "  | LookupError",
        "  | OSError",
    ]


class Failing:
    def __del__(self) -> None:
        raise LookupError


def drop_what_fails() -> None:
    Failing()


def test_hooks_that_somebody_else_has_set_are_left_alone(stderr: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    def other(_args: Any) -> None: ...

    monkeypatch.setattr(threading, "excepthook", other)
    monkeypatch.setattr(sys, "unraisablehook", other)
    logs.configure(LogSettings())
    assert threading.excepthook is other
    assert sys.unraisablehook is other


def test_repeats_are_suppressed_and_summed_up(stderr: Pipe) -> None:
    logs.configure(LogSettings())
    for number in range(limit.BURST + 7):
        log.warning("sentinel_ignored", name=str(number))
        logging.getLogger("waitress.queue").warning("Task queue depth is %d", number)
        log.info("job_claimed", job_id=1)
    lines = written(stderr)
    assert len([line for line in lines if "event=sentinel_ignored" in line]) == limit.BURST
    assert len([line for line in lines if "event=log_message" in line]) == limit.BURST
    assert len([line for line in lines if "event=job_claimed" in line]) == limit.BURST + 7
    told = [re.sub("timestamp=[^ ]+ ", "", line) for line in lines if "log_lines_suppressed" in line]
    assert told == [
        "level=warning event=log_lines_suppressed suppressed=sentinel_ignored seconds=60.0 count=7",
        "level=warning event=log_lines_suppressed suppressed=log_message logger=waitress.queue seconds=60.0 count=7",
    ]


def test_a_stalled_standard_error_stops_nobody_and_is_told(stderr: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    journal(monkeypatch, stderr)
    logs.configure(LogSettings())
    before = logs.dropped()
    stderr.fill()

    def tell() -> None:
        for number in range(sink.MAX_QUEUED + 100):
            log.info("job_claimed", job_id=number)

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    lost = logs.dropped() - before
    assert 99 <= lost <= 100
    stderr.read_until(f"<4>level=warning event=log_lines_dropped count={lost}\n".encode())


def test_commands_are_served_at_once(stderr: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    logs.shutdown()
    before = threading.active_count()
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    logs.configure_default()
    assert threading.active_count() == before
    assert hooks == (sys.excepthook, threading.excepthook, sys.unraisablehook)
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    log.info("unheard")
    for _ in range(limit.BURST + 1):
        log.warning("heard")
    assert stream.getvalue().count("event=heard\n") == limit.BURST + 1
    assert "unheard" not in stream.getvalue()


@pytest.mark.parametrize("gone", [None, "closed"])
def test_without_standard_error_nothing_is_written_anywhere(
    quiet_again: None, monkeypatch: pytest.MonkeyPatch, gone: str | None
) -> None:
    stream = io.StringIO() if gone else None
    if stream is not None:
        stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    before = logs.dropped()
    logs.configure(LogSettings())
    log.error("unheard")
    assert logs.dropped() == before + (1 if gone else 0)
    assert not logs._queued


def test_only_one_handler_serves_the_libraries(quiet_again: None) -> None:
    for _ in range(3):
        logs.configure_default()
    assert len([handler for handler in logging.getLogger().handlers if isinstance(handler, bridge.Bridge)]) == 1


# correlation


def test_keys_go_with_whoever_submits_and_end_with_their_block(stderr: Pipe) -> None:
    logs.configure(LogSettings())
    with ThreadPoolExecutor(1) as pool, logs.correlated(job_id=7, worker="w", claim_token=2):
        logs.correlate(sync_id="s")
        logs.submit(pool, log.info, "within").result()
        with logs.correlated(job_id=8):
            log.info("deeper")
        log.info("again")
        pool.submit(log.info, "without").result()
    log.info("afterwards")
    within, deeper, again, *rest = [line.partition("level=info ")[2] for line in written(stderr)]
    assert within.split() == ["event=within", "sync_id=s", "job_id=7", "worker=w", "claim_token=2"]
    assert deeper.split() == ["event=deeper", "sync_id=s", "job_id=8", "worker=w", "claim_token=2"]
    assert again == within.replace("within", "again")
    assert rest == ["event=without", "event=afterwards"]


def test_keys_are_known_where_work_is_done_ahead(stderr: Pipe) -> None:
    def parts() -> Iterator[int]:
        for number in range(3):
            log.info("prepared", number=number)
            yield number

    logs.configure(LogSettings())
    with logs.correlated(job_id=7):
        assert list(prefetch(parts(), lambda: log.info("closed"))) == [0, 1, 2]
    lines = written(stderr)
    assert len(lines) == 4
    assert [line for line in lines if "job_id=7" not in line] == []


# processes


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


def test_a_process_that_ends_has_written_everything(pipe: Pipe) -> None:
    lines = lines_of("for number in range(500): log.info('job_claimed', job_id=number)", pipe)
    assert lines == [f"<6>level=info event=job_claimed job_id={number}" for number in range(500)]


def test_a_process_that_an_exception_ends_says_so(pipe: Pipe) -> None:
    first, *rest = lines_of("raise SystemError('a\\nb')", pipe)
    assert first == "<2>level=critical event=uncaught_exception"
    assert rest[-2:] == ["<2>  | SystemError: a", "<2>  | b"]


def test_warnings_are_told_in_one_line(pipe: Pipe) -> None:
    (line,) = lines_of("import warnings; warnings.warn('this is\\nold')", pipe)
    start = '<4>level=warning event=log_message logger=py.warnings message="<string>:7: UserWarning: '
    assert line == start + r'this is\nold"'


def test_a_stalled_reader_holds_up_no_exit(pipe: Pipe) -> None:
    pipe.fill()
    script = "for number in range(5000): log.info('job_claimed', job_id=number)\nassert logs.dropped() > 2000"
    with python(PRELUDE + script, pipe.writing) as process:
        assert process.wait(PATIENCE) == 0


def test_children_and_forks_are_unharmed(pipe: Pipe) -> None:
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


def test_the_pipe_of_these_tests_is_really_full(pipe: Pipe) -> None:
    assert pipe.fill() == fcntl.fcntl(pipe.writing, fcntl.F_GETPIPE_SZ)
