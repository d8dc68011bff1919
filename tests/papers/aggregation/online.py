"""The handbook's transactions through `nilometer backtest cards`: a model that learns online, from labels a week late.

The book's rule: of a test day, cards known to be compromised are left out (in its test week 58,264 transactions with 385 frauds remain).
All of the file is folded and learned in order of time; only what is measured is picked.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from detectors.protocol import MICROSECONDS
from streams.measures import average_precision, card_precision, roc_auc, weighted_cost
from tests.papers.aggregation.handbook import DELAY_DAYS, EPOCH, TEST_DAYS, TRAIN_DAYS, Transactions, split

FIRST_DAY = 0  # where the fold begins; 94 is 2018-07-04, so that 28 days of labels are known as the book's test week begins
TEST_FROM = {"07-25": "08-08", "07-18": "08-01", "07-11": "07-25"}


class Online(NamedTuple):
    """What a stretch of test days came to."""

    transactions: int
    frauds: int
    average_precision: float
    roc_auc: float
    card_precision: float
    cost: float


def write(data: Transactions, path: Path, first_day: int = FIRST_DAY) -> np.ndarray:
    """Write the transactions from a day on as a file that `backtest` reads; return their places among `data`."""
    rows = np.flatnonzero(data.day >= first_day)
    columns = {
        "transaction_id": pa.array(np.char.mod("%d", rows)),
        "card_id": pa.array(np.char.mod("card-%d", data.card[rows])),
        "at": pa.array((EPOCH + data.time[rows]) * MICROSECONDS, pa.timestamp("us", "UTC")),
        "amount_minor": pa.array(data.amount[rows]),
        "merchant_id": pa.array(np.char.mod("terminal-%d", data.terminal[rows])),
        "label": pa.array(data.fraud[rows].astype(np.int8)),
    }
    pq.write_table(pa.table(columns), path)
    return rows


def scored(data: Transactions, folder: Path, first_day: int = FIRST_DAY) -> tuple[np.ndarray, np.ndarray]:
    """Scores of all transactions, NaN where there is none, and whether each is an alert; from what the command writes."""
    rows = write(data, folder / "handbook.parquet", first_day)
    command = [sys.executable, "-m", "streams.cli.main", "backtest", "cards", str(folder / "handbook.parquet")]
    subprocess.run([*command, "--out", str(folder), "--label-delay", f"{DELAY_DAYS}d"], check=True, stdout=subprocess.DEVNULL)
    said = pq.read_table(folder / "scores.parquet", columns=["score", "is_alert", "rule"])
    score, alert = np.full(len(data.card), np.nan), np.zeros(len(data.card), np.bool_)
    by_model = np.array(said["rule"].to_pylist()) == "cost"
    score[rows] = np.where(by_model, said["score"].to_numpy(), np.nan)
    alert[rows] = said["is_alert"].to_numpy(zero_copy_only=False)
    return score, alert


def measured(data: Transactions, score: np.ndarray, alert: np.ndarray, start: int, known_left_out: bool = True) -> Online:
    """Measure the test days of the split that begins at `start`."""
    if known_left_out:
        test = split(data, start)[1]
    else:
        first = start + TRAIN_DAYS + DELAY_DAYS
        test = np.flatnonzero((data.day >= first) & (data.day < first + TEST_DAYS))
    says, fraud = score[test], data.fraud[test]
    return Online(
        len(test), int(fraud.sum()), average_precision(says, fraud) or 0.0, roc_auc(says, fraud) or 0.0,
        card_precision(says, fraud, data.card[test], data.day[test]) or 0.0, weighted_cost(alert[test], fraud) or 0.0,
    )  # fmt: skip
