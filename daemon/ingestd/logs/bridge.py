"""What is not told through structlog goes the same way: libraries' messages, warnings, uncaught exceptions."""

import logging
import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING

import structlog

from ingestd.logs.lines import words

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

log = structlog.get_logger()


class Bridge(logging.Handler):
    """Takes the records of Python's own logging."""

    def emit(self, record: logging.LogRecord) -> None:
        # structlog knows the five levels only; a level between two counts as the lower one.
        level = min(max(record.levelno // 10 * 10, logging.DEBUG), logging.CRITICAL)
        fields = {"logger": record.name, "message": _message(record), "_template": words(record.msg)}
        if record.stack_info:
            fields["stack"] = record.stack_info
        log.log(level, "log_message", exc_info=record.exc_info, **fields)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage().rstrip("\n")
    except Exception:  # noqa: BLE001  values that do not fit the template, and lose only their place in it
        return f"{words(record.msg)} {words(record.args)}"


def take_library_messages(level: int) -> None:
    """Makes the root logger hand everything from `level` on to structlog."""
    root = logging.getLogger()
    if not any(isinstance(handler, Bridge) for handler in root.handlers):
        root.addHandler(Bridge())
    root.setLevel(level)


def take_warnings_and_uncaught() -> None:
    """A hook that somebody else has set for threads or destructors is left to them, as that of a test run."""
    logging.captureWarnings(False)
    logging.captureWarnings(True)
    sys.excepthook = _on_uncaught
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = _on_uncaught_in_thread
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = _on_unraisable


def _on_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    log.critical("uncaught_exception", exc_info=(kind, error, trace))


def _on_uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    # As Python does: a thread may end itself in this way.
    if args.exc_type is not SystemExit and args.exc_value is not None:
        name = args.thread.name if args.thread is not None else None
        log.error("uncaught_exception", thread=name, exc_info=(args.exc_type, args.exc_value, args.exc_traceback))


def _on_unraisable(args: "UnraisableHookArgs") -> None:
    error = (args.exc_type, args.exc_value, args.exc_traceback)
    log.error("unraisable_exception", source=words(args.object), message=args.err_msg, exc_info=error)
