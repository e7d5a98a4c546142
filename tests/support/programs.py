"""Programs that tests need: of this machine, or beside the Python that runs them, where `make setup` puts some."""

import os
import shutil
import sys
from pathlib import Path

from support.s3 import give_up


def demand(program: str, package: str) -> str:
    """Its path; skips the test without it, or fails there when the environment variable CI is set."""
    folders = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    path = shutil.which(program, path=folders)
    if path is None:
        give_up(f"{program} is missing: `make setup` brings it, or install Debian's package {package}")
    return str(path)
