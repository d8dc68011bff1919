"""The paper's four families of features, of one simulated data set, at every window of 1 to 7 days.

Tx is the transaction alone: amount, credit limit, online, address matches, address does not match. The others add a number for each
attribute value j, online, offline, match, mismatch, over the card's transactions of the last d days that had it:

- SA: Eq. (1), Σ a; "SA gated" (ours) is C_j · (1 − p_c(A_j)) · Σ a, to tell the gate's share from the weights';
- TxG: Eq. (3), C_j · (1 − p_c(A_j)) · Σ (N − i)·a as printed, or Σ i·a as its text says ("recency");
- TG: Eq. (4), C_j · (1 − p_c(A_j)) · Σ (d − age)·a.

C_j is 1 where the transaction itself has the value j. p_c(A_j) is the card's share of j in its first four months, which are without
fraud, one transaction a value added (ours: the paper does not smooth). The transaction itself is in no sum (ours: the paper does not say).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from detectors.aggregation.offline import NONE, PLACED, RECENT, SIMPLE, TIMED, Histories
from detectors.protocol import MICROSECONDS
from streams.simulators.cards import DAY, MONTH, Columns

WINDOWS = tuple(range(1, 8))  # days
FAMILIES = ("Tx", "SA", "SA gated", "TxG", "TxG recency", "TG")
LEARNING_DAYS = 4 * MONTH  # p_c is of these
FIRST_FRAUD_DAY = 5 * MONTH


class Families(NamedTuple):
    """One data set: rows from the first month with frauds on.

    Attributes
    ----------
    train
        Whether a row is of the first half of the cards; the other half is for testing.
    label
        Whether it is fraud.
    features
        By family, shape (windows, n, features); Tx has the same for every window.
    """

    train: np.ndarray
    label: np.ndarray
    features: dict[str, np.ndarray]


def families(columns: Columns) -> Families:
    """Compute the families of a simulated data set."""
    _, card = np.unique(columns["card_id"], return_inverse=True)
    second = columns["at"] // MICROSECONDS
    day = (second - second.min()) // DAY
    amount = columns["amount"]
    online = (columns["mode"] == "online").astype(np.int64)
    match = columns["address_match"]
    histories = Histories.of(card, second, amount)
    gaps: dict[str, list[np.ndarray]] = {name: [] for name in FAMILIES[1:]}
    for attribute in (online, match):
        for value in (1, 0):
            sums = histories.sums([days * DAY for days in WINDOWS], attribute, np.full(len(card), value)) / 100.0
            gate = (attribute == value) * (1.0 - usual_share(card, attribute, value, day < LEARNING_DAYS)[card])
            gaps["SA"].append(sums[:, SIMPLE])
            gaps["SA gated"].append(gate * sums[:, SIMPLE])
            gaps["TxG"].append(gate * sums[:, PLACED])
            gaps["TxG recency"].append(gate * sums[:, RECENT])
            gaps["TG"].append(gate * sums[:, TIMED] / DAY)
    alone = np.column_stack([amount / 100.0, columns["credit_limit"] / 100.0, online, match == 1, match == 0])
    rows = day >= FIRST_FRAUD_DAY
    alone = np.broadcast_to(alone, (len(WINDOWS), *alone.shape))
    features = {"Tx": alone[:, rows]}
    for name, found in gaps.items():
        features[name] = np.concatenate([alone, np.stack(found, axis=-1)], axis=-1)[:, rows]
    return Families(card[rows] < (card.max() + 1) // 2, columns["label"][rows] == 1, features)


def usual_share(card: np.ndarray, attribute: np.ndarray, value: int, learning: np.ndarray) -> np.ndarray:
    """p_c(A_j) of every card: (n_j + 1) / (n + 2) over the learning time, where the attribute is given."""
    given = learning & (attribute != NONE)
    many = np.bincount(card[given], minlength=card.max() + 1)
    own = np.bincount(card[given & (attribute == value)], minlength=card.max() + 1)
    return (own + 1.0) / (many + 2.0)
