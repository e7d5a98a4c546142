"""Reports the state of the daemon to systemd."""

from collections.abc import Callable
from contextlib import suppress

from ingestd.errors import IngestdError
from ingestd.notify import Notifier
from ingestd.pipeline.context import Context
from ingestd.store import control
from ingestd.store.connection import Limits
from ingestd.store.db import Database, Tx
from ingestd.store.queries import jobs

STATUS_INTERVAL = 5.0
STATUS_PATIENCE = 5.0


class StatusReporter:
    """Reports to systemd every few seconds what the daemon does or waits for; at first also that it is ready.

    Ready means that all parts run, and that database and mount were tried once. They need not be available: the parts
    that need them wait for them, and systemd would kill a unit that does not become ready.
    """

    def __init__(self, context: Context, notifier: Notifier, running: Callable[[], int]) -> None:
        self._mount, self._notifier, self._running = context.mount, notifier, running
        # A handle of its own with short timeouts, so that it can report a database that hangs.
        self._db = Database(context.settings.database, Limits(statement=STATUS_PATIENCE))
        self._is_ready = False

    def run_once(self) -> float:
        status = f"{self._queue()}; {self._mount_state()}"
        if self._is_ready:
            self._notifier.status(status)
        else:
            self._notifier.ready(status)
            self._is_ready = True
        return STATUS_INTERVAL

    def close(self) -> None:
        self._db.close()

    def _queue(self) -> str:
        try:
            return self._db.read(self._counts)
        except IngestdError as error:
            return f"waiting for the database: {error}"

    def _counts(self, tx: Tx) -> str:
        counts = jobs.counts(tx)
        waiting = f", waiting {counts['waiting']}" if counts.get("waiting") else ""
        paused = " (paused)" if control.find(tx).paused else ""
        return f"running {self._running()}, queued {counts.get('queued', 0)}{paused}{waiting}; database up"

    def _mount_state(self) -> str:
        """The state of the mount: checked here at first, from then on as the watcher last found it."""
        if not self._is_ready:
            with suppress(IngestdError):
                self._mount.check()
        return "mount up" if self._mount.up else f"waiting for the mount: {self._mount.problem}"
