"""Fixtures: a trial database on the server of all tests, and on one that a test may stop."""

import gc
from collections.abc import Iterator

import pytest

from ingestd.embedded import EmbeddedMariaDB, running
from support.private_db import unstarted_server
from support.trial_db import Trial
from support.world import owner_sql


@pytest.fixture
def trial(server: EmbeddedMariaDB) -> Iterator[Trial]:
    made = Trial(server)
    made.create()
    yield made
    made.close()
    owner_sql(server.owner_settings(), "DROP DATABASE trial")


@pytest.fixture(scope="module")
def second_server() -> Iterator[EmbeddedMariaDB]:
    """A server that a test may stop (and starts again), with small packets."""
    with unstarted_server("--max-allowed-packet=1M") as server, running(server):
        Trial(server).create()
        yield server


@pytest.fixture
def second(second_server: EmbeddedMariaDB) -> Iterator[Trial]:
    second_server.start()
    made = Trial(second_server)
    made.create()
    yield made
    made.close()
    gc.collect()
