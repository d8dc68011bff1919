"""What has been counted of one employee, for somebody who watches one. Not part of the fold."""

from __future__ import annotations

from detectors.benford.detector import BenfordState
from detectors.protocol import Floats


def digits(state: BenfordState, slot: int) -> tuple[Floats, Floats]:
    """Return how many of the employee's postings each digit leads in this accounting year, and how many were expected; shapes (9,)."""
    state.fit()
    return state.rows["hits"][slot, :9].astype(float), state.rows["expected"][slot, :9].copy()
