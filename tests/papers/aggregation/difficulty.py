"""How hard the simulated frauds are: what a single column finds, so that nobody takes an easy data set for a good detector."""

from __future__ import annotations

import numpy as np

from detectors.protocol import MICROSECONDS
from streams.measures import average_precision, roc_auc
from streams.simulators.cards import DAY, Columns

FALSE_ALARMS = 0.01  # of the genuine transactions


def single_columns(columns: Columns) -> dict[str, np.ndarray]:
    """What a rule could look at without a history longer than one transaction."""
    _, card = np.unique(columns["card_id"], return_inverse=True)
    second = columns["at"] // MICROSECONDS
    order = np.lexsort((second, card))
    gap = np.empty(len(card))
    gap[order] = np.diff(second[order], prepend=0)
    gap[order[np.diff(card[order], prepend=-1) != 0]] = 30 * DAY
    online, mismatch = columns["mode"] == "online", columns["address_match"] == 0
    return {
        "amount": columns["amount"] / 100.0,
        "amount / credit limit": columns["amount"] / columns["credit_limit"],
        "online": online.astype(float),
        "address does not match": mismatch.astype(float),
        "time since the card's last": -gap,
        "hour of the day": (second % DAY) / 3600.0,
        "credit limit": columns["credit_limit"] / 100.0,
        "does not match, then amount": mismatch * 1e6 + columns["amount"] / 100.0,
    }


def difficulty(columns: Columns, first_day: int) -> tuple[float, dict[str, tuple[float, float, float]]]:
    """The share of frauds from `first_day` on, and by column: ROC AUC, average precision, recall at FALSE_ALARMS.

    A column is taken in whichever direction has the larger AUC.
    """
    day = (columns["at"] - columns["at"].min()) // (DAY * MICROSECONDS)
    rows = day >= first_day
    label = columns["label"][rows] == 1
    found = {}
    for name, column in single_columns(columns).items():
        score = column[rows].astype(np.float64)
        area = roc_auc(score, label) or 0.5
        if area < 0.5:
            score, area = -score, 1.0 - area
        found[name] = (area, average_precision(score, label) or 0.0, recall(score, label))
    return float(label.mean()), found


def recall(score: np.ndarray, label: np.ndarray) -> float:
    """The share of frauds above the lowest threshold that at most FALSE_ALARMS of the genuine reach."""
    genuine = np.sort(score[~label])[::-1]
    bar = genuine[int(FALSE_ALARMS * len(genuine))]  # the first that must not be reached
    return float((score[label] > bar).mean())
