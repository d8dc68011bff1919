"""Measures of the distances of a series, and tables of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from detectors.normal_model import point_scores
from streams.measures import average_precision, roc_auc, window_measures
from tests.papers.normal_model.series import Series

Floats = NDArray[np.float64]


def judged(series: Series, distances: Floats) -> dict[str, float]:
    """P@k and distinct recall (greedy, none of the k windows overlapping), AUC-ROC and AUC-PR per point, k = the label segments."""
    ends = np.concatenate([np.full(series.length - 1, np.nan), distances])
    windows = window_measures(ends, series.label, series.length, np.ones(len(series.label), np.bool_))
    points = point_scores(distances, series.length)
    return {
        "P@k": windows["precision_at_k"],
        "recall": windows["distinct_recall"],
        "ROC": roc_auc(points, series.label) or 0.0,
        "PR": average_precision(points, series.label) or 0.0,
    }


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table, a line a row."""
    return ["| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *rows)]


def short(x: float) -> str:
    """.993, as the papers print it."""
    return f"{x:.3f}".replace("0.", ".", 1) if 0 <= x < 1 else f"{x:.3f}"


def mean_and_least(found: Sequence[float]) -> str:
    """The mean over seeds, and the least in brackets where there are several."""
    return short(float(np.mean(found))) + (f" ({short(min(found))})" if len(found) > 1 else "")
