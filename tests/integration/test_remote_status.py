"""`status SYNC_ID --url`: the same output and exit status as on the host itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestd.cli import look
from ingestd.pipeline.queueing import QueueRequest, enqueue
from support.command import UNKNOWN, Run, commands
from support.proxy import reverse_proxy
from support.refusals import refused_events
from support.web_client import HOST, WebClient
from support.world import World, cover, md5, photo

GALLERY = {"type": "gallery", "hash": md5("g"), "title": "g", "items": [md5("a")]}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], world: World) -> Iterator[Run]:
    monkeypatch.setenv("INGESTD_DATABASE__UNIX_SOCKET", world.server.socket)
    monkeypatch.setenv("INGESTD_DATABASE__USER", "ingestd")
    with commands(monkeypatch, capsys) as call:
        yield call


@pytest.fixture
def elsewhere(web_client: WebClient, tmp_path: Path) -> Iterator[list[str]]:
    token = tmp_path / "token"
    token.write_text("the-viewer-token\n")
    token.chmod(0o600)
    with reverse_proxy(web_client.listener.address, HOST) as proxy:
        yield ["--url", proxy.url, "--token-file", str(token)]


@pytest.mark.parametrize("options", [[], ["--json"], ["--items"], ["--items", "--json"], ["--follow"]])
def test_a_status_elsewhere_is_printed_as_here(
    world: World, web_client: WebClient, run: Run, elsewhere: list[str], options: list[str]
) -> None:
    sync_id = world.put(photo("a"), photo("b"), cover("c", "absent"), containers=[GALLERY])
    world.import_all(web_client.context, sync_id)
    here, there = run("status", sync_id, *options), run("status", sync_id, *options, *elsewhere)
    assert (there.code, there.stdout) == (0, here.stdout)
    assert run("status", UNKNOWN, *elsewhere).code == 3


def test_items_elsewhere_are_read_in_pages(
    world: World, web_client: WebClient, run: Run, elsewhere: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look, "PAGE", 3)
    sync_id = world.put(*(photo(f"p{number}") for number in range(7)))
    world.import_all(web_client.context, sync_id)
    rows = run("status", sync_id, "--items", "--json", *elsewhere).json
    assert [row["hash"] for row in rows] == [md5(f"p{number}") for number in range(7)]


def test_following_a_job_that_failed_elsewhere_exits_with_1(
    world: World, web_client: WebClient, run: Run, elsewhere: list[str]
) -> None:
    sync_id = web_client.put(photo("a"))
    enqueue(web_client.context, QueueRequest(sync_id, "olivia"))
    with refused_events(world, "import_started"):
        world.run_next(web_client.context)
    assert run("status", sync_id, *elsewhere).code == 0
    assert run("status", sync_id, "--follow", *elsewhere).code == 1
