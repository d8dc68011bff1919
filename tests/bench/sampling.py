"""Where a process's CPU time goes: what each thread used is told by its clock, what the main thread used it for by looks at its stack.

A timer of CPU time interrupts the main thread between two lines of bytecode; a long call into C counts for the line that made it.
Other threads cannot be interrupted in Python, and seen from the main one they nearly always wait: each is one line.
"""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from functools import cache
from pathlib import Path
from types import FrameType

ROOT = str(Path(__file__).resolve().parents[2]) + "/"

INTERVAL = 0.003  # seconds of CPU time

# The first frame, from the innermost outward, whose file begins so names the work; ours from the repository's root, others' by package.
WORK = (
    ("tests/bench/contenders.py", "decoding JSON (the agent's line)"),
    ("streams/transport/chunk.py", "slicing values out of a chunk"),
    ("streams/transport/cutting.py", "cutting chunks"),
    ("streams/transport/record_batches.py", "record batches to columns (checksums, index)"),
    ("streams/transport/codecs.py", "inflating"),
    ("streams/transport/", "the transport's own lines"),
    ("streams/decoding/joined.py", "checking that values are whole objects, and joining them"),
    ("streams/records.py", "decoding and checking records"),
    ("streams/decoding/fields.py", "decoding and checking records"),
    ("streams/decoding/amounts.py", "decoding and checking records"),
    ("streams/decoding/times.py", "decoding and checking records"),
    ("streams/decoding/refusals.py", "decoding and checking records"),
    ("streams/decoding/careful.py", "decoding and checking records"),
    ("state/keys.py", "keys to slots"),
    ("state/", "state"),
    ("detectors/", "the detector"),
    ("streams/episodes.py", "episodes and alerts"),
    ("streams/alerts.py", "episodes and alerts"),
    ("streams/scores.py", "score records"),
    ("streams/agents/postings.py", "making postings"),
    ("streams/origins.py", "making postings"),
    ("streams/telemetry/metrics.py", "metrics"),
    ("prometheus_client/", "metrics"),
    ("streams/durable/checkpoints.py", "checkpoints"),
    ("streams/durable/store.py", "checkpoints"),
    ("streams/durable/member_store.py", "checkpoints"),
    ("streams/partition.py", "the fold's own lines"),
    ("streams/", "agents and the rest of ours"),
    ("aiokafka/", "aiokafka (protocol)"),
    ("faust/", "Faust"),
    ("mode/", "Faust"),
    ("asyncio/", "the event loop (and reading sockets)"),
    ("tests/bench/", "the benchmark itself"),
)
MAIN = "main"
WAITING = ("selectors.py", "threading.py", "queue.py")


class Sampler:
    """Looks whenever the process has used up another interval of CPU time. Started in the main thread."""

    def __init__(self) -> None:
        self._clocks: dict[int, float] = {}
        self._used: Counter[str] = Counter()
        self._seen: Counter[str] = Counter()

    def start(self) -> None:
        """Begin (again) with nothing seen."""
        self._look(0, None)
        self._used.clear()
        self._seen.clear()
        signal.signal(signal.SIGPROF, self._look)
        signal.setitimer(signal.ITIMER_PROF, INTERVAL, INTERVAL)

    def stop(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0.0)

    def _look(self, number: int, frame: FrameType | None) -> None:
        spent: Counter[str] = Counter()
        for thread in threading.enumerate():
            if thread.ident is None:
                continue
            try:
                now = time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
            except OSError:
                continue  # it has ended
            spent[_role(thread)] += now - self._clocks.get(thread.ident, now)
            self._clocks[thread.ident] = now
        self._used += spent
        if 2 * spent[MAIN] > spent.total():  # else the main thread is seen where it waits for another
            self._seen[work_of(frame)] += 1

    def shares(self) -> dict[str, float]:
        """Each kind of work's share of the CPU time, largest first."""
        whole, looks = self._used.total() or 1.0, self._seen.total() or 1
        shares = {thread: used / whole for thread, used in self._used.items() if thread != MAIN}
        shares |= {work: self._used[MAIN] / whole * seen / looks for work, seen in self._seen.items()}
        return dict(sorted(shares.items(), key=lambda share: -share[1]))


def _role(thread: threading.Thread) -> str:
    """A thread by what it does."""
    if thread is threading.main_thread():
        return MAIN
    if thread.name.startswith("build"):
        return "models built beside the flow (own threads)"
    return "the consumer's thread: sockets, protocol, record batches to columns"


def work_of(frame: FrameType | None) -> str:
    """The kind of work that a stack is at."""
    if frame is not None and frame.f_code.co_filename.endswith(WAITING):
        return "waiting (select, locks)"
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
