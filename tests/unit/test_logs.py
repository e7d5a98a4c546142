"""Logging as a whole: every source of messages, uncaught exceptions, levels and correlation."""

import io
import json
import logging
import os
import re
import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import suppress
from contextvars import copy_context
from typing import Any

import pytest
import structlog
from structlog.contextvars import bind_contextvars, bound_contextvars

from ingestd import logs
from ingestd.config import LogSettings
from ingestd.logs import handler
from ingestd.logs.handler import BoundedQueueHandler
from ingestd.logs.lines import LineFormatter
from ingestd.pipeline.prefetch import prefetch
from support.pipe import Pipe, open_pipe
from support.wait import PATIENCE

HOSTILE = 'dawn\nlevel=critical event=forged\r\x1b[2J\x85\u2028\u202e"\\ \udc80\x7f'
JOURNAL_LINE = re.compile(r"<[2-7]>\S.*|<[2-7]>  \| .*")


def fail(kind: type[Exception]) -> None:
    raise kind


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    with open_pipe() as made:
        yield made


@pytest.fixture
def quiet_again() -> Iterator[None]:
    """Restores everything that `configure` changes.

    Comes before `monkeypatch`, whose changes must be undone by then: a handler on the pipe of a test would write into
    the file or socket that gets the number of that pipe.
    """
    root, hooks = logging.getLogger(), (sys.excepthook, threading.excepthook, sys.unraisablehook)
    stderr_fd, standard_error = logs._stderr_fd, sys.stderr
    yield
    assert (logs._stderr_fd, sys.stderr) == (stderr_fd, standard_error), "monkeypatch has not been undone yet"
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
    logging.captureWarnings(False)
    root.setLevel(logging.WARNING)
    logs.configure(LogSettings(level="error"))


@pytest.fixture
def stderr(quiet_again: None, pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipe]:
    """Standard error is a pipe, and the hooks are Python's own."""
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)
    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)
    monkeypatch.setattr(logs, "_stderr_fd", lambda: pipe.writing)
    yield pipe
    flush()


def journal(monkeypatch: pytest.MonkeyPatch, pipe: Pipe) -> None:
    status = os.fstat(pipe.writing)
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")


def flush() -> None:
    for known in logging.getLogger().handlers:
        if isinstance(known, BoundedQueueHandler):
            known.close()


def written(pipe: Pipe) -> list[str]:
    """All lines so far."""
    flush()
    os.set_blocking(pipe.reading, False)
    with suppress(BlockingIOError):
        pipe.take()
    return pipe.taken.decode().splitlines()


log = structlog.get_logger()


def test_every_source_of_messages_goes_to_one_stream(stderr: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    journal(monkeypatch, stderr)
    # The handlers of a test run fail for a record whose values do not fit its template.
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    logs.configure(LogSettings(level="debug"))
    log.debug("started", name=HOSTILE)
    for level in ("info", "warning", "error", "critical"):
        getattr(log, level)("noticed")
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
    assert events[9] == """<3>level=error event=log_message logger=odd message="('%d', ('no number',))\""""
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


def test_every_line_is_json_on_request(stderr: Pipe) -> None:
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


def test_level_applies_to_libraries_and_can_change(stderr: Pipe) -> None:
    logs.configure(LogSettings(level="warning"))
    log.info("hidden")
    logging.getLogger("x").info("hidden")
    logs.configure(LogSettings(level="info"))
    log.info("shown")
    logging.getLogger("x").info("shown")
    assert [re.sub("timestamp=[^ ]+ ", "", line) for line in written(stderr)] == [
        "level=info event=shown",
        "level=info event=log_message logger=x message=shown",
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


def test_hooks_of_another_program_are_kept(stderr: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    def other(_args: Any) -> None: ...

    monkeypatch.setattr(threading, "excepthook", other)
    monkeypatch.setattr(sys, "unraisablehook", other)
    logs.configure(LogSettings())
    assert threading.excepthook is other
    assert sys.unraisablehook is other


def test_stalled_standard_error_blocks_no_thread(stderr: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    journal(monkeypatch, stderr)
    logs.configure(LogSettings())
    before = logs.dropped()
    stderr.fill()

    def log_much() -> None:
        for number in range(handler.MAX_QUEUED + 100):
            log.info("job_claimed", job_id=number)

    thread = threading.Thread(target=log_much, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    lost = logs.dropped() - before
    assert 99 <= lost <= 100
    stderr.read_until(f"<4>level=warning event=log_lines_dropped count={lost}\n".encode())


def test_command_logs_at_once_without_a_thread_or_hooks(quiet_again: None, monkeypatch: pytest.MonkeyPatch) -> None:
    flush()
    before = threading.active_count()
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    logs.configure(LogSettings(level="warning"), attended=True)
    assert threading.active_count() == before
    assert hooks == (sys.excepthook, threading.excepthook, sys.unraisablehook)
    log.info("hidden")
    log.warning("shown")
    assert stream.getvalue().count("event=shown\n") == 1
    assert "hidden" not in stream.getvalue()


def test_logging_without_standard_error_does_not_fail(quiet_again: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    before = threading.active_count()
    logs.configure(LogSettings())
    log.error("hidden")
    assert threading.active_count() <= before
    assert logs.dropped() == 0


def test_configuring_again_replaces_the_handler(quiet_again: None) -> None:
    for _ in range(3):
        logs.configure(LogSettings(level="warning"), attended=True)
    ours = [known for known in logging.getLogger().handlers if isinstance(known.formatter, LineFormatter)]
    assert len(ours) == 1


# correlation


def test_keys_of_a_context_end_with_it(stderr: Pipe) -> None:
    def work() -> None:
        bind_contextvars(job_id=7, worker="w", claim_token=2)
        bind_contextvars(sync_id="s")
        log.info("within")
        logging.getLogger("waitress").info("library")

    logs.configure(LogSettings())
    copy_context().run(work)
    log.info("afterwards")
    within, library, afterwards = [line.partition("level=info ")[2] for line in written(stderr)]
    assert within == "event=within sync_id=s job_id=7 worker=w claim_token=2"
    assert library == "event=log_message sync_id=s job_id=7 worker=w claim_token=2 logger=waitress message=library"
    assert afterwards == "event=afterwards"


def test_prefetched_work_logs_the_keys_of_its_job(stderr: Pipe) -> None:
    def parts() -> Generator[int, None, None]:
        for number in range(3):
            log.info("prepared", number=number)
            yield number

    logs.configure(LogSettings())
    with bound_contextvars(job_id=7):
        assert list(prefetch(parts())) == [0, 1, 2]
    lines = written(stderr)
    assert len(lines) == 3
    assert [line for line in lines if "job_id=7" not in line] == []
