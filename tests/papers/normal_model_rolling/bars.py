"""Rolling, per reading: five starts of each stream, what adapting costs within a regime and gains across one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from detectors.normal_model.join import join_distances
from detectors.normal_model.model import build_normal_model
from streams.measures import window_measures
from tests.papers.normal_model_rolling.streams import LENGTH, POINTS, RECORDS, STARTS, Run, judged, stream

PAIRS = (
    ("mba_803", "mba_805"), ("mba_803", "mba_14046_21"), ("mba_805", "mba_803"), ("mba_805", "mba_14046_21"),
    ("mba_14046_21", "mba_803"), ("mba_14046_21", "mba_805"), ("mba_14046_13", "mba_805"), ("mba_803", "mba_14046_13"),
)  # fmt: skip
FIRST = 10_000  # readings of the model that is left alone
# mean P@k, mean distinct recall
BARS = {
    ("mba_803",): (0.98, 0.95),
    ("mba_805",): (0.96, 0.92),
    ("mba_803", "mba_805"): (0.90, 0.78),
    ("mba_803", "mba_14046_21"): (0.94, 0.76),
}


def runs(data: Path, parts: tuple[str, ...], starts: tuple[int, ...] = STARTS, points: int = POINTS) -> list[Run]:
    """One run a start, the first `points` points of each part."""
    values, label = stream(data, *((name, 0, points) for name in parts))
    return [judged(values[start:], label[start:]) for start in starts]


def row(parts: tuple[str, ...], found: list[Run], bars: dict[str, bool]) -> str:
    """A line of the table; the bar of these parts, if there is one, is noted."""
    precision, recall = [run.precision for run in found], [run.recall for run in found]
    told = [len(run.changes) for run in found]
    bar = BARS.get(parts)
    name = " then ".join(part.removeprefix("mba_") for part in parts)
    if bar is not None:
        bars[f"rolling {name}: P@k ≥ {bar[0]}, distinct recall ≥ {bar[1]}"] = np.mean(precision) >= bar[0] and np.mean(recall) >= bar[1]
    wanted = f"{bar[0]:.2f} / {bar[1]:.2f}" if bar else ""
    return (
        f"| {name} | {np.mean(precision):.3f} / {min(precision):.3f} | {np.mean(recall):.3f} / {min(recall):.3f} | {wanted} "
        f"| {' '.join(map(str, told))} |"
    )


def report(data: Path) -> tuple[list[str], dict[str, bool]]:
    """Singles and pairs: P@k and distinct recall, mean / minimum over five starts, and how many changes were told in each."""
    bars: dict[str, bool] = {}
    lines = ["| stream | P@k, mean / min | distinct recall | bar | changes told |", "|---|---|---|---|---|"]
    for name in RECORDS:
        found = runs(data, (name,))
        lines.append(row((name,), found, bars))
    for pair in PAIRS:
        found = runs(data, pair)
        lines.append(row(pair, found, bars))
        bars[f"one change told in every start of {' then '.join(pair)}"] = all(len(run.changes) == 1 for run in found)
    return lines, bars


def left_alone(data: Path) -> list[str]:
    """The same concatenations under a model of the first 10,000 readings that is never built again."""
    lines = ["| stream | P@k, mean / min | distinct recall |", "|---|---|---|"]
    for pair in PAIRS[:2]:
        values, label = stream(data, *((name, 0, POINTS) for name in pair))
        precision, recall = [], []
        for start in STARTS:
            series = values[start:]
            model = build_normal_model(series[:FIRST], length=LENGTH).best()
            score = np.concatenate([np.full(LENGTH - 1, np.nan), join_distances(series, model, LENGTH)])
            found = window_measures(score, label[start:], LENGTH, np.arange(len(series)) >= FIRST)
            precision.append(found["precision_at_k"])
            recall.append(found["distinct_recall"])
        lines.append(
            f"| {' then '.join(pair)} | {np.mean(precision):.3f} / {min(precision):.3f} | {np.mean(recall):.3f} / {min(recall):.3f} |"
        )
    return lines


def false_changes(data: Path) -> tuple[list[str], dict[str, bool]]:
    """Changes told on whole records of one patient each: none is wanted."""
    lines = ["| whole record | changes told, by start |", "|---|---|"]
    total = 0
    for name in RECORDS:
        values, label = stream(data, (name, 0, 10**9))
        told = [len(judged(values[start:], label[start:]).changes) for start in STARTS]
        total += sum(told)
        lines.append(f"| {name} | {' '.join(map(str, told))} |")
    return lines, {"no change told on twenty whole records": total == 0}


def there_and_back(data: Path, half: int = 50_000) -> tuple[list[str], dict[str, bool]]:
    """A, B, A, B: the second time each model is there already."""
    lines = ["| A | B | P@k | distinct recall | told at (true: 50,000, 100,000, 150,000) | taken back |", "|---|---|---|---|---|---|"]
    kept = True
    for one, other in (("mba_803", "mba_805"), ("mba_803", "mba_14046_21"), ("mba_805", "mba_14046_13"), ("mba_14046_21", "mba_803")):
        parts = ((one, 0, half), (other, 0, half), (one, half, 2 * half), (other, half, 2 * half))
        run = judged(*stream(data, *parts))
        back = [each["taken_back"] for each in run.evidence]
        kept &= back == [False, True, True]
        told = ", ".join(f"{each:,}" for each in run.changes)
        lines.append(
            f"| {one} | {other} | {run.precision:.3f} | {run.recall:.3f} | {told} | {', '.join('no yes'.split()[x] for x in back)} |"
        )
    return lines, {"A → B → A → B finds A and B again": kept}
