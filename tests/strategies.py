"""Streams to try detectors on: legal, and as unpleasant as legal allows."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from detectors.protocol import Columns
from state.keys import PackedKeys

KEYS = ("a", "b", "the third", "ключ")


def sensor_fields(rng: np.random.Generator, n: int) -> dict[str, np.ndarray[Any, Any]]:
    """A wave with noise, stretches that stand still, a spike and a jump in level."""
    value = np.sin(np.arange(n) * 2 * np.pi / 8) + 0.1 * rng.standard_normal(n)
    for _ in range(int(rng.integers(0, 4))):
        place = int(rng.integers(0, n + 1))
        value[place : place + int(rng.integers(1, 30))] = rng.choice([0.0, 3.0, 1e9, -1e6])
    return {"value": value, "class": rng.integers(-1, 2, n)}


def card_fields(rng: np.random.Generator, n: int) -> dict[str, np.ndarray[Any, Any]]:
    """Payments, refunds, repeats of a transaction, everything optional now and then missing."""
    transaction = rng.integers(0, 2**62, n)
    for row in np.flatnonzero(rng.random(n) < 0.05):
        transaction[row] = transaction[max(0, row - 3)]
    return {
        "amount": np.round(np.exp(rng.normal(8, 1.5, n))).astype(np.int64) * np.where(rng.random(n) < 0.05, -1, 1),
        "mode": rng.integers(-1, 3, n),
        "address_match": rng.integers(-1, 2, n),
        "credit_limit": rng.choice(np.array([-1, 200_000]), n),
        "merchant": rng.integers(-1, 50, n),
        "transaction": transaction,
    }


def posting_fields(rng: np.random.Generator, n: int) -> dict[str, np.ndarray[Any, Any]]:
    """Log-normal amounts, some under an accounting limit, some employees fond of nines."""
    amount = np.maximum(1, np.round(10 ** rng.normal(4.5, 0.6, n))).astype(np.int64)
    nines = rng.random(n) < 0.2
    amount[nines] = rng.integers(900_000, 1_000_000, int(nines.sum()))
    limit = rng.choice(np.array([-1, 1_000_000, 5_000_000]), n)
    return {"amount": amount, "limit": limit, "approval_limit": rng.choice(np.array([-1, 1_000_000]), n)}


def error_fields(rng: np.random.Generator, n: int) -> dict[str, np.ndarray[Any, Any]]:
    """Errors that grow with hardness, ties, zeros, a few enormous ones."""
    hardness = np.round(np.exp(0.5 * rng.standard_normal(n)), int(rng.integers(0, 6)))
    error = (0.1 + 0.5 * hardness) * np.exp(0.3 * rng.standard_normal(n))
    error[rng.random(n) < 0.02] *= 50
    error[rng.random(n) < 0.02] = 0.0
    return {"error": error, "hardness": hardness}


FIELDS = {"normal_model": sensor_fields, "aggregation": card_fields, "benford": posting_fields, "hardness": error_fields}


@st.composite
def streams(draw: st.DrawFn, detector: str, most: int = 500) -> Columns:
    """A stream of up to `most` events of a few keys: times mostly rise, some repeat, some are late."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(1, most))
    keys = [KEYS[i] for i in rng.integers(0, draw(st.integers(1, len(KEYS))), n)]
    step = rng.choice(np.array([0, 1, 60, 3_600, -30]), n, p=[0.05, 0.45, 0.2, 0.25, 0.05])
    at = (1_700_000_000 + np.cumsum(step)) * 1_000_000
    fields = FIELDS[detector](rng, n)
    return Columns(PackedKeys.pack(keys), at.astype(np.int64), {name: np.ascontiguousarray(column) for name, column in fields.items()})


def cuts(n: int) -> st.SearchStrategy[list[int]]:
    """Places at which a stream of n events is cut into batches."""
    return st.lists(st.integers(0, n), max_size=6).map(sorted)
