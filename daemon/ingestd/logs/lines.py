"""Log lines: logfmt or JSON, with a priority for the journal. No value can forge a line or a field."""

import json
import logging
import os
import reprlib
from typing import Any

from structlog.contextvars import merge_contextvars
from structlog.processors import JSONRenderer, LogfmtRenderer, TimeStamper, format_exc_info
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor

from ingestd.escaping import escaped

PRIORITIES = {10: 7, 20: 6, 30: 4, 40: 3, 50: 2}  # Python's levels, the journal's priorities
FIRST = ("timestamp", "level", "event", "sync_id", "job_id", "worker", "claim_token")
BLOCKS, BLOCK_MARGIN = ("exception", "stack_info"), "  | "
# The journal splits lines at 48 KiB, and the second part would have no priority. UTF-8 needs up to 4 bytes.
MAX_VALUE, MAX_BLOCK, MAX_LINE = 2000, 12_000, 10_000

_logfmt = LogfmtRenderer(key_order=FIRST, drop_missing=True, bool_as_flag=False)
_json = JSONRenderer(default=str, skipkeys=True)  # ASCII: some readers end a line at other characters than \n


def is_journal(fd: int) -> bool:
    """Whether the journal reads `fd`. JOURNAL_STREAM alone may be inherited by a process that writes elsewhere."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        status = os.fstat(fd)
    except OSError:
        return False
    return (device, inode) == (str(status.st_dev), str(status.st_ino))


class LineFormatter(ProcessorFormatter):
    """Formats events of structlog and records of Python's logging; several lines for an event with a traceback."""

    def __init__(self, *, as_json: bool, for_journal: bool) -> None:
        self._for_journal = for_journal
        timestamp: list[Processor] = [] if for_journal else [TimeStamper(fmt="iso", utc=True)]
        shared: list[Processor] = [self.remove_processors_meta, merge_contextvars, *timestamp, format_exc_info, _cut]
        super().__init__(processors=[*shared, _to_json if as_json else _to_text], foreign_pre_chain=[_from_library])

    def format(self, record: logging.LogRecord) -> str:
        try:
            text = super().format(record)
        except Exception:  # noqa: BLE001  a template that does not fit its values, an object without text
            fields = {"name": record.name, "levelno": record.levelno, "levelname": record.levelname}
            text = super().format(logging.makeLogRecord({**fields, "msg": reprlib.repr((record.msg, record.args))}))
        prefix = f"<{PRIORITIES[_level(record)]}>" if self._for_journal else ""
        return "\n".join(prefix + line for line in text.split("\n"))


def _from_library(_logger: Any, _name: str, event: EventDict) -> EventDict:
    record: logging.LogRecord = event["_record"]
    event.update(level=logging.getLevelName(_level(record)).lower(), logger=record.name)
    return {**event, "event": "log_message", "message": event["event"].rstrip()}


def _level(record: logging.LogRecord) -> int:
    """One of the five levels; a level between two counts as the lower one."""
    return min(max(record.levelno // 10 * 10, logging.DEBUG), logging.CRITICAL)


def _cut(_logger: Any, _name: str, event: EventDict) -> EventDict:
    """Bounds values. The end of a traceback is kept, because it names the error."""
    for key, value in event.items():
        if key in BLOCKS:
            event[key] = value if len(value) <= MAX_BLOCK else "… " + value[-MAX_BLOCK:]
        elif not isinstance(value, int | float | list | tuple | dict | None):
            event[key] = text if len(text := str(value)) <= MAX_VALUE else text[:MAX_VALUE] + "…"
    return event


def _to_text(logger: Any, name: str, event: EventDict) -> str:
    """A line, and below it the traceback with a margin, so that its lines are not taken for events."""
    blocks = [line for key in BLOCKS if key in event for line in event.pop(key).split("\n")]
    lines = [_logfmt(logger, name, event), *(BLOCK_MARGIN + line for line in blocks)]
    return "\n".join(escaped(line)[:MAX_LINE] for line in lines)


def _to_json(logger: Any, name: str, event: EventDict) -> str:
    line = str(_json(logger, name, event))
    short = {**{key: event[key] for key in FIRST if key in event}, "truncated": line[:MAX_LINE]}
    return line if len(line) <= 4 * MAX_LINE else json.dumps(short)
