"""Real purchasing cards, unlabelled: how many the digits test ever alarms at 5 %, and how many once fraud is put in.

Cards with at least 100 distinct amounts, replayed in order of their dates and looked at every 25 postings. A card that is alarmed is
not a false alarm for certain; but few can be fraudulent. The reference is what all 1,634 cards teach. Fraud: a share of a card's
postings replaced by amounts uniform just below 100.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detectors.benford.detector import BenfordDetector, BenfordState
from detectors.protocol import Columns, Verdicts, fold
from state.keys import PackedKeys

LEAST, EVERY, LEVEL = 100, 25, 0.05


def postings(path: Path) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Cards as numbers, event times (microseconds) and amounts in cents of the positive purchases, in order of card and date."""
    import pyarrow.parquet as pq

    table = pq.read_table(path, columns=["card", "date", "amount"])
    _, card = np.unique(np.array(table["card"].to_pylist()), return_inverse=True)
    at = table["date"].to_numpy().astype("datetime64[us]").astype(np.int64)
    amount = np.round(100.0 * table["amount"].to_numpy()).astype(np.int64)
    order = np.lexsort((np.arange(len(card)), at, card))
    order = order[amount[order] > 0]
    return card[order].astype(np.int64), at[order], amount[order]


def columns_of(card: NDArray[np.int64], at: NDArray[np.int64], amount: NDArray[np.int64]) -> Columns:
    """Purchases as postings without limits."""
    none, zeros = np.full(len(card), -1), np.zeros(len(card), np.int64)
    fields = {
        "amount": amount,
        "limit": none,
        "approval_limit": none,
        "upstream": zeros,
        "partition": zeros,
        "offset": np.arange(len(card)),
    }
    return Columns(PackedKeys.pack(card.astype(str).tolist()), at, fields)


def taught(detector: BenfordDetector, path: Path) -> BenfordState:
    """A state that has adopted what all cards teach."""
    teacher, state = detector.new_state(), detector.new_state()
    for _ in fold(detector, teacher, columns_of(*postings(path))):
        pass
    first = detector.merged([dict(detector.contribution(teacher) or {})])["population"]
    detector.adopt(state, {"population": first})
    # how cards scatter is known once there is a reference to scatter around
    for _ in fold(detector, state, columns_of(*postings(path))):
        pass
    second = detector.merged([dict(detector.contribution(state) or {})])["population"]
    state = detector.new_state()
    detector.adopt(state, {"population": second})
    return state


def alarmed(detector: BenfordDetector, path: Path, fraud: float = 0.0, seed: int = 0, test: str = "digits") -> tuple[float, int]:
    """The share of cards ever alarmed at a look by one test at 5 %, and how many cards there are."""
    card, at, amount = postings(path)
    distinct = np.bincount(np.unique(np.stack([card, amount]), axis=1)[0])
    kept = distinct[card] >= LEAST
    card, at, amount = card[kept], at[kept], amount[kept].copy()
    rng = np.random.default_rng(seed)
    guilty = rng.random(len(card)) < fraud
    amount[guilty] = rng.integers(9_000, 10_000, int(guilty.sum()))
    verdicts = Verdicts.join([part for _, part in fold(detector, taught(detector, path), columns_of(card, at, amount))])
    number = np.arange(len(card)) - np.searchsorted(card, card) + 1
    looked = (number % EVERY == 0) & (verdicts.evidence[test] >= 1.0 / LEVEL)
    cards = np.unique(card)
    return float(np.isin(cards, card[looked]).mean()), len(cards)
