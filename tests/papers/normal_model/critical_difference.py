"""The critical-difference figure: mean ranks of the methods over the series, and which differ (Friedman, Nemenyi; Demšar, JMLR 2006)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import friedmanchisquare, rankdata, studentized_range

LEVEL = 0.05


def mean_ranks(found: Mapping[str, Mapping[str, float]]) -> tuple[list[str], NDArray[np.float64], float, float]:
    """Return the methods by mean rank (1 the best), the ranks, Friedman's p-value and the critical difference at 5 %.

    Parameters
    ----------
    found
        Per series and method a measure, the larger the better.

    Notes
    -----
    CD = q_α / √2 · √(k (k + 1) / 6N), q_α of the studentised range for k methods, N series.
    """
    methods = list(next(iter(found.values())))
    table = np.array([[row[name] for name in methods] for row in found.values()])
    ranks = np.array([rankdata(-row) for row in table]).mean(axis=0)
    n, k = table.shape
    difference = studentized_range.ppf(1 - LEVEL, k, np.inf) / np.sqrt(2) * np.sqrt(k * (k + 1) / (6 * n))
    order = np.argsort(ranks, kind="stable")
    return [methods[i] for i in order], ranks[order], float(friedmanchisquare(*table.T).pvalue), float(difference)


def draw(found: Mapping[str, Mapping[str, float]], file: Path) -> None:
    """Write the figure as a small PNG: an axis of ranks, a line under methods that cannot be told apart."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    methods, ranks, _, difference = mean_ranks(found)
    figure, axis = plt.subplots(figsize=(6, 2.6), dpi=80)
    axis.set(xlim=(len(methods) + 0.5, 0.5), ylim=(-len(methods) - 2.5, 1.5), yticks=[])
    axis.xaxis.tick_top()
    for name in ("left", "right", "bottom"):
        axis.spines[name].set_visible(False)
    for i, (method, rank) in enumerate(zip(methods, ranks, strict=True)):
        axis.plot([rank, rank], [1.5, -i - 1.6], color="black", linewidth=0.7)
        axis.text(rank, -i - 1.6, f" {method} {rank:.2f}", ha="left", va="center", fontsize=8)
    axis.plot([len(methods) + 0.4, len(methods) + 0.4 - difference], [1.0, 1.0], color="tab:red", linewidth=2)
    axis.text(len(methods) + 0.4, 0.2, f"CD {difference:.2f}", fontsize=8, color="tab:red", va="center")
    level, reached = 0.4, -np.inf
    for i, rank in enumerate(ranks):
        last = ranks[ranks <= rank + difference][-1]
        if last > reached and last > rank and i < len(ranks) - 1:
            axis.plot([rank - 0.05, last + 0.05], [level, level], color="tab:blue", linewidth=3)
            level, reached = level - 0.35, last
    figure.savefig(file, bbox_inches="tight")
    plt.close(figure)


def report(found: Mapping[str, Mapping[str, float]]) -> list[str]:
    methods, ranks, p, difference = mean_ranks(found)
    return [
        f"Mean ranks by P@k over {len(found)} series of the accuracy table: "
        + ", ".join(f"{method} {rank:.2f}" for method, rank in zip(methods, ranks, strict=True)) + ".",
        f"Friedman p = {p:.2g}; critical difference at 5 % (Nemenyi) {difference:.2f}.", "",
        "![critical differences](critical_difference.png)",
    ]  # fmt: skip
