"""A forest on our features beside one on the handbook's fifteen, in the handbook's protocol.

Le Borgne, Siblini, Lebichot, Bontempi, *Reproducible machine learning for credit card fraud detection: practical handbook*, 2022,
chapters 3 and 5, and its simulated transactions. 7 days train, 7 days pass (the labels' delay), 7 days test. A card with a fraud in the
training days, or in those whose labels are known on a test day, is left out of that day. Card precision@100 drops a card caught on an
earlier day.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from detectors.aggregation import vectors
from detectors.aggregation.features import DEFAULT_MODES, MERCHANT_DAYS
from detectors.aggregation.offline import COUNT, SIMPLE, Histories, merchant_shares
from streams.measures import average_precision, card_precision, roc_auc
from streams.simulators.cards import DAY

FILE = Path("cards") / "handbook_2018-04_08.parquet"
EPOCH = 1_522_540_800  # 2018-04-01, seconds since 1970
STARTS = {"07-25": 115, "07-18": 108, "07-11": 101}  # days since 2018-04-01
TRAIN_DAYS, DELAY_DAYS, TEST_DAYS = 7, 7, 7
TREES = 100
SEEDS = 3
BOOK_DAYS = (1, 7, 30)


class Transactions(NamedTuple):
    """The handbook's transactions in order of time; seconds since 2018-04-01, minor units."""

    card: np.ndarray
    terminal: np.ndarray
    time: np.ndarray
    amount: np.ndarray
    fraud: np.ndarray

    @property
    def day(self) -> np.ndarray:
        return self.time // DAY


def read(file: Path) -> Transactions:
    """Read the handbook's file."""
    import pyarrow.parquet as pq

    table = pq.read_table(file)
    card, terminal, time, amount, fraud = (
        table[name].to_numpy().astype(np.int64) for name in ("card", "terminal", "t", "amount_cents", "fraud")
    )
    return Transactions(card, terminal, time, amount, fraud == 1)


def book_features(data: Transactions) -> np.ndarray:
    """The handbook's fifteen, shape (n, 15).

    Amount, weekend, night, and over 1, 7 and 30 days a card's number and mean of payments (this one included, as in the book) and a
    terminal's number and share of frauds up to a week ago.
    """
    weekend = (data.day + 6) % 7 >= 5  # 2018-04-01 was a Sunday
    night = data.time % DAY // 3600 <= 6
    spans = [days * DAY for days in BOOK_DAYS]
    own = Histories.of(data.card, data.time, data.amount).sums(spans, including=True)
    terminal = Histories.of(data.terminal, data.time, data.fraud.astype(np.int64)).sums(spans, delay=DELAY_DAYS * DAY)
    columns = [data.amount / 100.0, weekend, night]
    for window in range(len(spans)):
        columns += [own[window, COUNT], own[window, SIMPLE] / own[window, COUNT] / 100.0]
    for window in range(len(spans)):
        columns += [terminal[window, COUNT], terminal[window, SIMPLE] / np.maximum(terminal[window, COUNT], 1)]
    return np.column_stack(columns).astype(np.float32)


def our_features(data: Transactions) -> np.ndarray:
    """Ours: `detectors.aggregation.features.FEATURES`, shape (n, 60).

    Strictly causal: a transaction is in none of its own aggregates; the population's normal is the one of the last full hour; a
    terminal's share of frauds is of labels at least a week old. There are no payment modes, addresses and limits in these data: those
    features are 0.
    """
    not_given = np.full(len(data.card), -1, np.int64)
    of = vectors.Transactions(data.card, EPOCH + data.time, data.amount, not_given, not_given, not_given, data.terminal)
    spans = [days * DAY for days in MERCHANT_DAYS]
    shares = merchant_shares(data.terminal, data.time, data.fraud, spans, DELAY_DAYS * DAY)
    return vectors.vectors(of, vectors.hourly(of, len(DEFAULT_MODES)), shares).astype(np.float32)


def split(data: Transactions, start: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers of the training and of the test days, cards known as compromised left out of the latter."""
    day = data.day
    train = np.flatnonzero((day >= start) & (day < start + TRAIN_DAYS))
    known = set(data.card[train][data.fraud[train]].tolist())
    test = []
    for number in range(TEST_DAYS):
        known |= set(data.card[(day == start + TRAIN_DAYS + number - 1) & data.fraud].tolist())
        rows = np.flatnonzero(day == start + TRAIN_DAYS + DELAY_DAYS + number)
        test.append(rows[~np.isin(data.card[rows], list(known))])
    return train, np.concatenate(test)


class Measured(NamedTuple):
    """What a forest reached on one split."""

    average_precision: float
    roc_auc: float
    card_precision: float


def measure(data: Transactions, features: np.ndarray, start: int, seed: int) -> Measured:
    """Train a forest on a split and measure it."""
    from sklearn.ensemble import RandomForestClassifier

    train, test = split(data, start)
    forest: Any = RandomForestClassifier(n_estimators=TREES, random_state=seed, n_jobs=1)
    score = forest.fit(features[train], data.fraud[train]).predict_proba(features[test])[:, 1]
    fraud = data.fraud[test]
    return Measured(
        average_precision(score, fraud) or 0.0, roc_auc(score, fraud) or 0.0,
        card_precision(score, fraud, data.card[test], data.day[test]) or 0.0,
    )  # fmt: skip


def forests(data: Transactions, seeds: int = SEEDS) -> dict[str, np.ndarray]:
    """By name of the features: average precision, ROC AUC and card precision@100, shape (splits, seeds, 3)."""
    sets = {"the book's 15": book_features(data), "ours": our_features(data)}
    return {
        name: np.array([[measure(data, features, start, seed) for seed in range(seeds)] for start in STARTS.values()])
        for name, features in sets.items()
    }
