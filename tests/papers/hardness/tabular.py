"""Tables of ADBench as streams: `joint`, with everything admitted, and a null model that learns as it goes.

40 % of the normal rows fit the base model (columns standardised; as many components as hold 90 % of the variance) and start the null
model. The others come in a random order: first the normal rows of the warm-up, then the rest with all anomalies among them. What is
judged is compared by 1 − p with the bare error on the same rows.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from detectors.hardness.cadet import Cadet
from detectors.hardness.moving_null import MovingMoments
from tests.papers.hardness import data
from tests.papers.hardness.base_models import pca_of_a_table
from tests.papers.hardness.streaming import folded

EPSILON = 0.05
SEEDS = range(3)
LOSS = 0.08
COLUMNS = ("error", "hardness", "conditional", "joint", "frozen", "alerts", "found", "chance")


def once(samples: data.Samples, seed: int) -> dict[str, float]:
    """AUC by the bare error, hardness alone, and 1 − p in both modes; frozen CADET's; alerts and what was found, in per cent (`joint`)."""
    rng = np.random.default_rng(seed)
    normal = rng.permutation(np.flatnonzero(~samples.anomalous))
    fit, rest = np.split(normal, [2 * len(normal) // 5])
    warm_up = min(400, len(rest) // 3)
    calm, others = np.split(rest, [warm_up])
    order = np.concatenate([calm, rng.permutation(np.concatenate([others, np.flatnonzero(samples.anomalous)]))])
    samples = data.standardised(samples, fit)
    error = pca_of_a_table(samples.rows[fit])(samples.rows)[order]
    null = MovingMoments(samples.rows.shape[1])
    null.hardness(samples.rows[fit])
    hardness, anomalous = null.hardness(samples.rows[order]), samples.anomalous[order]
    said = {
        mode: folded(error, hardness, epsilon=EPSILON, mode=mode, warm_up=warm_up, hand_over_lag=0, hand_over_spread=1)
        for mode in ("conditional", "joint")
    }
    judged = np.flatnonzero(~np.isnan(said["joint"].p_value))
    wrong = anomalous[judged]
    cadet = Cadet().fit(error[: warm_up // 2], hardness[: warm_up // 2])
    cadet.calibrate(error[warm_up // 2 : warm_up], hardness[warm_up // 2 : warm_up])
    alert = said["joint"].alert[judged]
    return {
        "error": data.auc(error[judged], wrong),
        "hardness": data.auc(hardness[judged], wrong),
        "conditional": data.auc(1.0 - said["conditional"].p_value[judged], wrong),
        "joint": data.auc(1.0 - said["joint"].p_value[judged], wrong),
        "frozen": data.auc(cadet.score(error, hardness)[judged], wrong),
        "alerts": 100.0 * float(alert.mean()),
        "found": 100.0 * float(alert[wrong].mean()),
        "chance": data.auc(rng.random(len(wrong)), wrong),
    }


def report(place: Path, seeds: range = SEEDS) -> tuple[list[str], dict[str, bool]]:
    """One row a table."""
    lines = [
        "| table | AUC of the error | of hardness alone | `conditional` 1 − p | `joint` 1 − p | frozen CADET | alerts % | found % |",
        "|---|---|---|---|---|---|---|---|",
    ]
    held, chance = {}, True
    for name in data.TABULAR:
        several = [once(data.table(place, name, seed), seed) for seed in seeds]
        found = {column: float(np.mean([one[column] for one in several])) for column in COLUMNS}
        areas = " | ".join(f"{found[column]:.3f}" for column in COLUMNS[:5])
        lines.append(f"| {name} | {areas} | {found['alerts']:.1f} | {found['found']:.0f} |")
        held[f"{name}: `joint` not below the error's AUC − .08"] = found["joint"] >= found["error"] - LOSS
        chance = chance and found["chance"] < found["error"] - LOSS
    return [*lines, "", f"Means over {len(seeds)} orders."], held | {"tables: chance fails": chance}
