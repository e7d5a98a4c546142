"""Importing ingestd reads no file but modules: settings, SQL and templates are read when they are needed."""

import subprocess
import sys

PROGRAM = """
import importlib, pkgutil, sys
import ingestd
folder = ingestd.__path__[0]
read = []
def note(event, arguments):
    if event == "open" and isinstance(arguments[0], str) and arguments[0].startswith(folder):
        if not arguments[0].endswith((".py", ".pyc")) and "__pycache__" not in arguments[0]:
            read.append(arguments[0])
sys.addaudithook(note)
names = [m.name for m in pkgutil.walk_packages(ingestd.__path__, "ingestd.") if not m.name.endswith("__main__")]
for name in names:
    importlib.import_module(name)
print(len(names), read)
"""


def test_import_reads_no_data_file() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    count, _, read = done.stdout.strip().partition(" ")
    assert int(count) > 100
    assert read == "[]"
