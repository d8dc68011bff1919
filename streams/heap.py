"""What is freed goes back to the system: glibc keeps it otherwise, and a worker that lives for months holds what its busiest moment held.

A worker's heap is mostly what comes and goes: fetched batches, columns of a fold, copies of a state on their way to a checkpoint. Of
690 MiB that one had asked for under load, 495 were free a quarter of an hour later, in holes between what lived. So, where libc is
glibc: few arenas (each thread's own would keep holes of its own), what is large in mappings of its own, which leave when they are
freed, and all free pages handed back every ten seconds. Any other libc is left alone.
"""

from __future__ import annotations

import asyncio
import ctypes
import sys

M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8  # of glibc's malloc.h
ARENAS = 2  # the event loop's and one for all threads beside it
LARGE = 4 << 20  # bytes; glibc would raise it to 32 MiB by and by
BETWEEN = 10.0  # seconds: 40 MB go in 8 ms, and a larger heap is never far from what lives


def _glibc() -> ctypes.CDLL | None:
    """The C library of this process, if it has what we want of it."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") and hasattr(libc, "gnu_get_libc_version") else None


def keep_small() -> bool:
    """Set the allocator up, before threads are started; whether it could be."""
    libc = _glibc()
    return libc is not None and bool(libc.mallopt(M_ARENA_MAX, ARENAS)) and bool(libc.mallopt(M_MMAP_THRESHOLD, LARGE))


def give_back() -> bool:
    """Hand all free pages back, without the interpreter's lock; whether there were any. Takes some milliseconds: for a thread."""
    libc = _glibc()
    return libc is not None and bool(libc.malloc_trim(0))


async def keep_giving_back(seconds: float = BETWEEN) -> None:
    """For ever."""
    while True:
        await asyncio.sleep(seconds)
        await asyncio.to_thread(give_back)
