"""An emitter of the watcher that lists when the test asks."""

from typing import Any

from watchdog.observers.api import EventQueue, ObservedWatch

from ingestd.mount.access import Mount
from ingestd.mount.records import Listing
from ingestd.pipeline.settling import Settling
from ingestd.pipeline.watcher import SentinelEmitter


class Polling:
    """An emitter that lists when the test calls it, the names of the files that it emitted, and its last listing."""

    def __init__(self, mount: Mount, settling: Settling) -> None:
        self._events = EventQueue()
        self.last = Listing()
        self._real, mount.list_sentinels = mount.list_sentinels, self._list  # type: ignore[method-assign]
        watch = ObservedWatch(str(mount.settings.root / "sync"), recursive=False)
        self.emitter = SentinelEmitter(self._events, watch, mount=mount, settling=settling)
        self.emitter.on_thread_start()

    def _list(self, *arguments: Any, **options: Any) -> Listing:
        self.last = self._real(*arguments, **options)
        return self.last

    def emitted(self) -> list[str]:
        self.emitter.queue_events(0.0)
        found = []
        while not self._events.empty():
            event, _watch = self._events.get_nowait()
            found.append(str(event.src_path).rpartition("/")[2])
        return sorted(found)
