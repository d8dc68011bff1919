"""What a model's probability is worth: frauds found per logit, made monotone, on labels that have matured.

Online learning leaves a model over- or under-confident, above all where frauds come and go in bursts. So every matured transaction
is counted in the bin of the logit that the model gave it *before* learning it, old ones fading with a half-life. The recalibrated
probability is the share of frauds per bin, made non-decreasing by pooling neighbours that go the wrong way (isotonic regression;
Ayer et al., 1955), and drawn as a line from bin to bin. Pooled bins would make one probability of many logits, and more than half of
all transactions ties; so a millionth of what is said is the nominal probability, and their order stays. Every bin also holds one
transaction of its own nominal probability σ(centre): where nothing has been seen, the model is taken at its word.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from numba import njit

from detectors.aggregation.logistic import sigma
from detectors.protocol import Floats

NOMINAL_SHARE = 1e-6
LOWEST, STEP, BINS = -12.0, 0.5, 48  # logits from −12 to 12: probabilities of six in a million to all but that
CENTRES = LOWEST + STEP * (np.arange(BINS) + 0.5)


@njit(cache=True)  # type: ignore[untyped-decorator]
def bin_of(logit):  # type: ignore[no-untyped-def]
    """The bin of a logit; those beyond the ends belong to the outermost."""
    return min(max(math.floor((min(max(logit, -1e6), 1e6) - LOWEST) / STEP), 0), BINS - 1)


@njit(cache=True)  # type: ignore[untyped-decorator]
def _count(logits, fraud, seen, frauds):  # type: ignore[no-untyped-def]
    for row in range(len(logits)):
        here = bin_of(logits[row])
        seen[here] += 1.0
        frauds[here] += fraud[row]


@njit(cache=True)  # type: ignore[untyped-decorator]
def pooled(values, weights):  # type: ignore[no-untyped-def]
    """The non-decreasing sequence nearest to `values` in weighted squares: neighbours that go down are pooled, from the left."""
    n = len(values)
    level, weight, width = np.empty(n), np.empty(n), np.empty(n, np.int64)
    blocks = 0
    for i in range(n):
        level[blocks], weight[blocks], width[blocks] = values[i], weights[i], 1
        while blocks > 0 and level[blocks - 1] > level[blocks]:
            total = weight[blocks - 1] + weight[blocks]
            level[blocks - 1] = (weight[blocks - 1] * level[blocks - 1] + weight[blocks] * level[blocks]) / total
            weight[blocks - 1] = total
            width[blocks - 1] += width[blocks]
            blocks -= 1
        blocks += 1
    out = np.empty(n)
    at = 0
    for block in range(blocks):
        for _ in range(width[block]):
            out[at] = level[block]
            at += 1
    return out


@njit(cache=True)  # type: ignore[untyped-decorator]
def recalibrated(curve, logit):  # type: ignore[no-untyped-def]
    """The probability that a logit stands for: `curve`, shape (BINS,), drawn as a line between the bins' centres.

    Two logits are one probability only where their nominal ones are, to about 1e-10 of them.
    """
    place = (min(max(logit, -1e6), 1e6) - LOWEST) / STEP - 0.5
    left = min(max(math.floor(place), 0), BINS - 2)
    share = min(max(place - left, 0.0), 1.0)
    found = curve[left] + share * (curve[left + 1] - curve[left])
    return found + NOMINAL_SHARE * (sigma(logit) - found)


@cache
def _nominal() -> Floats:
    """σ at the centres of the bins."""
    return np.array([sigma(centre) for centre in CENTRES])


class Recalibration:
    """Frauds and transactions per bin.

    Parameters
    ----------
    half_life
        Hours of event time after which a transaction counts for half.

    Examples
    --------
    A model that always says one in two, where one in ten is a fraud:

    >>> found = Recalibration()
    >>> found.count(np.zeros(1000), np.arange(1000) % 10 == 0)
    >>> round(float(recalibrated(found.curve(), 0.25)), 2)
    0.1
    """

    def __init__(self, half_life: float = 720.0) -> None:
        self.half_life = float(half_life)
        self.seen, self.frauds = np.zeros(BINS), np.zeros(BINS)

    def fade(self, hours: float) -> None:
        """Let time pass."""
        factor = 0.5 ** (hours / self.half_life)
        self.seen *= factor
        self.frauds *= factor

    def count(self, logits: Floats, fraud: np.ndarray) -> None:
        """Take matured transactions in: what the model said before it learned them, and what they were."""
        _count(np.asarray(logits, np.float64), np.asarray(fraud, np.int64), self.seen, self.frauds)

    def curve(self) -> Floats:
        """P(fraud) at the centres of the bins, non-decreasing, shape (BINS,)."""
        weight = self.seen + 1.0
        return np.asarray(pooled((self.frauds + _nominal()) / weight, weight))


def reliability(
    probability: Floats, fraud: np.ndarray, edges: tuple[float, ...] = (0.0, 0.001, 0.01, 0.05, 0.2, 0.5, 1.0)
) -> list[dict[str, Any]]:
    """What was said beside what came of it: for each stretch of probability, how many, their mean probability, their share of frauds.

    >>> reliability(np.array([0.002, 0.004, 0.9]), np.array([0, 0, 1]))[1:2]
    [{'from': 0.001, 'to': 0.01, 'transactions': 2, 'said': 0.003, 'found': 0.0}]
    """
    table = []
    place = np.clip(np.searchsorted(edges, probability, side="right") - 1, 0, len(edges) - 2)
    for stretch in range(len(edges) - 1):
        mine = place == stretch
        many = int(mine.sum())
        table.append(
            {
                "from": edges[stretch],
                "to": edges[stretch + 1],
                "transactions": many,
                "said": float(probability[mine].mean()) if many else None,
                "found": float(np.asarray(fraud)[mine].mean()) if many else None,
            }
        )
    return table
