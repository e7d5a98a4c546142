"""What a test needs and this machine lacks: the test is skipped. In CI nothing may be missing, and it fails."""

import os
from typing import NoReturn

import pytest


def give_up(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
