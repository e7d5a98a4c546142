"""Settings and connections of one command, created on first use: `bundle check` needs no database."""

import getpass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ingestd import logs
from ingestd.cli.output import shown
from ingestd.config import LogSettings, Settings, load
from ingestd.model import as_recorded

if TYPE_CHECKING:
    from ingestd.pipeline.context import Context


def as_text(value: str) -> str:
    """Validates a text parameter: a shell can pass bytes that are not UTF-8, which the database cannot store."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise click.BadParameter("not valid UTF-8") from None
    return value


def as_sync_id(value: str) -> str:
    """Validates a sync_id parameter: ASCII only, in any case. Whether the batch exists is checked later."""
    if not value.isascii():
        raise click.BadParameter(f"{shown(value)} is not a sync_id")
    return as_recorded(value)


class Session:
    """Settings and connections of one command."""

    def __init__(self, config: Path | None) -> None:
        self._config = config
        self._made: list[Context] = []

    @cached_property
    def settings(self) -> Settings:
        settings = load(self._config)
        logs.configure(quiet(settings.log), attended=True)
        return settings

    @cached_property
    def context(self) -> "Context":
        from ingestd.pipeline.context import make_context

        context = make_context(self.settings)
        self._made.append(context)
        return context

    @property
    def requested_by(self) -> str:
        """The name that the ledger records for this command."""
        try:
            return f"cli:{getpass.getuser()}"
        except (KeyError, OSError):
            return "cli"

    def close(self) -> None:
        for context in self._made:
            context.mount.close()
            context.db.close()


def quiet(settings: LogSettings) -> LogSettings:
    """Log settings for a command at a terminal: only warnings and errors, unless configured otherwise."""
    return settings.model_copy(update={"level": "warning"}) if settings.level == "info" else settings
