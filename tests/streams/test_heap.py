"""Freed memory goes back to the system."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from streams import heap

SIEVE = """
from pathlib import Path
from streams import heap

def resident():
    return 4096 * int(Path("/proc/self/statm").read_text().split()[1])

assert heap.keep_small()
held = [bytes(2_000) for _ in range(40_000)]
full = resident()
kept = held[::40]
del held
holes = resident()
heap.give_back()
print(full, holes, resident())
"""


@pytest.mark.skipif(heap._glibc() is None, reason="this C library is not glibc, whose holes these are")
def test_holes_between_what_lives_are_given_back() -> None:
    said = subprocess.run([sys.executable, "-c", SIEVE], capture_output=True, text=True, check=True).stdout
    full, holes, left = map(int, said.split())
    assert holes > full - 40e6, "the C library gives back by itself: nothing of this is needed any more"
    assert left < full - 50e6


def test_other_libraries_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap, "_glibc", lambda: None)
    assert not heap.keep_small()
    assert not heap.give_back()


def test_it_goes_on_giving_back(monkeypatch: pytest.MonkeyPatch) -> None:
    async def three_times() -> list[bool]:
        times, loop = asyncio.Queue[bool](), asyncio.get_running_loop()
        monkeypatch.setattr(heap, "give_back", lambda: loop.call_soon_threadsafe(times.put_nowait, True))
        task = asyncio.ensure_future(heap.keep_giving_back(0.0))
        async with asyncio.timeout(60.0):
            found = [await times.get() for _ in range(3)]
        task.cancel()
        return found

    assert asyncio.run(three_times()) == [True] * 3
