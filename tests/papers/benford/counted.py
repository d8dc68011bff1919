"""Digits counted over whole arrays, as tables want them."""

from __future__ import annotations

import numpy as np

from detectors.benford.digits import leading_digits


def count_digits(amounts: np.ndarray) -> np.ndarray:
    """How often each of 1 … 9 leads, shape (9,); zeros have no leading digit and are left out."""
    return np.bincount(leading_digits(amounts), minlength=10)[1:].astype(np.int64)
