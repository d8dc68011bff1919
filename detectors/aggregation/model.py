"""A version of the acting model: what the trainer publishes, a partition adopts at a cut, and the hot path applies.

A version is JSON: numbers by name, nothing to be executed and nothing pickled. It holds all that the trainer needs to go on learning
(moments, weights, squared gradients, the bins of the recalibration), so a new owner of the trainer's work begins where it stands,
and all that a partition needs to apply it. `names` are the features in order: a version made of others is refused, by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from detectors.aggregation.features import logarithmic
from detectors.aggregation.logistic import OnlineLogistic, contributions, inverse_deviations, logit_of
from detectors.aggregation.recalibration import BINS, Recalibration, recalibrated
from detectors.protocol import Bools, Floats

FORMAT, KIND = 2, "logistic"


class ModelRefused(ValueError):
    """A record that is no version of a model that this build can apply; the message says why."""


@dataclass(frozen=True)
class ActingModel:
    """A version as the hot path applies it.

    Attributes
    ----------
    version
        The hour of event time at which it was made, hours since 1970: it stands on every alert.
    learned, frauds
        Matured transactions that it has learned, each once, and how many of them were frauds.
    logs, mean, inverse, weights, curve
        Shapes (F,), (F,), (F,), (F + 1,), (BINS,): see `logistic.logit_of` and `recalibration.recalibrated`.
    """

    version: int
    learned: int
    frauds: int
    logs: Bools
    mean: Floats
    inverse: Floats
    weights: Floats
    clip: float
    curve: Floats

    def probability(self, vector: Floats) -> float:
        """The recalibrated probability that a transaction is a fraud."""
        return float(recalibrated(self.curve, logit_of(vector, self.logs, self.mean, self.inverse, self.weights, self.clip)))

    def contributions(self, vector: Floats) -> Floats:
        """What each feature adds to the logit, shape (F,); with the intercept they sum up to it."""
        return np.asarray(contributions(vector, self.logs, self.mean, self.inverse, self.weights, self.clip))

    def arrays(self) -> dict[str, np.ndarray]:
        """What a frozen state keeps of it."""
        head = np.array([self.version, self.learned, self.frauds], np.int64)
        return {
            "head": head,
            "logs": self.logs.astype(np.int64),
            "mean": self.mean,
            "inverse": self.inverse,
            "weights": np.append(self.weights, self.clip),
            "curve": self.curve,
        }

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray]) -> ActingModel:
        """The version that `arrays` were kept of."""
        version, learned, frauds = (int(value) for value in arrays["head"])
        weights = np.array(arrays["weights"], np.float64)
        mean, inverse, curve = (np.array(arrays[name], np.float64) for name in ("mean", "inverse", "curve"))
        logs = np.array(arrays["logs"]) > 0
        return cls(version, learned, frauds, logs, mean, inverse, weights[:-1].copy(), float(weights[-1]), curve)


def record(
    version: int, names: Sequence[str], model: OnlineLogistic, recalibration: Recalibration, learned: int, frauds: int
) -> dict[str, Any]:
    """A version as JSON; floats are written so that they are read back to the bit."""
    return {
        "format": FORMAT,
        "kind": KIND,
        "version": version,
        "names": list(names),
        "learned": learned,
        "frauds": frauds,
        "rate": model.rate,
        "clip": model.clip,
        "count": model.count,
        "mean": model.mean.tolist(),
        "squares": model.squares.tolist(),
        "weights": model.weights.tolist(),
        "gradients": model.gradients.tolist(),
        "half_life": recalibration.half_life,
        "seen": recalibration.seen.tolist(),
        "seen_frauds": recalibration.frauds.tolist(),
        "curve": recalibration.curve().tolist(),
    }


def learner(found: Mapping[str, Any], names: Sequence[str]) -> tuple[OnlineLogistic, Recalibration]:
    """The model and its recalibration as they stood when the record was made.

    Raises
    ------
    ModelRefused
        It is none of ours, or of other features.
    """
    _check(found, names)
    model = OnlineLogistic(len(names), found["rate"], found["clip"], logarithmic(names))
    model.count = found["count"]
    model.mean, model.squares = _numbers(found, "mean", len(names)), _numbers(found, "squares", len(names))
    model.weights, model.gradients = _numbers(found, "weights", len(names) + 1), _numbers(found, "gradients", len(names) + 1)
    recalibration = Recalibration(found["half_life"])
    recalibration.seen, recalibration.frauds = _numbers(found, "seen", BINS), _numbers(found, "seen_frauds", BINS)
    return model, recalibration


def acting(found: Mapping[str, Any], names: Sequence[str]) -> ActingModel:
    """The version as it is applied.

    Raises
    ------
    ModelRefused
        It is none of ours, or of other features.
    """
    _check(found, names)
    mean, squares, weights = (_numbers(found, name, len(names) + more) for name, more in (("mean", 0), ("squares", 0), ("weights", 1)))
    return ActingModel(
        found["version"], found["learned"], found["frauds"], _logs(tuple(names)), mean, inverse_deviations(squares, found["count"]),
        weights, float(found["clip"]), _numbers(found, "curve", BINS),
    )  # fmt: skip


@lru_cache(maxsize=8)
def _logs(names: tuple[str, ...]) -> Bools:
    return np.array(logarithmic(names), np.bool_)


def _check(found: Mapping[str, Any], names: Sequence[str]) -> None:
    if (found.get("format"), found.get("kind")) != (FORMAT, KIND):
        raise ModelRefused(f"a model of format {found.get('format')!r}, kind {found.get('kind')!r}: wanted {FORMAT}, {KIND!r}")
    if list(found["names"]) != list(names):
        strange = sorted(set(found["names"]) ^ set(names))
        why = f"{', '.join(strange[:5])} in one and not in the other" if strange else "the same in another order"
        raise ModelRefused(
            f"model {found.get('version')} was made of other features ({why}): windows and modes must be those of its making"
        )


def _numbers(found: Mapping[str, Any], name: str, many: int) -> Floats:
    values = np.array(found[name], np.float64)
    if values.shape != (many,) or not np.isfinite(values).all():
        raise ModelRefused(f"model {found.get('version')}: {name} has {values.size} numbers, or not all are finite: wanted {many}")
    return values
