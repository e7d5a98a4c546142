"""Runs `ingestd` commands in this process and captures their output and exit status."""

import gc
import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import structlog

from ingestd import cli
from ingestd.cli.session import Session
from ingestd.mount import access
from support.kept_helpers import KeepingPool

RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")
UNKNOWN = "00000000-0000-4000-8000-000000000000"
BY = Session(None).requested_by
"""The name that commands record as `requested_by`."""


class Result(NamedTuple):
    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)

    @property
    def table(self) -> list[dict[str, str]]:
        """The rows of the table at the end of the output, by column."""
        head, *lines = self.stdout.splitlines()
        starts = [found.start() for found in re.finditer(r"\S+", head)]
        ends = [*starts[1:], None]
        return [
            {head[a:b].strip(): line[a:b].strip() for a, b in zip(starts, ends, strict=True)} for line in lines
        ]  # fmt: skip


Run = Callable[..., Result]


def properties(result: Result) -> dict[str, str]:
    """The "name  value" lines of an output."""
    return {line.split(None, 1)[0]: line.split(None, 1)[1] for line in result.stdout.splitlines() if "  " in line}


@contextmanager
def commands(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Yields a function that calls the entry point of `ingestd`; restores the logging configuration after each call."""
    configure = structlog.configure
    before = structlog.get_config()

    def uncached(**settings: Any) -> None:
        configure(**{**settings, "cache_logger_on_first_use": False})

    def call(*arguments: str | Path) -> Result:
        monkeypatch.setattr(sys, "argv", ["ingestd", *map(str, arguments)])
        with monkeypatch.context() as patch:
            patch.setattr(structlog, "configure", uncached)
            patch.setattr(access, "HelperPool", KeepingPool)
            with pytest.raises(SystemExit) as ended:
                cli.main()
        configure(**before)
        code = ended.value.code
        assert isinstance(code, int)
        return Result(code, *capsys.readouterr())

    yield call
    gc.collect()
