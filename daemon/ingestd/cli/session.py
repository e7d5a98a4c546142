"""What one command works with, made when it is first needed: `bundle check` needs no database, `--help` nothing."""

import getpass
from functools import cached_property
from pathlib import Path

from ingestd import logs
from ingestd.app import make_context
from ingestd.config import Settings, load
from ingestd.pipeline.context import Context


class Session:
    """The settings and the means of one command."""

    def __init__(self, config: Path | None) -> None:
        self._config = config
        self._made: list[Context] = []

    @cached_property
    def settings(self) -> Settings:
        settings = load(self._config)
        logs.configure(settings.log)
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
