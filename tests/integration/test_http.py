"""The HTTP API of a whole daemon: its other parts do what is requested."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingestd.app import Daemon
from ingestd.config import Settings
from ingestd.errors import CannotListen
from support.elsewhere import HOST, TOKEN, address, http_section
from support.requests import scan_result
from support.wait import until
from support.watching import QUIET, watching
from support.world import World, photo


def settings(world: World, folder: Path, **mount: Any) -> Settings:
    """Settings of a daemon that scans only on request."""
    return world.settings(http=http_section(folder), mount={**QUIET, **mount}, worker={"poll_interval": 0.1})


@pytest.fixture
def daemon(world: World, tmp_path: Path) -> Iterator[Daemon]:
    with watching(settings(world, tmp_path)) as made:
        yield made


def ask(daemon: Daemon, path: str, body: dict[str, Any] | None = None) -> Any:
    headers = {"Host": HOST, "Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://{address(daemon)}{path}", data, headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())


def test_a_scan_and_a_job_requested_over_http_are_done(world: World, daemon: Daemon) -> None:
    sync_id = world.put(photo("a"))
    ask(daemon, "/api/v1/scan", {})
    until(lambda: sync_id in [row["sync_id"] for row in ask(daemon, "/api/v1/batches")["items"]], what="for the scan")
    job = ask(daemon, f"/api/v1/batches/{sync_id}/queue", {})
    assert job["requested_by"] == "olga"
    until(lambda: ask(daemon, f"/api/v1/batches/{sync_id}")["status"] == "imported", what="for the import")
    assert world.one("SELECT COUNT(*) FROM asset") == 1
    assert ask(daemon, "/readyz")


def test_a_scan_accepted_by_one_host_is_run_and_shown_by_another(world: World, daemon: Daemon, tmp_path: Path) -> None:
    sync_id = world.put(photo("a"))
    without_mount = Daemon(settings(world, tmp_path, root=tmp_path / "nowhere"))
    without_mount.start()
    try:
        accepted = ask(without_mount, "/api/v1/scan", {})["id"]
        request = until(
            lambda: (found := ask(daemon, f"/api/v1/requests/{accepted}"))["state"] == "done" and found,
            what="for the host with the mount",
        )
        assert request["result"] == scan_result([sync_id])
        assert ask(without_mount, f"/api/v1/requests/{accepted}") == request
    finally:
        without_mount.stop()


def test_an_address_in_use_stops_the_start_and_leaves_nothing_behind(world: World, daemon: Daemon) -> None:
    other = Daemon(world.settings(http={"listen": address(daemon)}))
    with pytest.raises(CannotListen, match=r"\[http\] listen"):
        other.start()
    other.stop()
