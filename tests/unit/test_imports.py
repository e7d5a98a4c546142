"""Importing ingestd reads no file but modules, and a command loads no more of them than it needs."""

import ast
import subprocess
import sys

import pytest

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


@pytest.mark.parametrize(
    ("command", "unused"),
    [
        ("status", {"flask", "waitress", "PIL", "ingestd.app"}),
        ("bundle check /dev/null", {"flask", "pymysql", "ingestd.cli.serve"}),
        ("--version", {"flask", "PIL", "ingestd.cli.operate"}),
    ],
)
def test_a_command_loads_what_it_needs(command: str, unused: set[str]) -> None:
    program = f"import sys, ingestd.cli\nsys.argv[1:] = {command.split()}\n"
    ended = "try: ingestd.cli.main()\nfinally: print(sorted(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program + ended], capture_output=True, text=True, check=False)
    loaded = set(ast.literal_eval(done.stderr.splitlines()[-1]))
    assert "click" in loaded
    assert loaded & unused == set()
