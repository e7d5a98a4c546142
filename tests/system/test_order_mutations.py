"""The tests of the order of arrival notice each fault of the list."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.order_mutations import MUTATIONS

PROJECT = Path(__file__).parents[2]
TESTS = (
    "tests/unit/test_covers.py",
    "tests/unit/test_decide_order.py",
    "tests/integration/test_order_decisions.py",
    "tests/integration/test_next_covers.py",
    "tests/integration/test_later_delivery.py",
    "tests/integration/test_lower_generations.py",
    "tests/integration/test_placing.py",
    "tests/integration/test_placing_states.py",
    "tests/integration/test_chains.py",
    "tests/integration/test_chain_obstacles.py",
    "tests/integration/test_new_batches.py",
    "tests/integration/test_group_jobs.py",
    "tests/integration/test_order_of_arrival.py",
)
FAILED = 1
"""exit status of pytest when a test failed"""


@pytest.mark.soak_only
@pytest.mark.timeout(900)
@pytest.mark.parametrize("fault", MUTATIONS)
def test_tests_notice_each_fault(tmp_path: Path, fault: str) -> None:
    copy = tmp_path / "project"
    shutil.copytree(PROJECT, copy, symlinks=True, ignore=shutil.ignore_patterns(".*", "build", "__pycache__"))
    MUTATIONS[fault].apply(copy)
    environment = {name: value for name, value in os.environ.items() if name != "SOAK" and "PYTEST" not in name}
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "--exitfirst",
            "--hypothesis-profile=unshrunk",
            "-p",
            "no:cacheprovider",
            *TESTS,
        ],
        check=False,
        cwd=copy,
        env={**environment, "PYTHONPATH": str(copy / "daemon")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == FAILED, done.stdout + done.stderr
