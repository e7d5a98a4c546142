"""A thread of a mount helper that sends what there is while others wait for the mount."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


@contextmanager
def repeating(send: Callable[[], None], seconds: float) -> Iterator[None]:
    """Calls `send()` every so many seconds in a thread of its own, until the end of the block.

    It stops sooner when the daemon has closed the pipe; what the helper sends next then ends the helper.
    """
    ended = threading.Event()

    def work() -> None:
        with suppress(BrokenPipeError):
            while not ended.wait(seconds):
                send()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
