"""Commands as an operator or a script calls them, in this process: what they print where, and what they end with."""

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


class Result(NamedTuple):
    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)

    @property
    def table(self) -> list[dict[str, str]]:
        """The rows of the table that ends the output, by column."""
        head, *lines = self.stdout.splitlines()
        starts = [found.start() for found in re.finditer(r"\S+", head)]
        ends = [*starts[1:], None]
        return [
            {head[a:b].strip(): line[a:b].strip() for a, b in zip(starts, ends, strict=True)} for line in lines
        ]  # fmt: skip


Run = Callable[..., Result]


@contextmanager
def commands(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Calls `ingestd` through its entry point, in this process. Logging is as a command sets it up, and put back."""
    configure = structlog.configure
    before = structlog.get_config()

    def uncached(**settings: Any) -> None:
        configure(**{**settings, "cache_logger_on_first_use": False})

    def call(*arguments: str | Path) -> Result:
        monkeypatch.setattr(sys, "argv", ["ingestd", *map(str, arguments)])
        with monkeypatch.context() as patch:
            patch.setattr(structlog, "configure", uncached)
            with pytest.raises(SystemExit) as ended:
                cli.main()
        configure(**before)
        code = ended.value.code
        assert isinstance(code, int)
        return Result(code, *capsys.readouterr())

    yield call
    gc.collect()
