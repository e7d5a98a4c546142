"""Programs that tests need: in PATH, or next to the Python that runs them, where `make setup-dev` puts some."""

import os
import shutil
import sys
from pathlib import Path

from support.missing import give_up


def demand(program: str, package: str) -> str:
    """The path of a program. Without it, skips the test, or fails it in CI."""
    folders = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    path = shutil.which(program, path=folders)
    if path is None:
        give_up(f"{program} is missing: `make setup-dev` brings it, or install Debian's package {package}")
    return str(path)
