"""What drives a model's alert: contributions by what a person would look at (merchant, amount, timing, …), each with its number.

A linear model adds up w·z over sixty features, of which many say much the same. Summed by subject they can be told: "the merchant (71 %),
whose payments known from 14 days were frauds in 57 % of cases". Shares are of all that speaks for a fraud.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from detectors.protocol import Ints

SUBJECTS = ("merchant", "amount", "payment mode", "address", "credit limit", "timing", "unusual amounts of late", "spending of late")
MERCHANT, AMOUNT, MODE, ADDRESS, LIMIT, TIMING, UNUSUAL, SPENDING = range(len(SUBJECTS))
LEAST_SHARE, MOST_TOLD = 0.1, 3

_OF_NAME = {
    "amount": AMOUNT, "log_amount": AMOUNT, "surprise_amount": AMOUNT, "amount_ratio": AMOUNT, "amount_z": AMOUNT,
    "surprise_mode": MODE, "mode_rarity": MODE, "address_match": ADDRESS, "address_mismatch": ADDRESS, "limit_share": LIMIT,
    "night": TIMING, "weekend": TIMING, "log_gap": TIMING, "surprise_gap": TIMING, "own_count": SPENDING, "own_mean": SPENDING,
}  # fmt: skip


@lru_cache(maxsize=8)
def subjects_of(names: tuple[str, ...]) -> Ints:
    """The subject of each feature.

    >>> [SUBJECTS[subject] for subject in subjects_of(("merchant_7d", "log_gap", "tg_match_3d", "cond_mode_1d", "n_big_7d", "sa_1d"))]
    ['merchant', 'timing', 'address', 'payment mode', 'unusual amounts of late', 'spending of late']
    """
    return np.array([_subject(name) for name in names], np.int64)


def _subject(name: str) -> int:
    if name in _OF_NAME:
        return _OF_NAME[name]
    if name.startswith("merchant_"):
        return MERCHANT
    parts = name.split("_")
    if parts[0] == "mode" or "mode" in parts:
        return MODE
    return ADDRESS if "match" in parts else UNUSUAL if "big" in parts else SPENDING


def weightiest_first(shares: Sequence[float]) -> list[int]:
    """The subjects that speak for a fraud at all, the weightiest first.

    >>> weightiest_first([0.25, 0.0, 0.0, 0.0, 0.0, 0.75, 0.0, 0.0])
    [5, 0]
    """
    return [subject for _, subject in sorted((-share, subject) for subject, share in enumerate(shares) if share > 0.0)]


def sentence(order: Sequence[int], shares: Sequence[float], says: Callable[[int], str]) -> str:
    """The weightiest subjects with their shares; `says` tells of each what it is here, with a number.

    >>> sentence([MERCHANT, TIMING, AMOUNT], [0.7, 0.05, 0.0, 0.0, 0.0, 0.25, 0.0, 0.0], {MERCHANT: "known", TIMING: "19 s"}.__getitem__)
    'Because of the merchant (70 %): known; and of the timing (25 %): 19 s.'
    """
    parts = [
        f"of the {SUBJECTS[subject]} ({100 * shares[subject]:.0f} %): {says(subject)}"
        for number, subject in enumerate(order[:MOST_TOLD])
        if number == 0 or shares[subject] >= LEAST_SHARE
    ]
    if not parts:
        return "Because of no 1 thing: nothing that is known of it speaks for a fraud but how frequent frauds are."
    return f"Because {'; '.join([*parts[:-1], 'and ' + parts[-1]] if len(parts) > 1 else parts)}."
