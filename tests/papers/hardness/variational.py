"""A variational autoencoder in numpy: d – 64 – (mean and log variance of 16) – 64 – d with ReLU, gradients by hand.

Loss of a row: |x − x̂|² / (2 σ²) + KL(q(z | x), N(0, 1)), Kingma and Welling 2014, with σ² of a pixel fixed. The error is that of the
decoded mean, with nothing drawn.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

HIDDEN, LATENT = 64, 16
VARIANCE = 0.05  # σ² of an entry, in squares of its unit: a pixel between 0 and 1
STEP, EPOCHS, BATCH = 2e-3, 60, 64
DECAY, SQUARES = 0.9, 0.999  # of Adam's two means

Weights = dict[str, np.ndarray]


def begin(d: int, rng: np.random.Generator) -> Weights:
    """Weights of every layer by He's rule, offsets 0; the log variance begins at 0."""
    sizes = {"in": (d, HIDDEN), "mean": (HIDDEN, LATENT), "spread": (HIDDEN, LATENT), "back": (LATENT, HIDDEN), "out": (HIDDEN, d)}
    weights = {name: rng.normal(scale=np.sqrt(2.0 / shape[0]), size=shape) for name, shape in sizes.items()}
    weights["spread"] *= 0.01
    return weights | {f"{name} offset": np.zeros(shape[1]) for name, shape in sizes.items()}


def loss(weights: Weights, x: np.ndarray, drawn: np.ndarray) -> tuple[float, Weights]:
    """The mean loss of rows x, shape (n, d), with the normal numbers `drawn`, shape (n, 16), and its gradient."""
    n = len(x)
    hidden, mean, spread = _encoded(weights, x)
    deviation = np.exp(0.5 * spread)
    z = mean + deviation * drawn
    back, out = _decoded(weights, z)
    value = ((x - out) ** 2).sum() / (2 * VARIANCE) + 0.5 * (mean**2 + np.exp(spread) - spread - 1.0).sum()
    slopes: Weights = {}

    def layer(name: str, fed: np.ndarray, slope: np.ndarray) -> np.ndarray:
        slopes[name], slopes[f"{name} offset"] = fed.T @ slope, slope.sum(axis=0)
        return np.asarray(slope @ weights[name].T)

    slope = layer("out", back, (out - x) / (VARIANCE * n))
    of_z = layer("back", z, slope * (back > 0.0))
    of_hidden = layer("mean", hidden, of_z + mean / n)
    of_hidden += layer("spread", hidden, of_z * drawn * 0.5 * deviation + 0.5 * (np.exp(spread) - 1.0) / n)
    layer("in", x, of_hidden * (hidden > 0.0))
    return float(value / n), slopes


def variational(rows: np.ndarray, seed: int = 0) -> Callable[[np.ndarray], np.ndarray]:
    """Fit on rows of shape (n, d); return the error of any rows."""
    rng = np.random.default_rng(seed)
    weights = begin(rows.shape[1], rng)
    first = {name: np.zeros_like(value) for name, value in weights.items()}
    second = {name: np.zeros_like(value) for name, value in weights.items()}
    step = 0
    for _ in range(EPOCHS):
        order = rng.permutation(len(rows))
        for batch in np.array_split(order, max(1, len(rows) // BATCH)):
            step += 1
            slopes = loss(weights, rows[batch], rng.normal(size=(len(batch), LATENT)))[1]
            pace = STEP * np.sqrt(1.0 - SQUARES**step) / (1.0 - DECAY**step)
            for name, slope in slopes.items():
                first[name] += (1.0 - DECAY) * (slope - first[name])
                second[name] += (1.0 - SQUARES) * (slope**2 - second[name])
                weights[name] -= pace * first[name] / (np.sqrt(second[name]) + 1e-8)
    return lambda x: np.asarray(np.linalg.norm(x - _decoded(weights, _encoded(weights, x)[1])[1], axis=1))


def _encoded(weights: Weights, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    hidden = np.maximum(x @ weights["in"] + weights["in offset"], 0.0)
    return hidden, hidden @ weights["mean"] + weights["mean offset"], hidden @ weights["spread"] + weights["spread offset"]


def _decoded(weights: Weights, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    back = np.maximum(z @ weights["back"] + weights["back offset"], 0.0)
    return back, back @ weights["out"] + weights["out offset"]
