"""One target, fed for a while: what it raised, how long an input took at most, what memory it left behind."""

from __future__ import annotations

import faulthandler
import gc
import mmap
import random
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.mutations import mutated
from tests.fuzz.targets import Target

HANGS = 60.0  # s for one input, however busy the machine is: after that the process ends with every thread's stack
LARGEST = 1 << 16  # bytes of an input that are kept beside a run
PAGE = mmap.PAGESIZE


@dataclass
class Result:
    """What came of a target; findings by where they were raised: the first input, its traceback, how often."""

    inputs: int = 0
    slowest: float = 0.0
    findings: dict[str, tuple[bytes, str, int]] = field(default_factory=dict)
    resident: list[int] = field(default_factory=list)  # bytes, at a fifth of the time and at the end


def feed(target: Target, seed: int, goes_on: Callable[[int], bool], keep: Path | None = None) -> Result:
    """Feed the seeds, then mutations of them while `goes_on(inputs)`; `keep` always holds the input that is being looked at."""
    result, chance = Result(), random.Random(seed)
    for sound in target.seeds:
        target.feed(sound)
    slot = None
    if keep is not None:
        keep.write_bytes(bytes(LARGEST))
        with keep.open("r+b") as file:
            slot = mmap.mmap(file.fileno(), LARGEST)
    while goes_on(result.inputs):
        data = mutated(chance, target.seeds)
        if slot is not None:
            slot[: 8 + len(data)] = len(data).to_bytes(8, "little") + data
        faulthandler.dump_traceback_later(HANGS, exit=True)
        started = time.perf_counter()
        try:
            target.feed(data)
        except Exception as problem:
            place = traceback.extract_tb(problem.__traceback__)[-1]
            where = f"{type(problem).__name__} at {Path(place.filename).name}:{place.lineno}"
            first, words, often = result.findings.get(where, (data, traceback.format_exc(), 0))
            result.findings[where] = (first, words, often + 1)
        finally:
            faulthandler.cancel_dump_traceback_later()
        result.slowest = max(result.slowest, time.perf_counter() - started)
        result.inputs += 1
    return result


def resident() -> int:
    """Bytes that this process holds in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE
