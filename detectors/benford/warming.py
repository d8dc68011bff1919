"""Compiling what a handful of postings does not reach: the population's fit and its check, an alarm at a period's end."""

from __future__ import annotations

import numpy as np

from detectors.benford.detector import BenfordDetector
from detectors.protocol import Columns, fold
from state.keys import PackedKeys

POSTINGS = 200  # enough for a reference


def warm() -> None:
    """Let postings under a limit make a reference, and adopt it, a verdict and a period's end."""
    detector = BenfordDetector()
    state = detector.new_state()
    amounts = 1_000 + 97 * np.arange(POSTINGS)
    zeros = np.zeros(POSTINGS, np.int64)
    fields = {"amount": amounts, "limit": np.full(POSTINGS, 50_000), "approval_limit": np.full(POSTINGS, 10_000)}
    fields |= {"upstream": zeros, "partition": zeros, "offset": np.arange(POSTINGS)}
    for _ in fold(detector, state, Columns(PackedKeys.pack(["a"] * POSTINGS), zeros, fields)):
        pass
    detector.adopt(state, detector.merged([detector.contribution(state) or {}]))
    detector.adopt(state, {"verdicts": [{"slot": 0, "test": 0, "verdict": "confirmed", "last_unit": 2**62}]})
    period = int(state.clock[0])
    detector.adopt(state, {"period_end": {"period": period, "threshold": 1.0, "q": 0.05, "employees": 1, "taken": 1}})
