"""A pipe in place of standard error."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from support.wait import until


@dataclass
class Pipe:
    """A pipe whose reader may stall."""

    reading: int
    writing: int
    taken: bytes = b""
    closed: set[int] = field(default_factory=set)

    def close(self, *ends: int) -> None:
        """Closes each end once: its number may be another file's afterwards."""
        for fd in set(ends) - self.closed:
            self.closed.add(fd)
            os.close(fd)

    def fill(self) -> int:
        """Leaves no room in the pipe, and its writing end blocking; returns the number of bytes written."""
        os.set_blocking(self.writing, False)
        filled = 0
        with suppress(BlockingIOError):
            while True:
                filled += os.write(self.writing, b"#" * 4096)
        os.set_blocking(self.writing, True)
        return filled

    def take(self, count: int = 2**16) -> bytes:
        self.taken += os.read(self.reading, count)
        return self.taken

    def read_until(self, wanted: bytes) -> list[str]:
        until(lambda: wanted in self.take(), what=f"for {wanted!r}")
        return self.taken.lstrip(b"#").decode().splitlines()


@contextmanager
def open_pipe() -> Iterator[Pipe]:
    made = Pipe(*os.pipe())
    yield made
    made.close(made.reading, made.writing)
