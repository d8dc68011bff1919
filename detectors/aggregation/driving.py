"""What drives a model's alert: contributions by what a person would look at (merchant, amount, timing, …), each with its number.

A linear model adds up w·z over sixty features, of which many say much the same. Summed by subject they can be told: "the merchant (71 %),
whose payments known from 14 days were frauds in 57 % of cases". Shares are of all that speaks for a fraud.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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


def shares(total: Sequence[float]) -> dict[str, float]:
    """The subjects that speak for a fraud, the weightiest first, and their shares of what does; none where nothing does.

    `total` is what the features of each subject add to the logit.

    >>> shares([3.0, -1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0])
    {'merchant': 0.75, 'timing': 0.25}
    """
    a, b, c, d, e, f, g, h = (each if each > 0.0 else 0.0 for each in total)
    whole = ((a + b) + (c + d)) + ((e + f) + (g + h))
    order = sorted((-each, subject) for subject, each in enumerate(total) if each > 0.0)
    return {SUBJECTS[subject]: -each / whole for each, subject in order}


def sentence(found: Mapping[str, float], says: Callable[[str], str]) -> str:
    """The weightiest subjects with their shares; `says` tells of each what it is here, with a number.

    >>> sentence({"merchant": 0.7, "timing": 0.25, "amount": 0.05}, {"merchant": "known", "timing": "19 s"}.get)
    'Because of the merchant (70 %): known; and of the timing (25 %): 19 s.'
    """
    parts = [
        f"of the {subject} ({100 * share:.0f} %): {says(subject)}"
        for number, (subject, share) in enumerate(found.items())
        if number == 0 or (number < MOST_TOLD and share >= LEAST_SHARE)
    ]
    if not parts:
        return "Because of no 1 thing: nothing that is known of it speaks for a fraud but how frequent frauds are."
    return f"Because {'; '.join([*parts[:-1], 'and ' + parts[-1]] if len(parts) > 1 else parts)}."
