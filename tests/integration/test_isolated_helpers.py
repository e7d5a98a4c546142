"""Helpers do not depend on the locale, the working directory or the environment of their daemon."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ingestd.mount import helper_process
from support.world import md5

DAEMON = """
import json, sys
from pathlib import Path
from ingestd.config import MountSettings
from ingestd.format.entry import File
from ingestd.mount.access import Mount
from ingestd.mount.records import ItemRequest
mount = Mount(MountSettings(root=Path(sys.argv[1]), require_mount=False, verify="size"))
wanted = [ItemRequest(n, path, (File("original", name, 1),)) for n, (path, name) in enumerate(json.loads(sys.argv[2]))]
print(json.dumps([[r.problem, [d.kind for d in r.documents]] for r in mount.read_items(wanted)]))
mount.close()
"""
"""Reads items and prints their problems and the kinds of their documents."""

NAMES = ("plain.jpg", "größe.jpg", "📷.jpg", "e\u0301.jpg", "日本.jpg", "\u2028.jpg")
LOCALES: dict[str, dict[str, str]] = {
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "POSIX": {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "Latin-1": {"LC_ALL": "de_DE.ISO-8859-1"},
    "Latin-1 without UTF-8 mode": {"LC_ALL": "de_DE.ISO-8859-1", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "unknown": {"LC_ALL": "xx_XX.ISO-8859-1", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "ascii streams": {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An assets root with one item for each name; the item of `größe.jpg` has a document of that name."""
    for name in NAMES:
        data = tmp_path / "assets/photo" / md5(name) / "source/data"
        data.mkdir(parents=True)
        (data / name).write_text("{}")
        (data.parents[1] / name).write_text("x")
    return tmp_path / "assets"


def read(root: Path, folder: Path, **environment: str) -> list[Any]:
    """What a daemon that is started in a folder, with this environment, reads of the items."""
    wanted = json.dumps([[f"photo/{md5(name)}", name] for name in NAMES])
    command = [sys.executable, "-P", "-c", DAEMON, str(root), wanted]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr.decode()
    return list(json.loads(done.stdout))


def all_read() -> list[Any]:
    encoded = ("".join(chr(b) if b < 0x7F else f"%{b:02X}" for b in name.encode()) for name in NAMES)
    return [[None, [f"source_data:{kind}"]] for kind in encoded]


@pytest.mark.parametrize("name", LOCALES)
def test_file_names_are_utf8_in_every_locale(root: Path, tmp_path: Path, name: str) -> None:
    assert read(root, tmp_path, **LOCALES[name]) == all_read()


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A folder of modules that helpers import, each of which leaves a trace."""
    folder = tmp_path / "trap"
    folder.mkdir()
    for name in ("ctypes", "msgspec", "orjson", "struct", "signal", "ingestd", "sitecustomize", "encodings"):
        code = f"open({str(folder / 'trace')!r}, 'a').write({name!r}); raise ImportError"
        (folder / f"{name}.py").write_text(code)
    return folder


def test_a_helper_imports_nothing_from_the_working_directory(root: Path, trap: Path) -> None:
    assert read(root, trap) == all_read()
    assert not (trap / "trace").exists()


@pytest.mark.parametrize("variable", ["PYTHONPATH", "PYTHONSTARTUP", "PYTHONHOME", "PYTHONINSPECT"])
def test_a_helper_is_not_steered_by_the_environment(
    root: Path, tmp_path: Path, trap: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    command = [sys.executable, "-I", "-X", "utf8", "-c", helper_process.HELPER, *helper_process.import_folders()]
    monkeypatch.setenv(variable, str(trap))
    monkeypatch.chdir(trap)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    assert not (trap / "trace").exists()


def test_a_package_that_pythonpath_names_is_found(root: Path, tmp_path: Path) -> None:
    """A daemon may be run from a folder of sources, without being installed."""
    package = tmp_path / "sources"
    package.mkdir()
    (package / "ingestd").symlink_to(Path(helper_process.__file__).parents[1])
    assert read(root, tmp_path, PYTHONPATH=str(package)) == all_read()
