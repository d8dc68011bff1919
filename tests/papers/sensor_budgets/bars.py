"""What a budget keeps on whole records, and what it finds; the same for a control that alarms at random."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.stats import binom

from tests.papers.normal_model_rolling.streams import STARTS
from tests.papers.sensor_budgets.records import LEVEL, RECORDS, Run, runs

RATIO = (0.7, 1.4)  # of the target, a record
RECALL = 0.9  # of the labelled segments of 803 and 805


def together(found: Sequence[Run]) -> tuple[int, int]:
    """Alarmed clean blocks, and all clean blocks, of these runs."""
    return sum(int(run.clean.sum()) for run in found), sum(len(run.clean) for run in found)


def within(alarmed: int, blocks: int) -> bool:
    """Whether so many of so many blocks lie in the binomial 99 % interval of the target."""
    low, high = binom.interval(0.99, blocks, LEVEL)
    return bool(low <= alarmed <= high)


def table(data: Path, starts: tuple[int, ...] = STARTS, at_random: bool = False) -> tuple[list[str], dict[str, bool]]:
    """A line a record, and the bars."""
    lines = [
        "| record | clean blocks | alarmed | of the target | by start, % | recall, mean / min | false episodes per 100,000 readings |",
        "|---|---|---|---|---|---|---|",
    ]
    held: dict[str, bool] = {}
    alarmed = blocks = 0
    for name in RECORDS:
        found = runs(data, name, starts, at_random)
        hits, clean = together(found)
        alarmed, blocks = alarmed + hits, blocks + clean
        ratio, recall = hits / clean / LEVEL, [run.recall for run in found]
        episodes = 1e5 * sum(run.false_episodes for run in found) / sum(run.readings for run in found)
        by_start = " ".join(f"{100 * run.rate:.1f}" for run in found)
        short = name.removeprefix("mba_")
        lines.append(
            f"| {short} | {clean:,} | {100 * hits / clean:.2f} % | {ratio:.2f} × | {by_start} | {np.mean(recall):.3f} / {min(recall):.3f} "
            f"| {episodes:.1f} |"
        )
        held[f"{short}: .7–1.4 × the target"] = RATIO[0] <= ratio <= RATIO[1]
        if name != "mba_14046_21":
            held[f"{short}: distinct recall ≥ .9 in every start"] = min(recall) >= RECALL
    low, high = binom.interval(0.99, blocks, LEVEL)
    lines.append(f"| all | {blocks:,} | {100 * alarmed / blocks:.2f} % | {alarmed / blocks / LEVEL:.2f} × | | | |")
    lines += ["", f"99 % of binomial draws: {100 * low / blocks:.2f} to {100 * high / blocks:.2f} %."]
    held["all blocks: within the binomial 99 % interval"] = within(alarmed, blocks)
    return lines, held


def control(data: Path, starts: tuple[int, ...] = STARTS) -> tuple[list[str], dict[str, bool]]:
    """Alarms at random at the right rate must miss a bar."""
    lines, held = table(data, starts, at_random=True)
    missed = [bar for bar, kept in held.items() if not kept]
    return [*lines, "", "It misses: " + "; ".join(missed) + "."], {"the control misses a bar": bool(missed)}


def unconfirmed(data: Path, starts: tuple[int, ...] = STARTS) -> list[str]:
    """`promise = "alerts"`: nobody says anything, and everything is admitted."""
    lines = ["| record | all blocks alarmed | distinct recall, mean / min |", "|---|---|---|"]
    for name in RECORDS:
        found = runs(data, name, starts, promise="alerts")
        recall = [run.recall for run in found]
        rate = np.mean([run.alerts for run in found])
        lines.append(f"| {name.removeprefix('mba_')} | {100 * rate:.2f} % | {np.mean(recall):.3f} / {min(recall):.3f} |")
    return lines
