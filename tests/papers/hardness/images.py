"""Images: one class normal, all others anomalies; a straight line over hardness, as in the authors' public code.

About a thousand normal images (Fashion-900: 360) are too few for the stream's four bins of five hundred behind a model's fit, so the
bars are held by the library on arrays. Half of the normals fit the model, and the curves by errors out of ten folds; a quarter
calibrates, a quarter is judged with all anomalies. Beside it the stream's detector (`conditional`, exact epoch), warmed up on the same
errors.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np

from detectors.hardness.cadet import Cadet
from detectors.hardness.conformal import conformal_threshold
from tests.papers.hardness import data
from tests.papers.hardness.base_models import Fitter, held_out_errors, pca
from tests.papers.hardness.streaming import folded

EPSILON = 0.05
FOLDS = 10
SEEDS = range(10)
LINE = 2  # knots
GAIN = {"MNIST-8": 0.03, "MNIST-3": 0.005, "Fashion-900": 0.01}
CONTROL = "chance"
Measured = dict[str, float]


def judged(score: np.ndarray, hardness: np.ndarray, calibration: np.ndarray, test: np.ndarray, anomalies: np.ndarray) -> Measured:
    """AUC, correlation of score and hardness among the normals judged, alerts in per cent: false, found, by quartile of hardness."""
    threshold = conformal_threshold(np.sort(score[calibration]), EPSILON)
    both = np.concatenate([test, anomalies])
    quartile = np.searchsorted(np.quantile(hardness[test], [0.25, 0.5, 0.75]), hardness[test])
    alert = 100.0 * (score[test] > threshold)
    return {
        "auc": data.auc(score[both], np.arange(len(both)) >= len(test)),
        "correlation": float(np.corrcoef(hardness[test], score[test])[0, 1]),
        "found": float(100.0 * (score[anomalies] > threshold).mean()),
        **{f"q{k}": float(alert[quartile == k].mean()) for k in range(4)},
    }


def once(samples: data.Samples, seed: int, fitter: Fitter = pca) -> dict[str, Measured]:
    """One split of the normals: the raw error, what calibration makes of it, and a control that scores at random."""
    rng = np.random.default_rng(seed)
    normal = rng.permutation(np.flatnonzero(~samples.anomalous))
    fit, calibration, test = np.split(normal, [len(normal) // 2, 3 * len(normal) // 4])
    anomalies = np.flatnonzero(samples.anomalous)
    hardness, error = samples.hardness(fit), fitter(samples.rows[fit])(samples.rows)
    held_out = held_out_errors(fitter, samples.rows[fit], FOLDS if fitter is pca else 3, rng)
    scores = {"error": error, CONTROL: rng.random(len(error))}
    scores["calibrated"] = Cadet(knots=LINE).fit(held_out, hardness[fit]).score(error, hardness)
    first = len(fit)
    stream = folded(
        np.concatenate([held_out, error]), np.concatenate([hardness[fit], hardness]),
        epsilon=EPSILON, guarantee="exact", warm_up=first, hand_over_lag=0, hand_over_spread=1,
    )  # fmt: skip
    scores["stream, exact epoch"] = stream.calibrated[first:]
    return {name: judged(score, hardness, calibration, test, anomalies) for name, score in scores.items()}


def means(samples: data.Samples, fitter: Fitter = pca, seeds: range = SEEDS) -> dict[str, Measured]:
    """Means over the seeds."""
    found: dict[str, list[Measured]] = defaultdict(list)
    for seed in seeds:
        for name, measured in once(samples, seed, fitter).items():
            found[name].append(measured)
    return {name: {key: float(np.mean([one[key] for one in several])) for key in several[0]} for name, several in found.items()}


def bars(name: str, found: dict[str, Measured], of: str = "calibrated") -> dict[str, bool]:
    """The bars of one set; the raw error's own figures are part of them where they say that there is something to mend."""
    raw, here = found["error"], found[of]
    held = {
        f"{name}: AUC gains ≥ {GAIN[name]:g}": here["auc"] - raw["auc"] >= GAIN[name],
        f"{name}: correlation of hardness and score ≤ .25, raw ≥ .4": abs(here["correlation"]) <= 0.25 and raw["correlation"] >= 0.4,
    }
    if name != "MNIST-3":
        held[f"{name}: false alarms of the hardest quartile ≤ 9 %"] = here["q3"] <= 9.0
    return held


HEADER = [
    "| data | score | AUC | correlation with hardness | false alarms % by quartile of hardness | found % |",
    "|---|---|---|---|---|---|",
]


def line(name: str, score: str, found: Measured) -> str:
    quarters = " / ".join(f"{found[f'q{k}']:.0f}" if found[f"q{k}"] < 9.95 else f"{found[f'q{k}']:.1f}" for k in range(4))
    return f"| {name} | {score} | {found['auc']:.3f} | {found['correlation']:.2f} | {quarters} | {found['found']:.0f} |"


def report(place: Path, seeds: range = SEEDS) -> tuple[list[str], dict[str, bool]]:
    """PCA's errors of the three sets."""
    lines, held, chance = list(HEADER), {}, True
    for name in data.IMAGES:
        found = means(data.images(place, name), seeds=seeds)
        lines += [line(name, score, measured) for score, measured in found.items()]
        held.update(bars(name, found))
        chance = chance and not all(bars(name, found, CONTROL).values())
    premise = "The hardest quartile bears, with the bare error, a little less than the 13 % that were expected of MNIST-8 and Fashion-900."
    return [*lines, "", f"Means over {len(seeds)} splits. {premise}"], held | {"images: chance fails": chance}
