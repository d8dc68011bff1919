"""Simulated events as tables in the columns that files and records have: amounts in major units, times as times."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa

_AMOUNTS = ("amount", "credit_limit", "limit", "approval_limit")
_NOT_GIVEN = -1
_OPTIONAL = ("address_match", "credit_limit", "limit", "approval_limit")


def table(columns: Mapping[str, Any], exponent: int = 2) -> pa.Table:
    """Return a simulator's arrays (minor units, microseconds, −1 for "not given") as a table of the backtest's columns."""
    made: dict[str, pa.Array] = {}
    for name, column in columns.items():
        absent = np.asarray(column) == _NOT_GIVEN if name in _OPTIONAL else None
        if name == "at":
            made[name] = pa.array(column, pa.timestamp("us", "UTC"))
        elif name in _AMOUNTS:
            amounts = [Decimal(minor).scaleb(-exponent) for minor in np.asarray(column).tolist()]
            made[name] = pa.array(amounts, pa.decimal128(18, exponent), mask=absent)
        elif column.dtype.kind == "U":
            made[name] = pa.array([text or None for text in column.tolist()], pa.string())
        else:
            made[name] = pa.array(column, mask=absent)
    return pa.table(made)
