"""A process that did not run for a while, as after a pause of its machine, takes nothing for silent because of that."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from ingestd.mount import wire
from support.wait import until

SECONDS = 1.0
"""the deadline; the pause is longer"""

RECEIVE = """
from ingestd.mount import wire
from ingestd.mount.inbox import Inbox
deadline = wire.Deadline({seconds})
print("waits", flush=True)
print(len(Inbox(0).receive(deadline)))
"""
SEND = """
import os
from ingestd.mount import wire
fd = {fd}
os.set_blocking(fd, False)
deadline = wire.Deadline({seconds})
print("waits", flush=True)
wire.send(fd, wire.InspectRoot("x" * 2**22), deadline)
print("sent")
"""
THREADS = """
import sys
from ingestd.mount.item_threads import ItemThreads
from ingestd.mount.records import ItemRequest, Reading
def read(item):
    print("waits", flush=True)
    sys.stdin.read()
    return Reading(item.ordinal)
print([reading.problem for reading in ItemThreads([ItemRequest(0, "photo/a", ())], read, 2, {seconds}).each()])
"""


def pause(process: "subprocess.Popen[bytes]") -> None:
    """Stops a process that waits, for longer than its deadline."""
    assert process.stdout is not None
    assert process.stdout.readline() == b"waits\n"
    until(lambda: state_of(process.pid) == "S")
    os.kill(process.pid, signal.SIGSTOP)
    end = time.monotonic() + SECONDS + 0.7
    until(lambda: time.monotonic() > end)
    os.kill(process.pid, signal.SIGCONT)
    # It looks at its clock, as it does ten times a second, before it is answered.
    before = context_switches(process.pid)
    until(lambda: context_switches(process.pid) > before)


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


def context_switches(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))


def start(code: str, fd: int = 2) -> "subprocess.Popen[bytes]":
    """A process that runs the code, and may use the descriptor `fd`."""
    command = [sys.executable, "-c", code.format(seconds=SECONDS, fd=fd)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[fd])


def test_a_reply_is_received_after_a_pause() -> None:
    with start(RECEIVE) as process:
        assert process.stdin is not None
        pause(process)
        wire.send(process.stdin.fileno(), wire.InspectRoot("/"))
        out, _ = process.communicate(timeout=30)
    assert int(out) == len(wire.encode(wire.InspectRoot("/")))


def test_a_reply_that_was_half_in_the_pipe_is_received_after_a_pause() -> None:
    with start(RECEIVE) as process:
        assert process.stdin is not None
        body = wire.encode(wire.InspectRoot("/"))
        frame = len(body).to_bytes(8, "little") + body
        os.write(process.stdin.fileno(), frame[:10])
        pause(process)
        os.write(process.stdin.fileno(), frame[10:])
        out, _ = process.communicate(timeout=30)
    assert int(out) == len(body)


def test_a_request_is_sent_after_a_pause() -> None:
    ours, theirs = os.pipe()
    with start(SEND, fd=theirs) as process:
        os.close(theirs)
        pause(process)
        while os.read(ours, 2**20):
            pass
        out, _ = process.communicate(timeout=30)
    os.close(ours)
    assert out == b"sent\n"


def test_an_item_does_not_hang_because_of_a_pause() -> None:
    with start(THREADS) as process:
        pause(process)
        out, _ = process.communicate(timeout=30)
    assert out == b"[None]\n"
