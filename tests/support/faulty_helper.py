"""Faults inside real mount helpers: code that runs in each new helper before it takes its first request."""

import textwrap

import pytest

from ingestd.mount import helper_process
from support.uncovered import NOT_MEASURED

START = "import sys; sys.path += sys.argv[1:]\n"
RUN = "from ingestd.mount.helper import run; run()\n"

QUICK = """
from ingestd.mount import replies
replies.REPORT_SECONDS = 0.02
"""
"""Reports progress often, so that a deadline may be short."""

SLOW_READ = """
import os, time
real_read, real_fstat = os.read, os.fstat
def slow_read(fd, count):
    if fd > 2 and count != 8:
        time.sleep({read})
    return real_read(fd, count)
def slow_fstat(fd):
    time.sleep({fstat})
    return real_fstat(fd)
from ingestd.mount import items, paths
paths.os = items.os = type("os", (), {{**vars(os), "read": staticmethod(slow_read), "fstat": staticmethod(slow_fstat)}})
"""

MARKED = """
import ctypes, os, signal, time
from ingestd.mount import documents
real_as_json = documents.as_json
def as_json(data):
    if data == b'"kill"':
        os.kill(os.getpid(), signal.SIGKILL)
    if data == b'"segv"':
        ctypes.string_at(0)
    if data == b'"exit"':
        os._exit(7)
    if data == b'"raise"':
        raise LookupError("surprise \\ud800")
    if data == b'"memory"':
        kept = [bytes(2**26) for _ in range(2**12)]
    if data == b'"hang"':
        time.sleep(3600)
    return real_as_json(data)
documents.as_json = as_json
"""
"""Documents that consist of one word do to their helper what it says."""

ANSWERING = """
import os
from ingestd.mount import helper, wire
from ingestd.mount.records import Reading
def answer(request, channel):
    if not isinstance(request, wire.ReadItems):
        return real_handle(request, channel)
    for reply in replies(request):
        if isinstance(reply, bytes):
            os.write(channel._fd, reply)
        else:
            channel.send(reply)
real_handle, helper.handle = helper.handle, answer
def replies(request):
    first = request.items[0].ordinal
    {replies}
"""
"""Requests for items get these replies: the body of a generator."""


def inject(monkeypatch: pytest.MonkeyPatch, *code: str) -> None:
    """Each helper that is started from now on runs `code` first. Most start often and are killed before they report."""
    for name, value in NOT_MEASURED.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(helper_process, "HELPER", "\n".join([START, *map(textwrap.dedent, code), RUN]))
