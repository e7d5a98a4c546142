"""Runs a function as the user without rights, in a process of its own."""

import os
import pwd
import traceback
from collections.abc import Callable

import pytest

NAME = pwd.getpwuid(65534).pw_name
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def as_other_user(work: Callable[[], object]) -> str:
    """The text of what `work` returns there, or the traceback of its error."""
    account = pwd.getpwnam(NAME)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(account.pw_gid)
            os.setuid(account.pw_uid)
            result = str(work())
        except Exception:  # noqa: BLE001  the parent reads it
            result = traceback.format_exc()
        os.write(write, result.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as stream:
        result = stream.read().decode()
    os.waitpid(child, 0)
    return result
