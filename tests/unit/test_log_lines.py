"""Log lines: their layout, their bounds, and values that try to forge lines."""

import json
import logging
import os
import re
from pathlib import Path
from typing import Any

import pytest

from ingestd.logs.lines import MAX_BLOCK, MAX_LINE, LineFormatter, is_journal

HOSTILE = 'dawn\nlevel=critical event=forged\r\x1b[2J\x85\x9b31m\u2028\u202e"\\ \udc80\x7f'
ESCAPED = r'"dawn\nlevel=critical event=forged\r\x1b[2J\x85\x9b31m\u2028\u202e\"\\ \udc80\x7f"'
LEVELS = [("debug", 7), ("info", 6), ("warning", 4), ("error", 3), ("critical", 2)]


def render(formatter: LineFormatter, level: str = "info", **event: Any) -> str:
    number = logging.getLevelNamesMapping()[level.upper()]
    fields = {"levelno": number, "levelname": level.upper(), "_logger": None, "_name": level}
    return formatter.format(logging.makeLogRecord({**fields, "msg": {"level": level, **event}}))


def text(**event: Any) -> str:
    return render(LineFormatter(as_json=False, for_journal=False), **event)


def for_journal(**event: Any) -> str:
    return render(LineFormatter(as_json=False, for_journal=True), **event)


def as_json(**event: Any) -> dict[str, Any]:
    line = render(LineFormatter(as_json=True, for_journal=False), **event)
    assert line.isascii()
    assert line.isprintable()
    parsed: dict[str, Any] = json.loads(line)
    return parsed


def test_line_is_logfmt_with_time_level_and_event_first() -> None:
    values = {"root": Path("/mnt/a b"), "none": None, "yes": True, "jobs": [1, 2], "empty": "", "eq": "a=b", "n": 1.5}
    assert re.fullmatch(
        r'timestamp=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z level=info event=started root="/mnt/a b" none= yes=true'
        r' jobs="\[1, 2\]" empty= eq="a=b" n=1\.5',
        text(**values, event="started"),
    )


def test_keys_of_correlation_come_before_other_keys() -> None:
    line = for_journal(event="done", count=1, claim_token=2, worker="w", job_id=3, sync_id="s")
    assert line == "<6>level=info event=done sync_id=s job_id=3 worker=w claim_token=2 count=1"


def test_hostile_value_stays_within_its_line_and_field() -> None:
    line = text(event="sentinel_ignored", name=HOSTILE)
    assert line.isprintable()
    assert line.endswith(f" name={ESCAPED}")
    assert text(event="listed", names=[HOSTILE]).isprintable()


def test_hostile_value_stays_one_value_in_json() -> None:
    assert as_json(event="sentinel_ignored", name=HOSTILE)["name"] == HOSTILE
    assert as_json(event="listed", names=[HOSTILE])["names"] == [HOSTILE]


def test_json_keeps_types_and_shows_other_objects_as_text() -> None:
    values = {"a": 1, "b": None, "c": True, "d": [1, {"e": "f"}], "g": 0.5}
    line = as_json(**values, event="started", path=Path("/x"), paths=[Path("/y")])
    assert {key: line[key] for key in values} == values
    assert (line["path"], line["paths"]) == ("/x", ["/y"])


class Unspeakable:
    def __str__(self) -> str:
        raise RuntimeError


def test_object_that_has_no_text_does_not_fail_the_caller() -> None:
    assert "event=log_message" in text(event="started", what=Unspeakable())
    assert "'event': 'started'" in as_json(event="started", what=[Unspeakable()])["message"]


def raised(message: str) -> str:
    return f'Traceback (most recent call last):\n  File "x.py"\nValueError: {message}'


def test_each_line_of_a_traceback_has_the_priority_and_a_margin() -> None:
    first, *rest = for_journal(level="error", event="crashed", exception=raised(HOSTILE)).split("\n")
    assert first == "<3>level=error event=crashed"
    assert rest[:3] == ["<3>  | Traceback (most recent call last):", '<3>  |   File "x.py"', "<3>  | ValueError: dawn"]
    assert rest[3].startswith(r"<3>  | level=critical event=forged\r\x1b[2J\x85\x9b31m\u2028\u202e")
    assert len(rest) == 4


def test_traceback_is_one_value_in_json() -> None:
    assert as_json(event="crashed", exception=raised("x"))["exception"] == raised("x")


@pytest.mark.parametrize(("level", "priority"), LEVELS)
def test_line_for_the_journal_has_a_priority_and_no_time(level: str, priority: int) -> None:
    assert for_journal(level=level, event="started") == f"<{priority}>level={level} event=started"
    json_line = render(LineFormatter(as_json=True, for_journal=True), level=level, event="started")
    assert json_line.startswith(f"<{priority}>{{")
    assert json.loads(json_line[3:]) == {"level": level, "event": "started"}


def test_no_line_is_so_long_that_the_journal_would_split_it() -> None:
    long = {f"key{number}": HOSTILE * 1000 for number in range(60)}
    for is_json in (False, True):
        shown = render(
            LineFormatter(as_json=is_json, for_journal=True), event="started", **long, exception="\U000e0001" * 2000
        )
        assert max(len(line.encode()) for line in shown.split("\n")) <= 4 * MAX_LINE + 10
    assert as_json(event="started", job_id=7, **long)["job_id"] == 7
    assert text(event="started", key="x" * 2100).endswith("key=" + "x" * 2000 + "…")


def test_long_traceback_keeps_its_end() -> None:
    many = text(event="crashed", exception="x\n" * 20_000 + "the end")
    assert many.endswith("  | the end")
    assert many.count("\n") <= MAX_BLOCK / 2 + 10


def test_journal_is_recognised_by_device_and_inode(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as output:
        fd, status = output.fileno(), os.fstat(output.fileno())
        for stream, expected in (
            (f"{status.st_dev}:{status.st_ino}", True),
            (f"{status.st_dev}:{status.st_ino + 1}", False),
            (f"{status.st_dev + 1}:{status.st_ino}", False),
            ("nonsense", False),
            ("", False),
        ):
            monkeypatch.setenv("JOURNAL_STREAM", stream)
            assert is_journal(fd) is expected
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        assert not is_journal(-1)
    assert not is_journal(fd), "it is closed"
    monkeypatch.delenv("JOURNAL_STREAM")
    assert not is_journal(0)
