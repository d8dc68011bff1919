"""The field's measures of a labelled run, each from scores and labels alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def roc_auc(score: Floats, label: Bools) -> float | None:
    """Area under the ROC curve: the chance that a random positive outranks a random negative, ties counted half.

    None where one of the classes is missing.
    """
    positives = int(label.sum())
    negatives = len(label) - positives
    if not positives or not negatives:
        return None
    order = np.argsort(score, kind="stable")
    ordered = score[order]
    first = np.searchsorted(ordered, score, side="left")
    last = np.searchsorted(ordered, score, side="right")
    rank = (first + last + 1) / 2.0  # mean rank of a tie, counted from 1
    return float((rank[label].sum() - positives * (positives + 1) / 2.0) / (positives * negatives))


def average_precision(score: Floats, label: Bools) -> float | None:
    """Mean over recall of the precision at each distinct threshold (no interpolation); None without positives."""
    positives = int(label.sum())
    if not positives:
        return None
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(label[order])
    ends = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    precision = hits[ends] / (ends + 1.0)
    recall = hits[ends] / positives
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def segments(label: Bools) -> NDArray[np.int64]:
    """Begin and end (exclusive) of each run of labelled points, shape (runs, 2)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], label, [False]]).astype(np.int8)))
    return edges.reshape(-1, 2)


def top_windows(score: Floats, length: int, k: int) -> NDArray[np.int64]:
    """Ends of the k highest-scoring windows, none within `length` of a higher one (greedy); score[i] is of the window that ends at i."""
    left = np.where(np.isnan(score), -np.inf, score)
    chosen: list[int] = []
    for place in np.argsort(-left, kind="stable").tolist():
        if len(chosen) == k or left[place] == -np.inf:
            break
        if all(abs(place - other) >= length for other in chosen):
            chosen.append(place)
    return np.array(chosen, np.int64)


def window_measures(score: Floats, label: Bools, length: int, ready: Bools) -> dict[str, Any]:
    """NorM's precision at k, and the share of anomalies found.

    k is the number of labelled segments that begin where the stream is ready; a window hits if it overlaps a labelled point.
    `distinct_recall` counts each anomaly once, which precision at k does not.
    """
    runs = segments(label)
    runs = runs[ready[runs[:, 0]]] if len(runs) else runs
    k = len(runs)
    if not k:
        return {"precision_at_k": None, "distinct_recall": None, "k": 0}
    ends = top_windows(np.where(ready, score, np.nan), length, k)
    covered = np.concatenate([[0], np.cumsum(label)])
    hits = covered[ends + 1] - covered[np.maximum(ends + 1 - length, 0)] > 0
    found = [bool(((ends >= begin) & (ends - length + 1 < end)).any()) for begin, end in runs.tolist()]
    return {"precision_at_k": float(hits.sum() / k), "distinct_recall": float(np.mean(found)), "k": k}


def card_precision(score: Floats, label: Bools, card: NDArray[Any], day: NDArray[np.int64], top: int = 100) -> float | None:
    """Card precision at `top` (the handbook's CP@100), averaged over days.

    Each day the `top` cards by their highest score are looked at; a card caught on an earlier day is out.
    """
    caught: set[Any] = set()
    daily: list[float] = []
    for today in np.unique(day).tolist():
        rows = np.flatnonzero(day == today)
        best: dict[Any, float] = {}
        bad: set[Any] = set()
        for row in rows.tolist():
            name = card[row]
            if name in caught:
                continue
            best[name] = max(best.get(name, -np.inf), float(score[row]))
            if label[row]:
                bad.add(name)
        ranked = sorted(best, key=lambda name: (-best[name], name))[:top]
        found = [name for name in ranked if name in bad]
        daily.append(len(found) / top)
        caught.update(found)
    return float(np.mean(daily)) if daily else None


def weighted_cost(alert: Bools, label: Bools) -> float | None:
    """Eq. (6) of the aggregation paper on balanced classes: (1 + FPR + 99 · miss rate) / 101; its floor is 1/101."""
    if not label.any() or label.all():
        return None
    miss = 1.0 - float(alert[label].mean())
    false = float(alert[~label].mean())
    return (1.0 + false + 99.0 * miss) / 101.0
