"""A stream whose errors drift in scale, in hardness and in how both hang together, and what calibration makes of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detectors.hardness.cadet import Cadet
from tests.papers.hardness.streaming import folded

EVENTS = 38_000
EPSILON = 0.05
BLOCK, LONG_BLOCK = 1_000, 5_000


@dataclass
class Stream:
    """Hardness, error, and which events are anomalies (error · 3)."""

    hardness: np.ndarray
    error: np.ndarray
    anomaly: np.ndarray


def drifting(seed: int, share: float = 0.0, burst: float = 0.0) -> Stream:
    """Events at t in [0, 1): h = exp(.5 N + .5 [t ≥ .5]), e = (.1 + a h) exp(.3 (.5 + .5 min(h, 2)) N) (1.5 if t ≥ .25).

    a = .5, from t = .75 on rising to .9.
    """
    rng = np.random.default_rng(seed)
    t = np.arange(EVENTS) / EVENTS
    hardness = np.exp(0.5 * rng.normal(size=EVENTS) + 0.5 * (t >= 0.5))
    a = np.where(t < 0.75, 0.5, 0.5 + 0.4 * (t - 0.75) / 0.25)
    error = (0.1 + a * hardness) * np.exp(0.3 * (0.5 + 0.5 * np.minimum(hardness, 2.0)) * rng.normal(size=EVENTS))
    error *= np.where(t >= 0.25, 1.5, 1.0)
    anomaly = rng.random(EVENTS) < share
    if burst:
        anomaly[20_000:21_000] |= rng.random(1_000) < burst
    return Stream(hardness, np.where(anomaly, 3.0 * error, error), anomaly)


@dataclass
class Judged:
    """What was said of the events that were judged: alerts of the error's or hardness' tests, p-values, quartiles of recent hardness."""

    alert: np.ndarray
    p_value: np.ndarray
    quartile: np.ndarray
    place: np.ndarray
    microseconds: float


def judged(stream: Stream, **settings: object) -> Judged:
    """Fold the stream as one source."""
    said = folded(stream.error, stream.hardness, epsilon=EPSILON, **settings)
    place = np.flatnonzero(~np.isnan(said.p_value))
    return Judged(said.alert[place], said.p_value[place], quartiles(stream.hardness)[place], place, said.microseconds)


def random_control(stream: Stream, seed: int) -> Judged:
    """Alerts at random, at the right rate: what every group of bars must be able to tell from calibration."""
    rng = np.random.default_rng(seed)
    n = len(stream.error)
    p = rng.random(n)
    return Judged(p <= EPSILON, p, quartiles(stream.hardness), np.arange(n), 0.0)


def static(stream: Stream) -> Judged:
    """CADET as printed: fit on the first 1,000 events, calibrated on the next 1,000, then frozen."""
    cadet = Cadet().fit(stream.error[:1000], stream.hardness[:1000]).calibrate(stream.error[1000:2000], stream.hardness[1000:2000])
    place = np.arange(2000, len(stream.error))
    p = cadet.p_value(stream.error[place], stream.hardness[place])
    return Judged(p <= EPSILON, p, quartiles(stream.hardness)[place], place, 0.0)


def quartiles(hardness: np.ndarray) -> np.ndarray:
    """Of each event among the thousand before its block and the block itself."""
    found = np.zeros(len(hardness), np.int64)
    for first in range(0, len(hardness), BLOCK):
        recent = np.sort(hardness[max(0, first - BLOCK) : first + BLOCK])
        found[first : first + BLOCK] = np.minimum(3, 4 * np.searchsorted(recent, hardness[first : first + BLOCK]) // len(recent))
    return found


def rates(said: Judged, normal: np.ndarray) -> dict[str, object]:
    """Shares of alerts among normal events: overall, by 1,000-block, by quartile, by quartile and 5,000-block; all in per cent."""
    keep = normal[said.place]
    alert, quartile, place = 100.0 * said.alert[keep], said.quartile[keep], said.place[keep]
    blocks = [alert[i : i + BLOCK].mean() for i in range(0, len(alert) - BLOCK + 1, BLOCK)]
    long = [
        alert[(quartile == q) & (place // LONG_BLOCK == b)].mean()
        for b in range(place[0] // LONG_BLOCK + 1, place[-1] // LONG_BLOCK)
        for q in range(4)
    ]
    return {
        "overall": float(alert.mean()),
        "within": float(np.mean([3.5 <= rate <= 6.5 for rate in blocks])),
        "blocks": (float(min(blocks)), float(max(blocks))),
        "quartiles": [float(alert[quartile == q].mean()) for q in range(4)],
        "worst": (float(min(long)), float(max(long))),
    }
