"""What is built from a clean copy of the checkout holds all that is needed: a wheel without SQL starts nowhere."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from the source distribution, built from a clean copy."""
    copy = tmp_path_factory.mktemp("clean")
    out = tmp_path_factory.mktemp("dist")
    for name in project_files():
        target = copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(PROJECT / name, target, follow_symlinks=False)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = out.glob("*.whl")
    return zipfile.ZipFile(built)


def project_files() -> list[str]:
    """What belongs to the project: committed, or about to be."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    names = [name for name in listed.stdout.split("\0") if name]
    return [name for name in names if (PROJECT / name).exists()]


def test_wheel_holds_every_sql_file_unchanged(wheel: zipfile.ZipFile) -> None:
    wanted = {f"ingestd/sql/{path.relative_to(PROJECT / 'sql')}": path for path in (PROJECT / "sql").rglob("*.sql")}
    assert wanted
    held = {name for name in wheel.namelist() if name.endswith(".sql")}
    assert held == set(wanted)
    for name, path in wanted.items():
        assert wheel.read(name) == path.read_bytes(), name


def test_wheel_holds_every_module(wheel: zipfile.ZipFile) -> None:
    package = PROJECT / "daemon" / "ingestd"
    wanted = {f"ingestd/{path.relative_to(package)}" for path in package.rglob("*.py")}
    assert wanted <= set(wheel.namelist())
    assert "ingestd/py.typed" in wheel.namelist()


@pytest.mark.parametrize("folder", ["web/static", "web/templates"])
def test_wheel_holds_every_file_of_the_pages_unchanged(wheel: zipfile.ZipFile, folder: str) -> None:
    package = PROJECT / "daemon" / "ingestd"
    wanted = {f"ingestd/{path.relative_to(package)}": path for path in (package / folder).rglob("*") if path.is_file()}
    assert wanted
    assert {name for name in wheel.namelist() if name.startswith(f"ingestd/{folder}/")} == set(wanted)
    for name, path in wanted.items():
        assert wheel.read(name) == path.read_bytes(), name


def test_wheel_holds_nothing_but_the_package(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"ingestd"}


def test_wheel_declares_the_command(wheel: zipfile.ZipFile) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "ingestd = ingestd.__main__:main" in wheel.read(name).decode()
