"""Where a process's time goes: a thread looks at the others' stacks now and then, and their CPU clocks say how much each look weighs.

A look needs the interpreter's lock, so long calls into C are seen where they were made, at their line of Python.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FrameType

ROOT = str(Path(__file__).resolve().parents[2]) + "/"

INTERVAL = 0.0037  # seconds; no multiple of anything

# The first frame, from the innermost outward, whose file begins so names the work; ours from the repository's root, others' by package.
WORK = (
    ("tests/bench/contenders.py", "decoding JSON (the agent's line)"),
    ("streams/transport/chunk.py", "slicing values out of a chunk"),
    ("streams/transport/cutting.py", "cutting chunks"),
    ("streams/transport/record_batches.py", "record batches to columns (checksums, index)"),
    ("streams/transport/codecs.py", "inflating"),
    ("streams/transport/", "the transport's own lines"),
    ("streams/records.py", "decoding and checking records"),
    ("streams/fields.py", "decoding and checking records"),
    ("streams/amounts.py", "decoding and checking records"),
    ("streams/times.py", "decoding and checking records"),
    ("streams/refusals.py", "decoding and checking records"),
    ("streams/careful.py", "decoding and checking records"),
    ("state/keys.py", "keys to slots"),
    ("state/", "state"),
    ("detectors/", "the detector"),
    ("streams/episodes.py", "episodes and alerts"),
    ("streams/alerts.py", "episodes and alerts"),
    ("streams/scores.py", "score records"),
    ("streams/metrics.py", "metrics"),
    ("prometheus_client/", "metrics"),
    ("streams/checkpoints.py", "checkpoints"),
    ("streams/store.py", "checkpoints"),
    ("streams/member_store.py", "checkpoints"),
    ("streams/partition.py", "the fold's own lines"),
    ("streams/", "agents and the rest of ours"),
    ("aiokafka/", "aiokafka (sockets, protocol)"),
    ("faust/", "Faust"),
    ("mode/", "Faust"),
    ("asyncio/", "the event loop"),
    ("tests/bench/", "the benchmark itself"),
)
WAITING = ("selectors.py", "threading.py", "concurrent/futures/thread.py", "queue.py")


class Sampler(threading.Thread):
    """Samples until the process ends."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._when: Callable[[], bool] = lambda: True
        self._weights: Counter[str] = Counter()

    def start(self, when: Callable[[], bool] = lambda: True) -> None:  # type: ignore[override]
        """Begin, as soon as `when` holds."""
        self._when = when
        super().start()

    def run(self) -> None:
        while not self._when():
            time.sleep(INTERVAL)
        clocks: dict[int, float] = {}
        while True:
            time.sleep(INTERVAL)
            frames = sys._current_frames()
            for thread in threading.enumerate():
                if thread is self or thread.ident not in frames or thread.ident is None:
                    continue
                try:
                    now = time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
                except OSError:
                    continue  # it has ended
                spent = now - clocks.get(thread.ident, now)
                clocks[thread.ident] = now
                if spent:
                    self._weights[work_of(frames[thread.ident])] += spent

    def shares(self) -> dict[str, float]:
        """Each kind of work's share of the CPU time that was seen, largest first."""
        weights = self._weights.copy()
        whole = sum(weights.values()) or 1.0
        return {work: weight / whole for work, weight in weights.most_common()}


def work_of(frame: FrameType | None) -> str:
    """The kind of work that a stack is at."""
    if frame is not None and frame.f_code.co_filename.endswith(WAITING):
        return "sockets and waiting"
    while frame is not None:
        work = _work_in(frame.f_code.co_filename)
        if work is not None:
            return work
        frame = frame.f_back
    return "other"


@cache
def _work_in(file: str) -> str | None:
    place = file.removeprefix(ROOT).rpartition("site-packages/")[2] if "site-packages/" in file else file.removeprefix(ROOT)
    place = "asyncio/" if "/asyncio/" in place else place
    return next((work for beginning, work in WORK if place.startswith(beginning)), None)
