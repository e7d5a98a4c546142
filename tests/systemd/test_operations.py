"""Runs the ten commands of docs/operations.md: from a bare Debian to a monitored service."""

import hashlib
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.guest import CACHE, LOCKS, PROJECT, Guest, copy_in_memory, demand_nspawn, guest_on, wheels
from support.site import Site
from support.wait import until
from support.world import photo

pytestmark = [pytest.mark.systemd, pytest.mark.timeout(400)]

MARKED = re.compile(r"<!-- ten commands -->\n```\n(.*?)\n```", re.DOTALL)
QUIETLY = 'ARGS="--web.listen-address=127.0.0.1:9090"\n'
ASK = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1]).read().decode())"


def commands() -> list[str]:
    found = MARKED.search((PROJECT / "docs" / "operations.md").read_text())
    assert found is not None
    return found[1].splitlines()


def checkout(folder: Path) -> Path:
    """A copy of the files of the project, without ignored ones."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (PROJECT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, folder / name, follow_symlinks=False)
    return folder


def packages() -> Path:
    """A folder of packages in place of a registry, downloaded once per list of requirements."""
    folder = CACHE / f"wheels-{hashlib.sha256(b''.join(path.read_bytes() for path in LOCKS)).hexdigest()[:12]}"
    if not folder.is_dir():
        fetching = folder.with_suffix(".new")
        shutil.rmtree(fetching, ignore_errors=True)
        wheels(fetching)
        fetching.rename(folder)
    return folder


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Guest]:
    """A bare Debian, with the project files and packages available."""
    demand_nspawn()
    source = checkout(tmp_path / "source")
    binds = (f"--bind-ro={source}:/usr/src/ingestd", f"--bind-ro={packages()}:/srv/packages")
    with copy_in_memory(tmp_path) as root, guest_on(root, tmp_path, *binds) as made:
        made.environment |= {
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": "/srv/packages",
            "DEBIAN_FRONTEND": "noninteractive",
        }
        yield made


def ask(guest: Guest, path: str) -> Any:
    """A response of Prometheus, or None if it does not respond."""
    done = guest.run(f"python3 -c {shlex.quote(ASK)} http://127.0.0.1:9090/api/v1/{path}", check=False)
    return json.loads(done.stdout)["data"] if done.returncode == 0 else None


def is_scraped(guest: Guest) -> bool:
    """Whether Prometheus has scraped the daemon."""
    targets = (ask(guest, "targets") or {"activeTargets": []})["activeTargets"]
    return [(target["labels"]["job"], target["health"]) for target in targets] == [("ingestd", "up")]


def test_ten_commands_set_up_a_monitored_service(bare: Guest) -> None:
    mine = "# mine\n" + (PROJECT / "contrib/systemd/ingestd.toml").read_text()
    bare.write("/etc/ingestd/ingestd.toml", mine)
    bare.write("/etc/default/prometheus", QUIETLY)
    site = Site(bare)
    site.mount()
    assert len(commands()) == 10
    for command in commands():
        bare.run(f"cd /usr/src/ingestd && {command}")
    assert site.show("ActiveState", "UnitFileState") == ["active", "enabled"]
    assert site.status == "running 0, queued 0; database up; mount up"
    assert (bare.root / "etc/ingestd/ingestd.toml").read_text() == mine, "a configuration is never overwritten"
    site.wait_until_imported(site.put(photo("a")))
    until(lambda: is_scraped(bare), seconds=60, what="for Prometheus to scrape it")
    groups = ask(bare, "rules")["groups"]
    assert [group["name"] for group in groups if "ingestd" in group["file"]], "the alerts are loaded"
