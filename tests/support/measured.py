"""What it costs to check hostile manifests: processor time and peak memory, in the helper and in the daemon.

`python -m support.measured SIZE PART` measures one part of the corpus and prints a line of JSON for each shape. Each
measurement has a process of its own, forked from this one, which has a single thread.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from ingestd.format.fields import Limits
from ingestd.mount import manifests, wire
from ingestd.mount.inbox import Inbox
from ingestd.mount.manifest_receiver import ManifestReceiver
from support.hostile_entries import CONTAINERS, ITEMS
from support.hostile_manifests import ENVELOPES, TEXTS, Shape
from support.manifests import SYNC_ID
from support.uncovered import NOT_MEASURED

CORPUS = [*ENVELOPES, *TEXTS, *ITEMS, *CONTAINERS]
PARTS = 6
MAX_ITEMS = Limits().max_items
MORE_TRIES, SLOW_SECONDS = 3, 0.7


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one shape; seconds, and bytes beyond what the process had before."""

    name: str
    size: int
    verdict: str
    expected: str
    helper_seconds: float
    helper_memory: int
    daemon_seconds: float
    daemon_memory: int

    @property
    def seconds(self) -> float:
        return max(self.helper_seconds, self.daemon_seconds)


def measure(part: int, size: int) -> list[Cost]:
    """The costs of one part of the corpus."""
    command = [sys.executable, "-m", "support.measured", str(size), str(part)]
    tests = Path(__file__).parents[1]
    environment = {**os.environ, **NOT_MEASURED}
    done = subprocess.run(command, cwd=tests, env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert not done.returncode, done.stderr
    return [Cost(**json.loads(line)) for line in done.stdout.splitlines()]


def main() -> None:
    size, part = map(int, sys.argv[1:])
    # The process that measures is the compartment.
    manifests.LONG = sys.maxsize
    for shape in CORPUS[part::PARTS]:
        sys.stdout.write(f"{json.dumps(asdict(least_cost(shape, size)))}\n")


def least_cost(shape: Shape, size: int) -> Cost:
    """The cost of a shape; if it was slow, the least of some tries: what else runs on the machine only adds to it."""
    found = cost(shape, size)
    for _try in range(MORE_TRIES):
        if found.seconds < SLOW_SECONDS * max(1.0, size / 2**20):
            break
        found = min(found, cost(shape, size), key=lambda one: one.seconds)
    return found


def cost(shape: Shape, size: int) -> Cost:
    with tempfile.TemporaryDirectory() as root, tempfile.TemporaryFile() as replies:
        sync = Path(root, "sync")
        sync.mkdir()
        (sync / f"{SYNC_ID}.ready").touch()
        length = (sync / f"{SYNC_ID}.json").write_bytes(shape.make(size))
        _, helper_seconds, helper_memory = in_process(lambda: check(root, size, replies))
        replies.seek(0)
        verdict, daemon_seconds, daemon_memory = in_process(lambda: receive(replies))
    return Cost(
        shape.name, length, verdict, shape.verdict, helper_seconds, helper_memory, daemon_seconds, daemon_memory
    )


def check(root: str, size: int, replies: IO[bytes]) -> str:
    """What the helper does; its replies go to a file."""
    request = wire.ReadManifest(root, SYNC_ID, 2**30, Limits(max_items=max(MAX_ITEMS, size)))
    manifests.send_manifest(request, lambda reply: wire.send(replies.fileno(), reply), lambda: None)
    return ""


def receive(replies: IO[bytes]) -> str:
    """What the daemon does: takes the replies, and decodes each entry once. Returns the verdict."""
    receiver, inbox = ManifestReceiver(), Inbox(replies.fileno())
    while not receiver.is_complete:
        body = inbox.receive()
        assert body is not None
        receiver.add(wire.decode_reply(body))
    problem = receiver._problem
    if problem is not None:
        return problem.basis
    manifest = receiver.reading().manifest
    assert manifest is not None
    for _ in manifest.standing():
        pass
    for _ in manifest.containers():
        pass
    return "valid"


def in_process(work: Callable[[], str]) -> tuple[str, float, int]:
    """The result, processor seconds and peak memory of some work in a forked process."""
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
        before, started = peak(), processor_seconds()
        try:
            result = work()
            os.write(into, json.dumps([result, processor_seconds() - started, peak() - before]).encode())
        finally:
            os._exit(0)
    os.close(into)
    with open(out, "rb") as file:
        answer = file.read()
    os.waitpid(pid, 0)
    assert answer, "the measured process failed"
    result, seconds, memory = json.loads(answer)
    return result, seconds, memory


def processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) << 10


if __name__ == "__main__":
    main()
