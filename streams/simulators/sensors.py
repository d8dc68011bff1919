"""Sensors of the SRW kind: a sine on a random walk, with stretches of another frequency (NorM and NormA, data sets SRW-[…]-[…]-[…]).

The papers name a series by three numbers: how many anomalies it holds, how much Gaussian noise (per cent of the sine's standard
deviation here; they do not say of what), and how long an anomaly is. Their series have 100,000 points and anomalies of 200.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

START = 1_767_225_600_000_000  # 2026-01-01, microseconds
WALK = 0.01  # standard deviation of the random walk's step, in amplitudes: over one period it hardly bends the wave


def simulate_sensors(
    *,
    anomalies: int = 60,
    noise: float = 5.0,
    length: int = 200,
    period: int = 100,
    points: int = 100_000,
    sensors: int = 1,
    seed: int = 0,
    interval: int = 1_000_000,
    start: int = START,
) -> dict[str, NDArray[Any]]:
    """Return SRW-[anomalies]-[noise]-[length] of every sensor, interleaved as they would arrive.

    Parameters
    ----------
    anomalies
        Per sensor, one at a time, never within the first tenth of the series (somebody has to learn from it).
    noise
        Standard deviation of the Gaussian noise, per cent of the sine's.
    length
        Points of an anomaly: a sine of another phase and 1.5 to 3 times the frequency.
    period
        Points of the normal sine's period.
    points
        Points of each sensor's series.
    sensors
        How many; they are called ``sensor-0`` … and differ in level, phase and everything drawn.
    seed
        The same seed gives the same readings.
    interval
        Microseconds from one reading of a sensor to its next; the sensors take turns within it.
    start
        Time of the first reading, microseconds since 1970.

    Returns
    -------
    ``sensor_id`` (strings), ``at`` (int64 microseconds UTC), ``value`` (float64), ``label`` (int8, 1 within an anomaly), each of shape
    (points · sensors,), in order of time.

    Raises
    ------
    ValueError
        If the anomalies do not fit into the series, or a number makes no sense.
    """
    for setting, given, least in (("anomalies", anomalies, 0), ("noise", noise, 0), ("length", length, 2), ("period", period, 4),
                                  ("points", points, 1), ("sensors", sensors, 1), ("interval", interval, sensors)):  # fmt: skip
        if not given >= least:
            raise ValueError(f"{setting} = {given}: wanted at least {least}")
    values = np.empty((points, sensors))
    labels = np.zeros((points, sensors), np.int8)
    for number in range(sensors):
        values[:, number], labels[:, number] = _series(np.random.default_rng([seed, number]), anomalies, noise, length, period, points)
    names = np.array([f"sensor-{number}" for number in range(sensors)])
    at = start + np.arange(points)[:, None] * interval + np.arange(sensors) * (interval // sensors)
    return {"sensor_id": np.tile(names, points), "at": at.ravel(), "value": values.ravel(), "label": labels.ravel()}


def _series(
    rng: np.random.Generator, anomalies: int, noise: float, length: int, period: int, points: int
) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """One sensor's values and labels, shape (points,)."""
    first = points // 10
    free = points - first - anomalies * (length + period)  # at least a period of normal course before each
    if anomalies and free < 0:
        raise ValueError(f"anomalies = {anomalies} of {length} points do not fit into {points} points: wanted fewer or shorter ones")
    turns = 2 * np.pi * (np.arange(points) / period + rng.uniform())
    wave = np.sin(turns)
    label = np.zeros(points, np.int8)
    gaps = np.sort(rng.integers(0, free + 1, anomalies)) if anomalies else np.empty(0, np.int64)
    for i, gap in enumerate(gaps.tolist()):
        begin = first + gap + i * (length + period) + period
        faster = rng.uniform(1.5, 3.0)
        wave[begin : begin + length] = np.sin(2 * np.pi * (faster * np.arange(length) / period + rng.uniform()))
        label[begin : begin + length] = 1
    walk = np.cumsum(rng.normal(0.0, WALK, points))
    level = rng.uniform(10.0, 100.0)
    return level + wave + walk + rng.normal(0.0, noise / 100 / np.sqrt(2), points), label
