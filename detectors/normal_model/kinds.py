"""What a class of sensors is judged with: the settings that may differ from class to class, checked, with their defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.normal_model.model import NORMAL_LENGTHS, SAMPLE_RATE
from detectors.normal_model.rolling import AR_ORDER

AUTO = "auto"  # a length that is each sensor's own dominant period
LEAST_WARM_UP = 2000  # readings, and
WARM_UP = 9  # ℓ_NM: the first rung of the ladder
AUTO_WARM_UP = 5000  # readings, where the period is to be found in them
REBUILDS = (5000, 10_000)  # readings of a regime: the further rungs
CALIBRATION = 1000  # readings, at least
MOST_RANKED = 4096  # scores of either channel that a sensor's conformal set holds at most: 32 KiB
SHORTEST = AR_ORDER + 1
FALLBACK = 75  # ℓ of a sensor without a period, if so much is allowed

# A row of the kernel's table: these, then the rungs of the ladder, 0 where there is none.
OF_LENGTH, OF_NORMAL_LENGTH, OF_CALIBRATION, RUNGS, FIRST_RUNG = range(5)
# And one of its levels.
EPSILON, FALSE_ALARMS, EXPECTED, LEFT_OUT, CONDITIONED = range(5)
ALERTS, FALSE = "alerts", "false"  # what is promised


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """The settings of one class, as `NormalModelDetector` describes them; None and 0 stand for the default.

    >>> Kind(length=100).ladder, Kind(length=100).normal_length, Kind(length=100).calibration
    ((2700, 5000, 10000), 300, 1000)
    """

    length: int | str = 75
    normal_length: int | None = None
    warm_up: int | None = None
    rebuilds: Sequence[int] = REBUILDS
    calibration: int | None = None
    epsilon: float = 0.01
    sample_rate: float = SAMPLE_RATE
    centroids: int = 1
    false_alarms_per_sensor_day: float = 0.1
    promise: str = ALERTS
    expected_anomaly_share: float = 0.0
    given_hardness: bool = False

    def __post_init__(self) -> None:
        auto, length = self.auto, self.length
        if not auto and not (isinstance(length, int) and SHORTEST <= length <= MOST_RANKED):
            raise ValueError(f'length = {length}: wanted between {SHORTEST} and {MOST_RANKED} readings, or "auto"')
        if auto and self.normal_length:
            raise ValueError(f"normal_length = {self.normal_length}: wanted 0 where the length is each sensor's own")
        shortest = SHORTEST if auto else int(length)
        normal_length = self.normal_length or NORMAL_LENGTHS * shortest
        if normal_length < shortest:
            raise ValueError(f"normal_length = {normal_length}: wanted at least length = {length} readings")
        warm_up = self.warm_up or (AUTO_WARM_UP if auto else max(LEAST_WARM_UP, WARM_UP * normal_length))
        least = WARM_UP * normal_length if auto else 2 * normal_length
        if warm_up < least:
            raise ValueError(f"warm_up = {warm_up}: wanted at least {least} readings, for windows of {normal_length} (normal_length)")
        if any(b <= a for a, b in zip([0, *self.rebuilds], self.rebuilds, strict=False)):
            raise ValueError(f"rebuilds = {list(self.rebuilds)}: wanted ascending numbers of readings, each once")
        longest = _longest(warm_up) if auto else int(length)
        calibration = self.calibration or min(max(CALIBRATION, 4 * longest), MOST_RANKED)
        if not longest <= calibration <= MOST_RANKED:
            raise ValueError(f"calibration = {calibration}: wanted between {longest} (length) and {MOST_RANKED} readings")
        if not 0.0 < self.epsilon < 1.0:
            raise ValueError(f"epsilon = {self.epsilon}: wanted a probability strictly between 0 and 1")
        if not 0.0 < self.sample_rate <= 1.0:
            raise ValueError(f"sample_rate = {self.sample_rate}: wanted a share in (0, 1]")
        if self.centroids < 1:
            raise ValueError(f"centroids = {self.centroids}: wanted a whole number of at least 1")
        if not 0.0 <= self.false_alarms_per_sensor_day < np.inf:
            raise ValueError(f"false_alarms_per_sensor_day = {self.false_alarms_per_sensor_day}: wanted a number a day, 0 for none set")
        if self.promise not in (ALERTS, FALSE):
            raise ValueError(f'promise = "{self.promise}": wanted "{ALERTS}" or "{FALSE}"')
        share = self.expected_anomaly_share
        if not 0.0 <= share <= 0.5 or (share > 0.0 and self.promise != FALSE):
            raise ValueError(f'expected_anomaly_share = {share}: wanted a share of at most 0.5, and 0 unless promise is "{FALSE}"')
        for name, value in (("normal_length", 0 if auto else normal_length), ("warm_up", warm_up), ("calibration", calibration)):
            object.__setattr__(self, name, value)

    @property
    def auto(self) -> bool:
        return self.length == AUTO

    @property
    def longest(self) -> int:
        """The greatest ℓ that a sensor of this class may come to have."""
        return _longest(self.warm_up or 0) if self.auto else int(self.length)

    @property
    def ladder(self) -> tuple[int, ...]:
        """Readings of a regime that its models are built from, ascending."""
        first = self.warm_up or 0
        return (first, *(readings for readings in self.rebuilds if readings > first))

    def signature(self) -> dict[str, Any]:
        """What of it shapes the state: all but ε and F. What came later is left out where it is off, as in states of before."""
        later = {"given_hardness": True} if self.given_hardness else {}
        return {
            "length": self.length, "normal_length": self.normal_length, "ladder": list(self.ladder), "calibration": self.calibration,
            "sample_rate": self.sample_rate, "centroids": self.centroids,
            "promise": self.promise, "expected_anomaly_share": self.expected_anomaly_share,
            **later,
        }  # fmt: skip


def _longest(warm_up: int) -> int:
    """The longest ℓ whose models can be built from the warm-up."""
    return min(warm_up // (WARM_UP * NORMAL_LENGTHS), MOST_RANKED)


def kinds_of(common: Mapping[str, Any], classes: Sequence[tuple[str, Mapping[str, Any]]]) -> tuple[Kind, ...]:
    """The kind of sensors without a class, then that of each class: the common settings with its own in their place."""
    kinds = [Kind(**common)]
    for name, own in classes:
        try:
            kinds.append(Kind(**{**common, **own}))
        except ValueError as mistake:
            raise ValueError(f"class {name}: {mistake}") from None
    return tuple(kinds)


def table_of(kinds: Sequence[Kind]) -> NDArray[np.int64]:
    """The kernel's table, shape (K, 4 + most rungs): ℓ and ℓ_NM (0 where they are each sensor's own), calibration, rungs, the rungs."""
    table = np.zeros((len(kinds), FIRST_RUNG + max(len(kind.ladder) for kind in kinds)), np.int64)
    for row, kind in zip(table, kinds, strict=True):
        row[:FIRST_RUNG] = (0 if kind.auto else int(kind.length), kind.normal_length or 0, kind.calibration or 0, len(kind.ladder))
        row[FIRST_RUNG : FIRST_RUNG + len(kind.ladder)] = kind.ladder
    return table


def levels_of(kinds: Sequence[Kind]) -> NDArray[np.float64]:
    """The kernel's levels, shape (K, 5): ε, F, the share of blocks set aside, whether confirmed ones are left out, hardness taken out."""
    rows = [
        (kind.epsilon, kind.false_alarms_per_sensor_day, kind.expected_anomaly_share, kind.promise == FALSE, kind.given_hardness)
        for kind in kinds
    ]
    return np.array(rows, np.float64)
