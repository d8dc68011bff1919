"""The data of the paper's kinds that are free to use, and what every experiment does with them."""

from __future__ import annotations

import gzip
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from detectors.hardness.null_models import TabularNull, image_hardness

TOPS = (0, 2, 4, 6)  # Fashion-MNIST: T-shirt, pullover, coat, shirt
IMAGES = ("MNIST-8", "MNIST-3", "Fashion-900")
TABULAR = {
    "cardio": "6_cardio", "thyroid": "38_thyroid", "shuttle": "32_shuttle", "mammography": "23_mammography", "satellite": "30_satellite",
}  # fmt: skip
MOST_ROWS = 12_000  # of a table, drawn with the seed: shuttle has four times as many


@dataclass(frozen=True)
class Samples:
    """What a model reconstructs, shape (n, d); which are anomalies, (n,); and what is hard, (n, …)."""

    name: str
    rows: np.ndarray
    anomalous: np.ndarray
    images: np.ndarray | None = None

    def hardness(self, fit: np.ndarray) -> np.ndarray:
        """‖x − Null(x)‖ of all samples; a table's means are those of the rows `fit`."""
        return image_hardness(self.images) if self.images is not None else TabularNull.fit(self.rows[fit]).hardness(self.rows)


def folder() -> Path | None:
    """``$NILOMETER_DATA/calibration``, else the one beside the project; None where neither is."""
    for place in (os.environ.get("NILOMETER_DATA"), Path(__file__).resolve().parents[4] / "shared" / "data"):
        if place and (Path(place) / "calibration").is_dir():
            return Path(place) / "calibration"
    return None


def images(place: Path, name: str) -> Samples:
    """MNIST's test set with one digit normal, or 900 images of Fashion-MNIST with tops normal; pixels in [0, 1]."""
    if name == "Fashion-900":
        table = np.load(place / "fmnist900.npz")
        pictures, anomalous = table["X"] / 255.0, ~np.isin(table["y"], TOPS)
    else:
        raw = gzip.decompress((place / "mnist_t10k-images-idx3-ubyte.gz").read_bytes())
        labels = np.frombuffer(gzip.decompress((place / "mnist_t10k-labels-idx1-ubyte.gz").read_bytes())[8:], np.uint8)
        pictures = np.frombuffer(raw[16:], np.uint8).reshape(-1, 28, 28) / 255.0
        anomalous = labels != int(name[-1])
    return Samples(name, pictures.reshape(len(pictures), -1), anomalous, pictures)


def table(place: Path, name: str, seed: int = 0) -> Samples:
    """A table of ADBench, its columns as they are; at most `MOST_ROWS` of its rows."""
    found = np.load(place / f"{TABULAR[name]}.npz")
    rows, anomalous = found["X"].astype(float), found["y"].astype(bool)
    if len(rows) > MOST_ROWS:
        some = np.random.default_rng(seed).permutation(len(rows))[:MOST_ROWS]
        rows, anomalous = rows[some], anomalous[some]
    return Samples(name, rows, anomalous)


def standardised(samples: Samples, fit: np.ndarray) -> Samples:
    """Columns brought to mean 0 and deviation 1 over the rows `fit`; a constant column becomes 0."""
    means, scale = samples.rows[fit].mean(axis=0), samples.rows[fit].std(axis=0)
    return Samples(samples.name, (samples.rows - means) / np.where(scale > 0.0, scale, np.inf), samples.anomalous)


def auc(scores: np.ndarray, anomalous: np.ndarray) -> float:
    """P(an anomaly scores above a normal), a tie counting half; NaN without both."""
    high, low = int(anomalous.sum()), int((~anomalous).sum())
    if not high or not low:
        return float("nan")
    return float((rankdata(scores)[anomalous].sum() - high * (high + 1) / 2) / (high * low))
