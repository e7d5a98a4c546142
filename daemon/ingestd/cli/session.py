"""What one command works with, made when it is first needed: `bundle check` needs no database, `--help` nothing."""

import getpass
from functools import cached_property
from pathlib import Path

import click

from ingestd import logs
from ingestd.app import make_context
from ingestd.cli.output import shown
from ingestd.config import LogSettings, Settings, load
from ingestd.pipeline.context import Context


def as_text(value: str) -> str:
    """A parameter that the database can hold: bytes that are no text reach us from a shell, too."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise click.BadParameter("this is no UTF-8 text") from None
    return value


def as_sync_id(value: str) -> str:
    """The name of a batch: whether there is one of that name, the database knows; it compares ASCII only."""
    if not value.isascii():
        raise click.BadParameter(f"{shown(value)} is no sync_id")
    return value


class Session:
    """The settings and the means of one command."""

    def __init__(self, config: Path | None) -> None:
        self._config = config
        self._made: list[Context] = []

    @cached_property
    def settings(self) -> Settings:
        settings = load(self._config)
        logs.configure(quiet(settings.log), attended=True)
        return settings

    @cached_property
    def context(self) -> Context:
        context = make_context(self.settings)
        self._made.append(context)
        return context

    @property
    def requested_by(self) -> str:
        """Whom the ledger names for what this command asks."""
        try:
            return f"cli:{getpass.getuser()}"
        except (KeyError, OSError):
            return "cli"

    def close(self) -> None:
        for context in self._made:
            context.mount.close()
            context.db.close()


def quiet(settings: LogSettings) -> LogSettings:
    """For a command that somebody waits for: what the daemon tells day by day is no news to them."""
    return settings.model_copy(update={"level": "warning"}) if settings.level == "info" else settings
