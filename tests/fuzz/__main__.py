"""`python -m tests.fuzz --minutes 60`: every decoder fed with damaged inputs, a round of all of them after another, in one process.

It ends with exit code 1 where anything but a decoder's own refusal was raised, where memory grew from a fifth of the time to its end, or
where one input took more than a minute: then the stacks are printed, and `NAME.current` in the folder holds the input.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.fuzz.campaign import feed, resident
from tests.fuzz.targets import all_targets

TURN = 5.0  # s of one target, before the next has its turn
GROWTH = 32 << 20  # bytes that may come and go


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--out", type=Path, default=Path("out/fuzz"), help="where findings are written")
    parser.add_argument("--only", nargs="*", default=None, help="names of decoders")
    told = parser.parse_args()
    told.out.mkdir(parents=True, exist_ok=True)
    targets = [target for target in all_targets() if told.only is None or target.name in told.only]
    if not targets:
        parser.error(f"--only: wanted some of {', '.join(target.name for target in all_targets())}")
    began, end = time.monotonic(), time.monotonic() + 60 * told.minutes
    turn = min(TURN, 60 * told.minutes / len(targets) / 5)
    inputs = dict.fromkeys([target.name for target in targets], 0)
    slowest = dict.fromkeys(inputs, 0.0)
    found: set[str] = set()
    warm = lap = 0
    while time.monotonic() < end:
        for target in targets:
            until = min(end, time.monotonic() + turn)
            result = feed(target, told.seed + lap, lambda _, until=until: time.monotonic() < until, told.out / f"{target.name}.current")
            inputs[target.name] += result.inputs
            slowest[target.name] = max(slowest[target.name], result.slowest)
            for where, (data, words, _) in result.findings.items():
                if f"{target.name}: {where}" not in found:
                    found.add(f"{target.name}: {where}")
                    (told.out / f"{target.name}.{len(found)}.input").write_bytes(data)
                    print(f"{target.name}: {where}\n{words}", flush=True)
        lap += 1
        if not warm and time.monotonic() - began > 12 * told.minutes:
            warm = resident()
    grown = resident() - (warm or resident())
    for name, many in inputs.items():
        print(f"{name:18} {many:>12,} inputs, the slowest {slowest[name]:.3f} s")
    minutes, many = (time.monotonic() - began) / 60, sum(inputs.values())
    print(f"{many:,} inputs in {minutes:.1f} min, seed {told.seed}: {len(found)} findings, memory {grown / 2**20:+.1f} MiB")
    return 1 if found or grown > GROWTH else 0


if __name__ == "__main__":
    sys.exit(main())
