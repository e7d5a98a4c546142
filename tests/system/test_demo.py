"""The demo, as `make demo ONCE=1` runs it, with photographs of our own."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from support.media import image

DEMO = Path(__file__).resolve().parents[2] / "contrib" / "demo"


def test_demo_imports_photographs_and_stops(tmp_path: Path) -> None:
    """A copy of it runs, because it keeps its files beside the checkout that it is part of."""
    shutil.copytree(DEMO, tmp_path / "contrib" / "demo")
    for number in range(8):
        photo = tmp_path / "photos" / f"album {number % 2}" / f"{number}.jpg"
        photo.parent.mkdir(parents=True, exist_ok=True)
        photo.write_bytes(image(colour=(30 * number, 8, 7)))
    command = [sys.executable, str(tmp_path / "contrib/demo/demo.py"), "--once", "--media", str(tmp_path / "photos")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^ *items +created +8$", done.stdout, re.MULTILINE), done.stdout
