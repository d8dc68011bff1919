"""One source folded by the stream's detector."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from detectors.hardness.detector import HardnessDetector
from detectors.protocol import ROW, TEST, Columns, Verdicts, fold
from state.keys import PackedKeys


@dataclass(frozen=True)
class Folded:
    """Per event, shape (n,): p-value (NaN before there is one), calibrated score, and whether the error's or hardness' test alarmed.

    And the processor's time that folding one took.
    """

    p_value: np.ndarray
    calibrated: np.ndarray
    alert: np.ndarray
    microseconds: float


def folded(error: np.ndarray, hardness: np.ndarray, *, source: str = "source", **settings: object) -> Folded:
    """Fold events of one source in order; drift alarms are left out, they spend no budget. Its name is what draws hang on."""
    detector = HardnessDetector(**settings)  # type: ignore[arg-type]
    n = len(error)
    columns = Columns(PackedKeys.pack([source] * n), np.arange(n), {"error": error, "hardness": hardness})
    started = time.process_time()
    verdicts = Verdicts.join([part for _, part in fold(detector, detector.new_state(), columns)])
    spent = (time.process_time() - started) / n * 1e6
    alert = np.zeros(n, np.bool_)
    places = verdicts.alarms.places
    alert[places[places[:, TEST] < 2, ROW]] = True
    return Folded(verdicts.p_value, verdicts.evidence["calibrated"], alert, spent)
