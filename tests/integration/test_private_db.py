"""Private servers of tests do not outlive them."""

import subprocess
import sys
from pathlib import Path

from ingestd.pipeline.identity import start_time
from support.private_db import PREFIX, folder_in_memory
from support.wait import until

TESTS = Path(__file__).parents[1]
PARENT = """
import time
from ingestd.embedded import running
from support.private_db import unstarted_server
with unstarted_server() as server, running(server):
    print(server.pid, server.folder, flush=True)
    time.sleep(600)
"""


def test_a_server_ends_with_tests_that_are_killed_and_its_folder_is_removed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], cwd=TESTS, stdout=subprocess.PIPE) as parent:
        try:
            assert parent.stdout is not None
            pid, folder = parent.stdout.readline().decode().split()
            assert start_time(int(pid)) is not None
        finally:
            parent.kill()
    until(lambda: start_time(int(pid)) is None, what="for the server to end")
    assert Path(folder).name.startswith(f"{PREFIX}-{parent.pid}-")
    with folder_in_memory() as ours:
        assert ours.is_dir()
        assert not Path(folder).exists()
