"""The daemon's memory is given back after many threads used much of it at once, and what it keeps is not looked at."""

import subprocess
import sys

GROWS = """
import threading
from pathlib import Path

def resident():
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) * 1024

kept, together = [], threading.Barrier(8)

def work():
    together.wait()
    for _ in range(9):
        large = [bytes(2**20) for _ in range(8)]
        kept.append(bytes(3000))
        del large
    together.wait()

def grown():
    before = resident()
    for _ in range(2):
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
    return resident() - before
"""
MIB = 2**20


def grown_by(prepared: str) -> int:
    """Bytes by which a process has grown, after 8 threads needed 8 MiB each and kept some small values."""
    program = f"{GROWS}\nfrom ingestd import allocator\n{prepared}\nprint(grown())"
    return int(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout)


def test_memory_is_given_back() -> None:
    assert grown_by("allocator.give_memory_back()") < 8 * MIB


def test_another_c_library_is_left_alone() -> None:
    prepared = "allocator.ctypes.CDLL = lambda _name: object()\nallocator.give_memory_back()"
    assert grown_by(prepared) >= 0


def test_the_collector_looks_no_more_at_what_a_daemon_keeps() -> None:
    program = """
import gc
from unittest.mock import patch
from ingestd.cli import serve
from ingestd.config import Settings
class Made:
    def __init__(self, *_given):
        self.kept = {"a": []}
with patch("ingestd.app.Daemon", Made):
    made = serve._daemon(Settings(), None)
print([one is made.kept for one in gc.get_objects()].count(True), gc.get_freeze_count() > 10_000)
"""
    found = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert found == "0 True\n"
