"""Logging: one line an event, as key=value or JSON, on standard error.

`configure` serves the daemon: nobody watches it, and whoever reads its log may stall, so that threads only queue their
lines. For a command that somebody waits for (`attended`) lines are written at once.
"""

import atexit
import logging
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from typing import Any, ParamSpec, TypeVar

import structlog
from structlog.contextvars import bind_contextvars, clear_contextvars, get_contextvars

from ingestd.config import LogSettings
from ingestd.logs import bridge
from ingestd.logs.limit import Limiter
from ingestd.logs.lines import Layout, is_journal
from ingestd.logs.sink import DirectSink, Drops, Outlet, QueuedSink

P = ParamSpec("P")
T = TypeVar("T")

FLUSH_SECONDS = 1.0

_drops = Drops()
_queued: list[QueuedSink] = []


def configure(settings: LogSettings, *, attended: bool = False) -> None:
    """Sets up logging for the whole process: structlog, Python's own logging, warnings and uncaught exceptions."""
    shutdown()
    fd = _descriptor()
    layout = Layout(as_json=settings.format == "json", with_priority=is_journal(fd))
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    if attended or fd is None:
        _configure_structlog(level, [], layout, Outlet(DirectSink(_drops)))
    else:
        limiter = Limiter()
        _configure_structlog(level, [limiter], layout, Outlet(_queue_to(fd, layout, limiter)))
    bridge.take_library_messages(level)
    if not attended:
        bridge.take_warnings_and_uncaught()


def configure_default() -> None:
    """For commands, before the configuration is read: only what is worth a warning."""
    configure(LogSettings(level="warning"), attended=True)


def dropped() -> int:
    """How many events were lost because nobody read them in time, since the process began."""
    return _drops.total


def shutdown() -> None:
    """Writes what is queued, for a second at most. At exit this is called by itself; it may be called twice."""
    while _queued:
        _queued.pop().close(FLUSH_SECONDS)


# correlation


@contextmanager
def correlated(**keys: Any) -> Iterator[None]:
    """Every line logged within has these keys, and those that `correlate` adds within; none of them afterwards."""
    before = get_contextvars()
    correlate(**keys)
    try:
        yield
    finally:
        clear_contextvars()
        bind_contextvars(**before)


def correlate(**keys: Any) -> None:
    """Adds keys to every later line of the present `correlated`."""
    bind_contextvars(**keys)


def submit(pool: Executor, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
    """As pool.submit, with the keys of whoever submits: by itself a context does not cross into a pool's thread."""
    return pool.submit(copy_context().run, partial(work, *args, **kwargs))


# how it is put together


def _descriptor() -> int | None:
    """Where standard error really goes; None when it is closed (its number may be another file's), or no file."""
    try:
        return sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):
        return None


def _queue_to(fd: int, layout: Layout, limiter: Limiter) -> QueuedSink:
    def format_drops(count: int) -> bytes:
        return layout.render({"level": "warning", "event": "log_lines_dropped", "count": count})

    def due(everything: bool) -> list[bytes]:
        return [layout.render(summary) for summary in limiter.summaries(everything=everything)]

    sink = QueuedSink(fd, _drops, format_drops, due)
    _queued.append(sink)
    atexit.unregister(shutdown)
    atexit.register(shutdown)
    return sink


def _configure_structlog(level: int, limits: list[structlog.typing.Processor], layout: Layout, outlet: Outlet) -> None:
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            *limits,
            structlog.processors.format_exc_info,
            layout,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: outlet,
        # Modules keep their loggers from the start; a cached one would stay as it was when it was first used.
        cache_logger_on_first_use=False,
    )
