"""What a line looks like: logfmt or JSON, with a priority for the journal; no value can begin a line of its own."""

import json
import math
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
FIRST = ("timestamp", "level", "event", "sync_id", "job_id", "worker", "claim_token")
BLOCKS = ("exception", "stack")
BLOCK_MARGIN = "  | "
MAX_VALUE, MAX_BLOCK, FEW = 2000, 12_000, 200
# The journal cuts longer lines at 48 KiB, and the rest would come without its priority.
MAX_LINE = 40_000
NEEDS_QUOTES = re.compile(r'[ "=\\]|^$')
NOT_IN_KEYS = re.compile(r"[^\w.\-]", re.ASCII)


def is_journal(fd: int | None) -> bool:
    """Whether the journal reads `fd`: JOURNAL_STREAM alone may be inherited by somebody whose output goes elsewhere."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        status = None if fd is None else os.fstat(fd)
    except OSError:
        status = None
    return status is not None and (device, inode) == (str(status.st_dev), str(status.st_ino))


class Layout:
    """Makes an event into bytes that end with a line break. As a structlog processor it is the last one."""

    def __init__(self, *, as_json: bool, with_priority: bool) -> None:
        self._as_json, self._with_priority = as_json, with_priority

    def __call__(self, _logger: Any, _name: str, event_dict: Mapping[str, Any]) -> bytes:
        return self.render(event_dict)

    def render(self, event: Mapping[str, Any]) -> bytes:
        """Keys that begin with an underscore are for the processors before this one."""
        fields = {"timestamp": _now()} if not self._with_priority else {}
        fields |= {key: event[key] for key in FIRST if key in event}
        fields |= {key: value for key, value in event.items() if key not in FIRST and key[:1] != "_"}
        lines = [_json(fields)] if self._as_json else _text(fields)
        prefix = f"<{PRIORITIES.get(str(event.get('level')), 6)}>" if self._with_priority else ""
        return "".join(f"{prefix}{line}\n" for line in lines).encode()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


# logfmt


def _text(fields: Mapping[str, Any]) -> list[str]:
    """The line, and below it what is long by nature; its margin says that it is no event."""
    pairs = [f"{NOT_IN_KEYS.sub('_', key)}={_value(value)}" for key, value in fields.items() if key not in BLOCKS]
    blocks = [line for key in BLOCKS if fields.get(key) for line in _block(words(fields[key])).split("\n")]
    return [_cut(" ".join(pairs), MAX_LINE // 4), *(BLOCK_MARGIN + _escaped(_cut(line, FEW * 5)) for line in blocks)]


def _value(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple | dict):
        value = _dumped(value)
    text = _cut(words(value), MAX_VALUE)
    if text.isprintable() and not NEEDS_QUOTES.search(text):
        return text
    return '"' + _escaped(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def _escaped(text: str) -> str:
    """Without control characters, line breaks of every kind, and what reverses the direction of writing."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


# JSON


def _json(fields: Mapping[str, Any]) -> str:
    line = _json_cut(fields, MAX_VALUE)
    return line if len(line) <= MAX_LINE else _json_cut(fields, FEW)


def _json_cut(fields: Mapping[str, Any], limit: int) -> str:
    def fitted(key: str, value: Any) -> Any:
        if key in BLOCKS and limit > FEW:
            return _block(words(value))
        if isinstance(value, list | tuple | dict):
            dumped = _dumped(value)
            return json.loads(dumped) if len(dumped) <= limit else _cut(dumped, limit)
        if value is None or isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
            return value
        return _cut(words(value), limit)

    return _dumped({key: fitted(key, value) for key, value in fields.items()})


def _dumped(value: Any) -> str:
    """JSON in ASCII, because a reader may take more than \\n for the end of a line; what JSON cannot hold is told."""
    try:
        return json.dumps(value, default=words, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return json.dumps(words(value))


# texts


def words(value: Any) -> str:
    """A value as text, even if it is an object that fails to tell what it is."""
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001  whoever logs something must not fail for it
        return f"<{type(value).__name__} that cannot be shown: {type(error).__name__}>"


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text) - limit} more)"


def _block(text: str) -> str:
    """A traceback: what went wrong is said at its end."""
    return text if len(text) <= MAX_BLOCK else f"({len(text) - MAX_BLOCK} more) …{text[-MAX_BLOCK:]}"
