"""Online logistic regression: running standardisation, then one step down the log loss with a rate for each weight.

One vector after another, in the order in which they are given; nothing is shuffled, drawn or done in parallel, so that the same
vectors in the same order give the same model to the last bit. Features without an upper end may enter as sign(x)·ln(1 + |x|) (see
`features.logarithmic`). For a vector x with outcome y in {0, 1}:

1. the moments of every feature take x in (Welford), z_f = (x_f − mean_f) / deviation_f, held within ±`clip`; z of the intercept is 1;
2. p = σ(w·z), and the gradient of −log P(y) is g_f = (p − y)·z_f;
3. G_f += g_f², w_f −= rate · g_f / √G_f: Adagrad with a diagonal (Duchi, Hazan, Singer, JMLR 12, 2011).

A feature that seldom differs from its mean thus keeps large steps for the day when it does, as shares of known frauds and unusual
amounts do. On the handbook's card transactions, labels a week late, that is worth .05 to .10 of average precision against one common
rate. A deviation of 0 gives z = 0, and so does what is not finite; it counts as the mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numba import njit

from detectors.protocol import Floats

LEAST_SQUARES = 1e-8  # G before the first step: a gradient of 0 divides by it


@njit(cache=True)  # type: ignore[untyped-decorator]
def sigma(logit):  # type: ignore[no-untyped-def]
    """1 / (1 + e^−logit), without overflow on either side."""
    if logit >= 0.0:
        return 1.0 / (1.0 + math.exp(-logit))
    power = math.exp(logit)
    return power / (1.0 + power)


@njit(cache=True)  # type: ignore[untyped-decorator]
def scaled(x, logarithmic):  # type: ignore[no-untyped-def]
    """The feature as it enters the model; many are 0, which is its own logarithm."""
    return math.copysign(math.log1p(abs(x)), x) if logarithmic and x != 0.0 else x


@njit(cache=True)  # type: ignore[untyped-decorator]
def standardised(x, mean, inverse, clip):  # type: ignore[no-untyped-def]
    """z of one feature; `inverse` is one over its deviation, 0 where it never varied."""
    if not math.isfinite(x):
        return 0.0
    return min(max((x - mean) * inverse, -clip), clip)


@njit(cache=True)  # type: ignore[untyped-decorator]
def inverse_deviation(squares, count):  # type: ignore[no-untyped-def]
    """One over the deviation of a feature whose squared deviations sum up to `squares` over `count` vectors."""
    return math.sqrt(count / squares) if squares > 0.0 else 0.0


def inverse_deviations(squares: Floats, count: int) -> Floats:
    """The same of every feature, shape (F,).

    >>> inverse_deviations(np.array([8.0, 0.0]), 2).tolist()
    [0.5, 0.0]
    """
    return np.sqrt(np.divide(float(count), squares, out=np.zeros(len(squares)), where=squares > 0.0))


@njit(cache=True)  # type: ignore[untyped-decorator]
def logit_of(x, logs, mean, inverse, weights, clip):  # type: ignore[no-untyped-def]
    """w·z of a vector x of F features; `weights` has F + 1, the intercept last. Features are added in their order."""
    total = weights[len(x)]
    for f in range(len(x)):
        total += weights[f] * standardised(scaled(x[f], logs[f]), mean[f], inverse[f], clip)
    return total


@njit(cache=True)  # type: ignore[untyped-decorator]
def contributions(x, logs, mean, inverse, weights, clip):  # type: ignore[no-untyped-def]
    """w_f·z_f of each feature: what it adds to the logit, shape (F,)."""
    out = np.empty(len(x))
    for f in range(len(x)):
        out[f] = weights[f] * standardised(scaled(x[f], logs[f]), mean[f], inverse[f], clip)
    return out


@njit(cache=True)  # type: ignore[untyped-decorator]
def learn(vectors, logs, fraud, count, mean, squares, weights, gradients, rate, clip, logits):  # type: ignore[no-untyped-def]
    """Predict each vector, then learn it; return how many have been learned in all.

    Parameters
    ----------
    vectors, logs, fraud
        Shapes (n, F), (F,) and (n,): features, which of them enter as logarithms, and outcomes 0 or 1.
    count, mean, squares
        Vectors learned before; mean and sum of squared deviations of each feature, shape (F,).
    weights, gradients
        w and G, shape (F + 1,).
    logits
        Output, shape (n,): w·z of each vector before anything of it was learned.
    """
    features = vectors.shape[1]
    z = np.empty(features + 1)
    inverse = np.empty(features)
    for f in range(features):
        inverse[f] = inverse_deviation(squares[f], count)
    for row in range(len(vectors)):
        x = vectors[row]
        logits[row] = logit_of(x, logs, mean, inverse, weights, clip)
        count += 1
        total = weights[features]
        for f in range(features):
            value = scaled(x[f], logs[f])
            off = value - mean[f]
            if math.isfinite(off):
                mean[f] += off / count
                squares[f] += off * (value - mean[f])
            inverse[f] = inverse_deviation(squares[f], count)
            z[f] = standardised(value, mean[f], inverse[f], clip)
            total += weights[f] * z[f]
        z[features] = 1.0
        descend(z, sigma(total) - fraud[row], weights, gradients, rate)
    return count


@njit(cache=True)  # type: ignore[untyped-decorator]
def descend(z, error, weights, gradients, rate):  # type: ignore[no-untyped-def]
    """One step: the gradient is error · z."""
    for f in range(len(z)):
        gradient = error * z[f]
        gradients[f] += gradient * gradient
        weights[f] -= rate * gradient / math.sqrt(gradients[f])


@njit(cache=True)  # type: ignore[untyped-decorator]
def correct(vectors, logs, after, count, mean, squares, weights, gradients, rate, clip):  # type: ignore[no-untyped-def]
    """Step towards outcomes that were learned as something else; the vectors count once, so moments stay as they are.

    The gradient of the log loss is (p − y)·z, so what was learned and what should have been differ by (before − after)·z, whatever
    p is. Made up for at full length, many late frauds together would overshoot, for no step would see what the last one did; so each
    is taken at (p − after)·z, the same way and at most as long, and nothing where the model knows already.
    """
    features = vectors.shape[1]
    z = np.ones(features + 1)
    for row in range(len(vectors)):
        total = weights[features]
        for f in range(features):
            z[f] = standardised(scaled(vectors[row, f], logs[f]), mean[f], inverse_deviation(squares[f], count), clip)
            total += weights[f] * z[f]
        descend(z, sigma(total) - after[row], weights, gradients, rate)


class OnlineLogistic:
    """The model as it is learned: arrays and a number.

    Parameters
    ----------
    features
        F: how many features a vector has.
    rate
        η: the first step of each weight; later ones shrink with the gradients that it has seen.
    clip
        The most deviations that a feature may lie from its mean: one absurd amount must not decide alone.
    logs
        Which features enter as logarithms; none if not given.

    Examples
    --------
    >>> model = OnlineLogistic(1, rate=0.5)
    >>> x, y = np.array([[0.0], [1.0]] * 50), np.array([0, 1] * 50)
    >>> _ = model.learn(x, y)
    >>> [round(float(p), 2) for p in model.probability(np.array([[0.0], [1.0]]))]
    [0.02, 0.98]
    """

    def __init__(self, features: int, rate: float = 0.2, clip: float = 20.0, logs: Sequence[bool] | None = None) -> None:
        for name, value in (("rate", rate), ("clip", clip)):
            if not 0.0 < value < math.inf:
                raise ValueError(f"{name} = {value}: wanted a number above 0")
        self.rate, self.clip = float(rate), float(clip)
        self.logs = np.zeros(features, np.bool_) if logs is None else np.array(logs, np.bool_)
        self.count = 0
        self.mean, self.squares = np.zeros(features), np.zeros(features)
        self.weights, self.gradients = np.zeros(features + 1), np.full(features + 1, LEAST_SQUARES)

    @property
    def inverse(self) -> Floats:
        """One over each feature's deviation, 0 where it never varied; shape (F,)."""
        return inverse_deviations(self.squares, self.count)

    def learn(self, vectors: Floats, fraud: np.ndarray) -> Floats:
        """Learn vectors, shape (n, F), in their order; return what the model said of each before it was learned (logits)."""
        logits = np.empty(len(vectors))
        self.count = int(
            learn(
                np.ascontiguousarray(vectors, np.float64), self.logs, np.asarray(fraud, np.int64), self.count, self.mean, self.squares,
                self.weights, self.gradients, self.rate, self.clip, logits,
            )
        )  # fmt: skip
        return logits

    def correct(self, vectors: Floats, after: np.ndarray) -> None:
        """Make up for vectors whose outcome was learned as something else and is `after`."""
        correct(
            np.ascontiguousarray(vectors, np.float64), self.logs, np.asarray(after, np.int64), self.count,
            self.mean, self.squares, self.weights, self.gradients, self.rate, self.clip,
        )  # fmt: skip

    def logits(self, vectors: Floats) -> Floats:
        """w·z of vectors, shape (n, F)."""
        inverse = self.inverse
        return np.array([logit_of(x, self.logs, self.mean, inverse, self.weights, self.clip) for x in vectors])

    def probability(self, vectors: Floats) -> Floats:
        """σ(w·z), before recalibration."""
        return np.array([sigma(logit) for logit in self.logits(vectors)])
