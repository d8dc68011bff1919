"""The paper's experiments on arrays: base models, other detectors, prior and λ, what happens where nothing is left out, correlations.

Every score is judged on the normals left out of everything and all anomalies, at ε = 5 % calibrated on normals left out of the fit.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from detectors.hardness.cadet import Cadet, CalibrationWarning
from tests.papers.hardness import data, images
from tests.papers.hardness.base_models import Fitter, autoencoder, denoising, pca, pca_of_a_table
from tests.papers.hardness.variational import variational

Table = tuple[list[str], dict[str, bool]]
FEW = range(3)
LAMBDAS = (0.0, 0.1, 0.5, 1.0, 2.0)
EPSILON = images.EPSILON
MODELS: dict[str, Fitter] = {
    "PCA": pca,
    "autoencoder": autoencoder,
    "denoising autoencoder": denoising,
    "variational autoencoder": variational,
}
ALL = (*data.IMAGES, *data.TABULAR)


def load(place: Path, name: str, seed: int) -> data.Samples:
    return data.images(place, name) if name in data.IMAGES else data.table(place, name, seed)


def split(samples: data.Samples, seed: int) -> tuple[data.Samples, list[np.ndarray], np.ndarray]:
    """The samples, tables brought to one scale; the normals' model, curve, calibration and test parts (40, 20, 20, 20 %); the anomalies."""
    normal = np.random.default_rng(seed).permutation(np.flatnonzero(~samples.anomalous))
    n = len(normal)
    parts = np.split(normal, [2 * n // 5, 3 * n // 5, 4 * n // 5])
    scaled = samples if samples.images is not None else data.standardised(samples, parts[0])
    return scaled, parts, np.flatnonzero(samples.anomalous)


def fitted(samples: data.Samples) -> tuple[Fitter, int]:
    """PCA as it is used on this kind, and the knots: a line on images."""
    return (pca, images.LINE) if samples.images is not None else (pca_of_a_table, 5)


def models(place: Path) -> Table:
    """Images: the paper's four base models."""
    lines, held = list(images.HEADER), {}
    for name in data.IMAGES:
        samples = data.images(place, name)
        for model, fitter in MODELS.items():
            found = images.means(samples, fitter, FEW)
            lines += [images.line(f"{name}, {model}", score, found[score]) for score in ("error", "calibrated")]
            held[f"{name}, {model}: calibration raises the AUC"] = found["calibrated"]["auc"] > found["error"]["auc"]
    return [*lines, "", f"Means over {len(FEW)} splits. {STANDS_IN}"], held


STANDS_IN = (
    "The first two autoencoders are scikit-learn's perceptrons, the variational one is written in numpy (`variational`); all are smaller "
    "than the paper's networks. Torch is not needed."
)


def baselines(place: Path) -> Table:
    """AUC of the usual detectors, each fit on the part that the base model is fit on, beside PCA's error, plain and calibrated."""
    from sklearn.ensemble import IsolationForest
    from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
    from sklearn.svm import OneClassSVM

    names = ("Isolation Forest", "LOF", "one-class SVM", "kNN", "PCA", "PCA, CADET", "joint")
    lines = ["| data | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for name in ALL:
        rows = []
        for seed in FEW:
            samples, (fit, curve, calibration, test), anomalies = split(load(place, name, seed), seed)
            some = anomalies[np.random.default_rng(seed).permutation(len(anomalies))[:2000]]
            both = np.concatenate([test, some])
            wrong, x, known = samples.anomalous[both], samples.rows[both], samples.rows[fit][:3000]
            neighbours = NearestNeighbors(n_neighbors=5).fit(known).kneighbors(x)[0][:, -1]
            fitter, knots = fitted(samples)
            error, hardness = fitter(samples.rows[fit])(samples.rows), samples.hardness(fit)
            some_curve = curve[:1000]
            cadet = Cadet(knots=knots).fit(error[some_curve], hardness[some_curve])
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", CalibrationWarning)  # tables repeat rows
                cadet.calibrate(error[calibration], hardness[calibration])
            hard = np.sort(hardness[calibration])
            alone = (1 + len(hard) - np.searchsorted(hard, hardness[both])) / (len(hard) + 1)
            scores = (
                -IsolationForest(random_state=seed).fit(known).score_samples(x),
                -LocalOutlierFactor(novelty=True).fit(known).score_samples(x),
                -OneClassSVM(nu=EPSILON).fit(known).score_samples(x),
                neighbours,
                error[both],
                cadet.score(error[both], hardness[both]),
                -np.minimum(alone, cadet.p_value(error[both], hardness[both])),
            )
            rows.append([data.auc(np.asarray(score), wrong) for score in scores])
        lines.append(f"| {name} | " + " | ".join(f"{area:.3f}" for area in np.mean(rows, axis=0)) + " |")
    return [*lines, "", f"Means over {len(FEW)} splits; models fit on at most 3,000 rows, judged on at most 2,000 anomalies. {SIGN}"], {}


SIGN = (
    "Calibration lowers the AUC where hardness by itself tells the anomalies (cardio, thyroid): dividing it out takes the signal away. "
    "`joint` keeps it."
)


def prior(place: Path) -> Table:
    """λ, and no prior: AUC, and the spread of false alarms over the quartiles of hardness."""
    lines = ["| data | " + " | ".join(f"λ = {lambda_:g}" for lambda_ in LAMBDAS) + " |", "|---|" + "---|" * len(LAMBDAS)]
    for name in ALL:
        cells = {lambda_: [] for lambda_ in LAMBDAS}
        for seed in FEW:
            samples, (fit, curve, calibration, test), anomalies = split(load(place, name, seed), seed)
            fitter, knots = fitted(samples)
            error, hardness = fitter(samples.rows[fit])(samples.rows), samples.hardness(fit)
            for lambda_ in LAMBDAS:
                score = Cadet(lambda_=lambda_, knots=knots).fit(error[curve[:1000]], hardness[curve[:1000]]).score(error, hardness)
                judged = images.judged(score, hardness, calibration, test, anomalies)
                cells[lambda_].append([judged["auc"], *(judged[f"q{k}"] for k in range(4))])
        found = [np.mean(cells[lambda_], axis=0) for lambda_ in LAMBDAS]
        lines.append(f"| {name} | " + " | ".join(f"{one[0]:.3f} ({one[1:].min():.0f}–{one[1:].max():.0f})" for one in found) + " |")
    return [*lines, "", "AUC, and in brackets false alarms of the quartiles of hardness that bear least and most, in per cent."], {}


def overlap(place: Path) -> Table:
    """False alarms at ε = 5 % where curves, or model and curves, are fit on what calibrates, as the paper's public code does it."""
    names = ("model, curves and calibration apart", "curves fit on the calibration's events", "all three on the same events")
    lines = ["| data | " + " | ".join(names) + " |", "|---|---|---|---|"]
    rates = []
    for name in ALL:
        found = []
        for seed in range(5):
            samples, (fit, curve, calibration, test), _ = split(load(place, name, seed), seed)
            fitter, knots = fitted(samples)
            error, hardness = fitter(samples.rows[fit])(samples.rows), samples.hardness(fit)
            row = []
            for one, other in ((curve, calibration), (calibration, calibration), (fit, fit)):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", CalibrationWarning)
                    cadet = Cadet(knots=knots).fit(error[one[:1000]], hardness[one[:1000]])
                    cadet.calibrate(error[other[:1000]], hardness[other[:1000]])
                row.append(100.0 * cadet.decide(error[test], hardness[test], epsilon=EPSILON).mean())
            found.append(row)
        rates.append(np.mean(found, axis=0))
        lines.append(f"| {name} | " + " | ".join(f"{rate:.1f}" for rate in rates[-1]) + " |")
    apart, _, together = np.mean(rates, axis=0)
    return [*lines, "", "False alarms in per cent, means over 5 splits."], {
        "kept apart, false alarms are 5 ± 1 % over all sets": bool(abs(apart - 5.0) <= 1.0),
        "all three on the same events, they are more than that": bool(together > apart),
    }


def pearson(place: Path) -> Table:
    """Correlation among normals that nothing has seen: of hardness with the error, and with the score."""
    lines = ["| data | hardness and error | hardness and calibrated score | AUC of hardness alone |", "|---|---|---|---|"]
    held = []
    for name in ALL:
        rows = []
        for seed in FEW:
            samples, (fit, curve, _, test), anomalies = split(load(place, name, seed), seed)
            fitter, knots = fitted(samples)
            error, hardness = fitter(samples.rows[fit])(samples.rows), samples.hardness(fit)
            score = Cadet(knots=knots).fit(error[curve[:1000]], hardness[curve[:1000]]).score(error, hardness)
            both = np.concatenate([test, anomalies])
            rows.append(
                [
                    np.corrcoef(hardness[test], error[test])[0, 1],
                    np.corrcoef(hardness[test], score[test])[0, 1],
                    data.auc(hardness[both], samples.anomalous[both]),
                ]
            )
        raw, calibrated, alone = np.mean(rows, axis=0)
        held.append(name not in data.IMAGES or abs(calibrated) <= 0.25 <= raw)
        lines.append(f"| {name} | {raw:.2f} | {calibrated:.2f} | {alone:.3f} |")
    return lines, {"images: hardness and error hang together, hardness and score do not (≤ .25)": all(held)}
