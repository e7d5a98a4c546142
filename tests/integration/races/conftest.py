"""Fixture: callables let loose at the same moment, in threads with connections of their own."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from support.racing import T


@pytest.fixture
def race() -> Iterator[Callable[..., list[Any]]]:
    """Runs callables at the same moment, each in a thread of its own; their results, in order."""
    with ThreadPoolExecutor(8) as pool:

        def run(*racers: Callable[[], T]) -> list[T]:
            barrier = threading.Barrier(len(racers))

            def start(racer: Callable[[], T]) -> T:
                barrier.wait(10)
                return racer()

            return [future.result(60) for future in [pool.submit(start, racer) for racer in racers]]

        yield run
