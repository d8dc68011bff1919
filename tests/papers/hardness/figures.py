"""Figures after the paper's 1, 3 and 5 on free data: an error that grows with hardness, what calibration makes of it, balance."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from detectors.hardness.cadet import Cadet
from tests.papers.hardness import data, images, offline
from tests.papers.hardness.base_models import pca

DOTS = 110  # an inch
SET = "MNIST-3"


def draw(place: Path, folder: Path) -> list[Path]:
    """Draw three small PNGs into a folder, which is made where there is none; return their paths."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    samples, (fit, curve, _, test), anomalies = offline.split(data.images(place, SET), 0)
    error, hardness = pca(samples.rows[fit])(samples.rows), samples.hardness(fit)
    cadet = Cadet(knots=images.LINE).fit(error[curve], hardness[curve])
    some = np.random.default_rng(0).permutation(anomalies)[: len(test)]
    paths = [folder / name for name in ("error_and_hardness.png", "score_and_hardness.png", "false_alarms.png")]

    for path, values, label in (
        (paths[0], error, "reconstruction error"),
        (paths[1], cadet.score(error, hardness), "calibrated score"),
    ):
        figure, axes = pyplot.subplots(figsize=(5, 3.4))
        axes.scatter(hardness[some], values[some], s=8, c="tab:red", label="anomalies", linewidths=0)
        axes.scatter(hardness[test], values[test], s=8, c="tab:blue", label="normals", linewidths=0)
        if path is paths[0]:
            grid = np.linspace(hardness[test].min(), hardness[test].max(), 100)
            for quantile, style in zip(cadet.curves.at(grid).T, (":", "--", ":", "-"), strict=True):
                axes.plot(grid, quantile, style, c="black", linewidth=1)
        axes.set(xlabel="hardness", ylabel=label, title=f"{SET}, PCA")
        axes.legend(frameon=False)
        figure.savefig(path, dpi=DOTS, bbox_inches="tight")
        pyplot.close(figure)

    figure, every = pyplot.subplots(1, len(data.IMAGES), figsize=(8, 2.6), sharey=True)
    for axes, name in zip(every, data.IMAGES, strict=True):
        found = images.means(data.images(place, name), seeds=range(3))
        for shift, score in ((-0.2, "error"), (0.2, "calibrated")):
            axes.bar(np.arange(1, 5) + shift, [found[score][f"q{k}"] for k in range(4)], 0.4, label=score)
        axes.axhline(100 * images.EPSILON, color="black", linewidth=0.8)
        axes.set(title=name, xlabel="quartile of hardness", xticks=range(1, 5))
    every[0].set_ylabel("false alarms, %")
    every[0].legend(frameon=False)
    figure.savefig(paths[2], dpi=DOTS, bbox_inches="tight")
    pyplot.close(figure)
    return paths
