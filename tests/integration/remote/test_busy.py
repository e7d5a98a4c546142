"""A daemon that is busy with one batch is asked again, and delays the other batches of a command for a short time."""

import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ingestd.app import Daemon
from ingestd.cli import remote
from ingestd.errors import DatabaseContention
from ingestd.pipeline.queueing import QueueRequest
from ingestd.web import problem
from ingestd.web.operations import Operations
from ingestd.web.views import Views
from support.command import Run
from support.elsewhere import UNKNOWN
from support.proxy import http_answer, says, stranger
from support.world import World, photo

Busy = Callable[..., Counter[str]]


@pytest.fixture
def three(world: World, daemon: Daemon, run: Run, elsewhere: list[str]) -> list[str]:
    made = [world.put(photo(str(day)), day=day) for day in (1, 2, 3)]
    run("scan", *elsewhere)
    return made


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> Busy:
    """Makes the daemon busy with some batches for so many requests; the requests by batch."""

    def make(*held: str, times: int = 1000) -> Counter[str]:
        asked: Counter[str] = Counter()
        monkeypatch.setattr(problem, "RETRY_SECONDS", "0")
        real = Operations.queue

        def queue(self: Operations, request: QueueRequest) -> Any:
            asked[request.sync_id] += 1
            if request.sync_id in held and asked[request.sync_id] <= times:
                raise DatabaseContention("the database is busy")
            return real(self, request)

        monkeypatch.setattr(Operations, "queue", queue)
        return asked

    return make


def test_a_busy_daemon_is_asked_again(three: list[str], run: Run, elsewhere: list[str], busy: Busy) -> None:
    asked = busy(three[0], times=2)
    result = run("queue", *three, *elsewhere)
    assert (result.code, result.stderr) == (0, "")
    assert [(row["sync_id"], row["is_new"], row["error"]) for row in result.table] == [(s, "yes", "-") for s in three]
    assert [asked[sync_id] for sync_id in three] == [3, 1, 1]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_batch_that_stays_busy_keeps_no_other_from_being_queued(
    three: list[str], run: Run, elsewhere: list[str], busy: Busy, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    monkeypatch.setattr(remote, "BUSY_SECONDS", 0.25)
    asked = busy(three[place])
    result = run("queue", *three, UNKNOWN, *elsewhere)
    assert (result.code, result.stderr) == (69, "")
    assert [row["sync_id"] for row in result.table] == [*three, UNKNOWN]
    errors = [row["error"] for row in result.table]
    assert errors.pop(place) == "the database is busy"
    assert (errors[:2], errors[2].startswith("there is no batch")) == (["-", "-"], True)
    assert 2 <= asked[three[place]] <= 3


def test_one_batch_is_printed_alike(
    three: list[str], run: Run, elsewhere: list[str], busy: Busy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "BUSY_SECONDS", 0.0)
    busy(three[0])
    result = run("queue", three[0], "--json", *elsewhere)
    assert (result.code, result.stderr) == (69, "")
    assert [(row["sync_id"], row["error"], row["exit_status"]) for row in result.json] == [
        (three[0], "the database is busy", 69)
    ]


def test_a_command_does_not_wait_for_each_of_many_batches(
    three: list[str], run: Run, elsewhere: list[str], busy: Busy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "ALL_BUSY_SECONDS", 0.25)
    asked = busy(*three)
    assert run("queue", *three, *elsewhere).code == 69
    assert [asked[sync_id] for sync_id in three] == [3, 1, 1], "two pauses of a tenth of a second"


def test_the_version_of_a_batch_is_asked_for_again(
    three: list[str], run: Run, elsewhere: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(problem, "RETRY_SECONDS", "0")
    real, asked = Views.detail, Counter[str]()

    def detail(self: Views, sync_id: str) -> Any:
        asked[sync_id] += 1
        if asked[sync_id] == 1:
            raise DatabaseContention("the database is busy")
        return real(self, sync_id)

    monkeypatch.setattr(Views, "detail", detail)
    assert run("queue", *three, *elsewhere).code == 0


@pytest.mark.parametrize("wait", ["999999999", "Fri, 31 Dec 2027 23:59:59 GMT", "-1", "9" * 30, "1e9"])
def test_no_command_waits_as_long_as_a_server_likes(run: Run, token: Path, wait: str) -> None:
    body = json.dumps({"type": "about:blank", "title": "x", "status": 503, "detail": "not now"}).encode()
    began = time.monotonic()
    with stranger(says(http_answer("503 x", body, f"Retry-After: {wait}"))) as url:
        result = run("queue", UNKNOWN, "--url", url, "--token-file", token)
    assert (result.code, result.table[0]["error"]) == (69, "not now")
    assert time.monotonic() - began < 10
