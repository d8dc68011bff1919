"""What the kernels of a stream say to known events, as a digest: workers whose digests differ do not compute the same to the bit.

The promise that a replay says what was said is one of a build on one kind of processor (libm and vector units round differently). The
digest is taken when the kernels are compiled, of a fold that warms up, builds, scores and alerts, and stands in the metrics.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from config.load import load
from detectors.protocol import Columns
from state.keys import PackedKeys
from streams.configured import definition
from streams.partition import Origins, run

EVENTS = 900
SETTINGS: dict[str, Any] = {  # so that keys are ready after a few hundred events
    "sensors.length": 10, "sensors.normal_length": 20, "sensors.warm_up": 60, "sensors.rebuilds": [], "sensors.calibration": 20,
    "sensors.hand_over_lag": 5, "sensors.hand_over_spread": 5,
    "calibration.warm_up": 60, "calibration.width": 100, "calibration.epsilon": 0.05,
    "calibration.hand_over_lag": 5, "calibration.hand_over_spread": 5,
    "benford.mu": 3.0, "benford.sigma": 0.7, "cards.calibration": 200, "cards.epsilon": 0.01,
}  # fmt: skip


def digest(stream: str) -> str:
    """Sixteen hexadecimal digits of the state and the verdicts after known events of three keys."""
    part = definition(stream, load(environment={}, overrides=SETTINGS)).partition(0)
    number = np.arange(EVENTS)
    wave = np.sin(number / 7.0) + 0.05 * np.sin(1.7 * number * number)  # not a draw: a generator may change
    wave[EVENTS * 3 // 4 :] *= 3.0
    positive = np.exp(wave)
    whole = (100.0 * positive).astype(np.int64) + 1
    values: dict[str, Any] = {"value": wave, "error": positive, "hardness": positive[::-1].copy(), "amount": whole, "transaction": number}
    fields = {name: values.get(name, np.full(EVENTS, -1.0)).astype(dtype) for name, dtype in part.detector.fields.items()}
    columns = Columns(PackedKeys.pack(["a", "b", "c"] * (EVENTS // 3)), number * 60_000_000, fields)
    outcome = run(part.fold(columns, Origins.of_record(part.topic, 0, number, np.zeros(EVENTS, np.int64)), EVENTS))
    verdicts = outcome.verdicts
    said = hashlib.blake2b(part.freeze(), digest_size=8)
    for column in (verdicts.score, verdicts.threshold, verdicts.p_value):
        said.update(np.ascontiguousarray(column).tobytes())
    return said.hexdigest()
