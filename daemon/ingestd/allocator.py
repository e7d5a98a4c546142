"""Makes the C library give memory back, so that a daemon that runs for months stays as small as it was.

And has the garbage collector pass over what stays as long as the daemon.

glibc keeps a heap for each of many threads, and large blocks in them once some were freed. A small value that outlives
them then holds the whole heap: after a hundred imports of long manifests the daemon had grown by 200 MiB.
"""

import ctypes
import gc

# From malloc.h; both have to be set before threads start.
M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8
LARGE_BLOCK = 2**18
"""blocks of so many bytes are mapped by themselves, and given back when they are freed"""
HEAPS = 2


def give_memory_back() -> None:
    """Sets the limits; does nothing with a C library that has none."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, HEAPS)
        mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK)


def spare_what_exists() -> None:
    """Has the collector look no more at what exists by now: modules, classes, routes, queries.

    With them, a collection of everything took 75 ms, in which no other thread ran, four times for 20,000 items.
    """
    gc.collect()
    gc.freeze()
