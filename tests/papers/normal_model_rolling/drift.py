"""River's drift detectors beside Page's test on far readings: on the same distances, to a model of the first 10,000 readings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.normal_model.join import join_distances
from detectors.normal_model.model import build_normal_model
from detectors.normal_model.regimes import DECIDED, far_line, page_step
from tests.papers.normal_model_rolling.streams import LENGTH, POINTS, RECORDS, stream

FIRST = 10_000
EVERY = 75  # river's detectors want independent values: one distance a subsequence


def page_changes(distances: NDArray[np.float64], usual: float) -> list[int]:
    """Where Page's sum reaches its line; it begins anew."""
    line, total, told = far_line(usual, LENGTH), 0, []
    for place, distance in enumerate(distances.tolist()):
        total = page_step(total, distance > line)
        if total >= DECIDED * 3 * LENGTH:
            told.append(place)
            total = 0
    return told


def river_changes(make: Callable[[], Any], distances: NDArray[np.float64]) -> list[int]:
    """Where a detector of river's says that the distances have drifted."""
    detector, told = make(), []
    for place in range(0, len(distances), EVERY):
        detector.update(float(distances[place]))
        if detector.drift_detected:
            told.append(place)
    return told


def report(data: Path) -> list[str]:
    """Changes said on the records (false) and, on two concatenations, before the change (false) and the delay after it."""
    from river import drift

    tests: dict[str, Callable[[NDArray[np.float64], float], list[int]]] = {
        "Page, far readings": page_changes,
        "ADWIN": lambda distances, _: river_changes(drift.ADWIN, distances),
        "Page–Hinkley": lambda distances, _: river_changes(drift.PageHinkley, distances),
    }
    streams = [((name, 0, POINTS),) for name in RECORDS]
    streams += [(("mba_803", 0, POINTS), (other, 0, POINTS)) for other in ("mba_805", "mba_14046_21")]
    lines = ["| stream | " + " | ".join(tests) + " |", "|---|" + "---|" * len(tests)]
    for parts in streams:
        values, _ = stream(data, *parts)
        distances = join_distances(values, build_normal_model(values[:FIRST], length=LENGTH).best(), LENGTH)
        usual, distances = float(np.median(distances[:FIRST])), distances[FIRST:]
        cells = []
        for test in tests.values():
            told = np.array(test(distances, usual), np.int64)
            if len(parts) == 1:
                cells.append(f"{len(told)} false")
            else:
                at = POINTS - FIRST
                after = told[told >= at]
                cells.append(
                    f"{(told < at).sum()} false, found after {after[0] - at:,}" if len(after) else f"{(told < at).sum()} false, missed"
                )
        lines.append(f"| {' then '.join(name for name, _, _ in parts)} | " + " | ".join(cells) + " |")
    return lines
