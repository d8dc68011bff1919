"""Channels of NASA's SMAP and MSL: windows of the telemetry, a model fit on `train`, the stream's detector in mode `joint`.

PCA with 10 components on windows of 50 values; hardness by an autoregression that predicts, then learns. The detector sees `train`, then
`test`; alerts and AUC are those of the windows of `test`. A window is an anomaly if it touches a label. Windows overlap, so nothing but
the long-run share of alerts is promised.

Many channels stand still for most of the time: their errors and their hardness tie. By `ties = "drawn"` a draw puts equals in order, and
such channels keep their rate too; by "never", the paper's way, they cannot spend what they may. A draw hangs on the source's name, so the
first is told for several.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detectors.hardness.cadet import Cadet, CalibrationWarning
from detectors.hardness.moving_null import MovingAutoregression
from tests.papers.hardness import data
from tests.papers.hardness.base_models import pca
from tests.papers.hardness.streaming import folded

EPSILON = 0.05
LENGTH, COMPONENTS, ORDER = 50, 10, 5
LEAST = 2_000  # points of `test`
LOW, HIGH = 3.5, 6.5
NAMES = tuple(f"source {i}" for i in range(6))  # of the same source: other names, other draws


@dataclass(frozen=True)
class Channel:
    """Error, hardness and label of every window, shape (n,); the first `trained` touch `train`."""

    name: str
    error: np.ndarray
    hardness: np.ndarray
    anomalous: np.ndarray
    trained: int


def channels(place: Path) -> list[Channel]:
    """Those with at least `LEAST` points of `test`; a window that begins in `train` and ends in `test` belongs to `test`."""
    found = []
    for path in sorted((place / "smap_msl").glob("*.npz")):
        archive = np.load(path)
        train, test = archive["train"][:, 0].astype(float), archive["test"][:, 0].astype(float)
        if len(test) < LEAST:
            continue
        labels = np.concatenate([np.zeros(len(train)), archive["y"]])
        touched = np.lib.stride_tricks.sliding_window_view(labels, LENGTH).max(axis=1) > 0
        error, hardness = windowed(np.concatenate([train, test]), len(train))
        found.append(Channel(path.stem, error, hardness, touched, len(train) - LENGTH + 1))
    return found


def windowed(series: np.ndarray, train: int) -> tuple[np.ndarray, np.ndarray]:
    """Error and hardness of every window; the model is fit on those that lie within the first `train` values."""
    windows = np.lib.stride_tricks.sliding_window_view(series, LENGTH)
    hardness = window_hardness(MovingAutoregression(ORDER).residuals(series), LENGTH, ORDER)
    return pca(windows[: train - LENGTH + 1], COMPONENTS)(windows), hardness


def window_hardness(residuals: np.ndarray, length: int, order: int) -> np.ndarray:
    """‖x − Null(x)‖ of every window of `length` values, from one-step residuals of shape (n, d); shape (n − length + 1,).

    As in `SeriesNull.hardness` the window's first p values are left out.
    """
    squares = (residuals**2).sum(axis=1)[order:]
    return np.sqrt(np.lib.stride_tricks.sliding_window_view(squares, length - order).sum(axis=1))


@dataclass(frozen=True)
class Found:
    """Of one channel's `test`: alerts in per cent, and AUC."""

    alerts: float
    auc: float


def streamed(channel: Channel, source: str = NAMES[0], **settings: object) -> Found:
    """The stream's detector."""
    said = folded(channel.error, channel.hardness, source=source, epsilon=EPSILON, mode="joint", **settings)
    judged = np.flatnonzero(~np.isnan(said.p_value))
    judged = judged[judged >= channel.trained]
    return Found(100.0 * float(said.alert[judged].mean()), data.auc(1.0 - said.p_value[judged], channel.anomalous[judged]))


def frozen(channel: Channel) -> Found:
    """CADET as printed: curves on every other window of `train`, calibrated on the rest, applied to `test` as it comes."""
    error, hardness, last = channel.error, channel.hardness, channel.trained
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CalibrationWarning)  # channels that stand still repeat their windows
        cadet = Cadet().fit(error[:last:2], hardness[:last:2]).calibrate(error[1:last:2], hardness[1:last:2])
    alert = cadet.decide(error[last:], hardness[last:], epsilon=EPSILON)
    return Found(100.0 * float(alert.mean()), data.auc(cadet.score(error[last:], hardness[last:]), channel.anomalous[last:]))


def bare(channel: Channel) -> float:
    """AUC of the error."""
    return data.auc(channel.error[channel.trained :], channel.anomalous[channel.trained :])


def random_control(channel: Channel, rng: np.random.Generator) -> Found:
    """Alerts at random, at the right rate."""
    p = rng.random(len(channel.error) - channel.trained)
    return Found(100.0 * float((p <= EPSILON).mean()), data.auc(1.0 - p, channel.anomalous[channel.trained :]))


def bars(name: str, found: list[Found], raw: list[float]) -> dict[str, bool]:
    """Held to on all channels together; a channel without labels in `test` has no AUC."""
    return {
        f"{name}: alerts within 3.5–6.5 % on ≥ 90 % of the channels": _within(found) >= 0.9,
        f"{name}: mean AUC not below the error's − .02": float(np.nanmean([one.auc for one in found])) >= float(np.nanmean(raw)) - 0.02,
    }


STRAYING = (
    "Those above it change at once and for good, late in the stream: the level acts no lower than ε/4, and has too few windows left to "
    "make up for what the change cost (γ = .005 binds the mean only to (1 + γ)/(γT), 9 % of T = 2,200 windows)."
)


def _within(found: list[Found]) -> float:
    return float(np.mean([LOW <= one.alerts <= HIGH for one in found]))


def report(place: Path) -> tuple[list[str], dict[str, bool]]:
    """One line a way of alerting; below, the channels that stray."""
    known, rng = channels(place), np.random.default_rng(0)
    raw = [bare(channel) for channel in known]
    drawn = {f"`joint`, ties drawn, {name}": [streamed(channel, name) for channel in known] for name in NAMES}
    still = '`joint`, `ties = "never"`'
    ways = drawn | {
        still: [streamed(channel, ties="never") for channel in known],
        "frozen CADET": [frozen(channel) for channel in known],
        "chance": [random_control(channel, rng) for channel in known],
    }
    lines = ["| | channels within 3.5–6.5 % | below | above | mean alerts % | least – most | mean AUC |", "|---|---|---|---|---|---|---|"]
    for name, found in ways.items():
        alerts = np.array([one.alerts for one in found])
        below, above = int((alerts < LOW).sum()), int((alerts > HIGH).sum())
        spread = f"{alerts.mean():.1f} | {alerts.min():.1f} – {alerts.max():.1f}"
        area = np.nanmean([one.auc for one in found])
        lines.append(f"| {name} | {len(known) - below - above} of {len(known)} | {below} | {above} | {spread} | {area:.4f} |")
    lines += [f"| the bare error | | | | | | {np.nanmean(raw):.4f} |", ""]
    for name in (next(iter(drawn)), still):
        strays = [
            f"{channel.name} {one.alerts:.1f} ({repeats(channel):.0f})"
            for channel, one in zip(known, ways[name], strict=True)
            if not LOW <= one.alerts <= HIGH
        ]
        lines += [f"{name} strays on (per cent of alerts; per cent of windows whose error has been there before): {', '.join(strays)}.", ""]
    lines += [STRAYING, ""]
    held = [bars("telemetry, by every name", found, raw) for found in drawn.values()]
    together = {bar: all(one[bar] for one in held) for bar in held[0]}
    return lines, together | {"telemetry: chance fails": not all(bars("", ways["chance"], raw).values())}


def repeats(channel: Channel) -> float:
    """Per cent of the windows of `test` whose error, to six digits, another window before it in `test` had."""
    error = channel.error[channel.trained :]
    told = np.round(error / max(float(error.max()), 1e-300), 6)
    return 100.0 * (1.0 - len(np.unique(told)) / len(told))
