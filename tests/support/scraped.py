"""A daemon in this process, and its metrics."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from ingestd.app import Daemon
from support.watching import watching
from support.world import World

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def get(address: str, path: str = "/metrics") -> str:
    with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as answer:
        assert answer.status == 200
        text: str = answer.read().decode()
        return text


def parsed(text: str) -> Samples:
    return {
        (sample.name.removeprefix("ingestd_"), tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


class Scraped:
    """A daemon in this process, and its metrics."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon

    @property
    def address(self) -> str:
        assert self.daemon.metrics.listener is not None
        return self.daemon.metrics.listener.address

    def samples(self) -> Samples:
        return parsed(get(self.address))

    def value(self, name: str, **labels: str) -> float | None:
        return self.samples().get((name, tuple(sorted(labels.items()))))


@contextmanager
def daemon_of(world: World, **overrides: dict[str, Any]) -> Iterator[Scraped]:
    sections: dict[str, Any] = {"metrics": {"listen": "127.0.0.1:0"}, "mount": {"watch": "inotify"}, **overrides}
    with watching(world.settings(**sections)) as daemon:
        yield Scraped(daemon)
