"""Logging: structlog and Python's own logging, as one stream of logfmt or JSON lines on standard error.

The daemon queues its lines, so that a stalled reader of standard error blocks no thread; a command writes at once.
Lines are not rate-limited here: the journal does that (RateLimitBurst=), and reports how many lines it dropped.
"""

import logging
import sys
import threading

import structlog
from structlog.stdlib import ProcessorFormatter

from ingestd.config import LogSettings
from ingestd.logs.handler import BoundedQueueHandler
from ingestd.logs.lines import LineFormatter, is_journal

log = structlog.get_logger()


def configure(settings: LogSettings, *, attended: bool = False) -> None:
    """Sets up logging for the whole process. `attended`: for a command, which writes at once and installs no hooks."""
    fd = _stderr_fd()
    handler = logging.StreamHandler() if attended or fd < 0 else BoundedQueueHandler(fd)
    handler.setFormatter(LineFormatter(as_json=settings.format == "json", for_journal=is_journal(fd)))
    _route_all_to(handler, logging.getLevelNamesMapping()[settings.level.upper()])
    if not attended:
        _install_hooks()


def dropped() -> int:
    """Lines of this process that were lost, because standard error was not read in time or could not be written."""
    return sum(handler.dropped for handler in logging.getLogger().handlers if isinstance(handler, BoundedQueueHandler))


def drain(seconds: float) -> bool:
    """Whether all queued lines were written in time. Further lines are written at once."""
    return all(h.drain(seconds) for h in logging.getLogger().handlers if isinstance(h, BoundedQueueHandler))


def _stderr_fd() -> int:
    """The descriptor of standard error; -1 if it is closed (another file may have its number) or not a file."""
    try:
        return sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):
        return -1


def _route_all_to(handler: logging.Handler, level: int) -> None:
    """Routes structlog and all libraries to `handler`, which replaces the former handler of ingestd."""
    root = logging.getLogger()
    for former in [known for known in root.handlers if isinstance(known.formatter, LineFormatter)]:
        root.removeHandler(former)
        former.close()
    root.addHandler(handler)
    root.setLevel(level)
    structlog.configure(
        processors=[structlog.processors.add_log_level, ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: logging.getLogger("ingestd"),
        cache_logger_on_first_use=False,  # a cached one would keep the configuration of its first use
    )


def _install_hooks() -> None:
    """Logs warnings and uncaught exceptions. Keeps the hooks of another program, such as a test runner."""
    logging.captureWarnings(True)
    sys.excepthook = lambda *error: log.critical("uncaught_exception", exc_info=error)
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = _log_uncaught_in_thread
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = lambda args: log.error(
            "unraisable_exception", source=args.object, message=args.err_msg, exc_info=args.exc_value
        )


def _log_uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_type is not SystemExit:  # it ends a thread silently, as with Python's own hook
        log.error("uncaught_exception", thread=args.thread and args.thread.name, exc_info=args[:3])
