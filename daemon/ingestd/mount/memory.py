"""A limit on the memory of a mount helper, so that what a bundle makes it need ends that helper and nothing else."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

OOM_SCORE = "500"


def end_before_parent() -> None:
    """Makes the kernel, when memory runs out, end this process rather than its parent."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE)


def limit_memory(more: int) -> None:
    """Limits the private memory of this process to what it has now and `more` bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[5])
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    wanted = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_DATA, (wanted if hard < 0 else min(wanted, hard), hard))


@contextmanager
def limited_memory(more: int) -> Iterator[None]:
    """As `limit_memory`, until the end of the block."""
    before = resource.getrlimit(resource.RLIMIT_DATA)
    limit_memory(more)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
