"""Something else in the place of the hand-over folder: people and programs learn of it, until it can be listed."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ingestd.errors import MountUnavailable
from ingestd.pipeline.scanner import Scanner
from support.api_site import Site, serve, settings_of
from support.command import Run, properties
from support.missing import give_up
from support.world import World, photo

NOT_LISTED = (503, ["the hand-over folder cannot be listed"])


def is_a_file(folder: Path) -> None:
    folder.touch()


def is_away(folder: Path) -> None:
    assert not folder.exists()


def is_a_link(folder: Path) -> None:
    folder.symlink_to("/")


def is_a_pipe(folder: Path) -> None:
    os.mkfifo(folder)


@pytest.fixture
def site(configured: World, tmp_path: Path) -> Iterator[Site]:
    yield from serve(configured, settings_of(configured, tmp_path))


def readiness(site: Site) -> tuple[int, list[str]]:
    answer = site.call("GET", "/readyz")
    return answer.status, answer.json.get("reasons", [])


@pytest.mark.parametrize("become", [is_a_file, is_away, is_a_link, is_a_pipe])
def test_something_else_in_its_place(configured: World, site: Site, run: Run, become: Callable[[Path], None]) -> None:
    scanner, folder = Scanner(site.context), configured.root / "sync"
    configured.put(photo("a"))
    away = folder.rename(folder.with_name("away"))
    become(folder)
    with pytest.raises(MountUnavailable):
        scanner.run_once()
    site.context.mount.check()
    assert readiness(site) == NOT_LISTED
    assert "sync cannot be listed to its end" in properties(run("status"))["listing"]
    if become is not is_away:
        folder.unlink()
    away.rename(folder)
    scanner.run_once()
    assert readiness(site) == (200, [])
    assert "listing" not in properties(run("status"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_a_folder_that_is_covered(configured: World, run: Run) -> None:
    folder = configured.root / "sync"
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=False).returncode:
        give_up("needs to mount a file system in memory")
    try:
        shown = run("doctor")
        assert shown.code == 1
        assert f"{folder} is on another file system than {configured.root}" in shown.stdout
    finally:
        subprocess.run(["umount", folder], check=True)
    assert "hand-over folder" not in run("doctor").stdout
