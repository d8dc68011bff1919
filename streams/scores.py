"""The score log: what was said of every event, in columns, each row with the coordinates it is de-duplicated by.

One or more records a batch, each below the broker's limit; `through` is the last offset that has been decided, so that silence
below it means "nothing found".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

from detectors.protocol import REASONS, Columns, Verdicts
from streams.partition import Origins

CELLS = 30_000  # in a record, of about 20 characters each: well below 900 kB
NAMED_BY = ("transaction", "merchant")  # fields by which late labels find their transaction


def records(stream: str, partition: int, through: int, columns: Columns, origins: Origins, verdicts: Verdicts) -> Iterator[bytes]:
    """Return the score records of a batch as JSON; numbers are written so that they are read back to the bit, NaN as null."""
    keys = columns.keys.tolist()
    table = {name: columns.fields[name] for name in NAMED_BY if name in columns.fields} | table_of(columns, verdicts)
    many = CELLS // (len(table) + 3)
    for first in range(0, max(len(verdicts), 1), many):
        rows = slice(first, first + many)
        yield msgspec.json.encode(
            {
                "stream": stream,
                "partition": partition,
                "through": through,
                "offset": origins.offset[rows].tolist(),
                "index": origins.index[rows].tolist(),
                "key": [key.decode("utf-8", "replace") for key in keys[rows]],
                **{name: _listed(column[rows]) for name, column in table.items()},
            }
        )


def table_of(columns: Columns, verdicts: Verdicts) -> dict[str, Any]:
    """The columns that the score log and `scores.parquet` share, by name."""
    return {
        "at": columns.at,
        "score": verdicts.score,
        "threshold": verdicts.threshold,
        "p_value": verdicts.p_value,
        "is_alert": verdicts.alert,
        "not_ready": verdicts.not_ready,
        "seen": verdicts.seen,
        "needed": verdicts.needed,
        "reason": verdicts.reason,
        **verdicts.evidence,
    }


def reason_text(code: int) -> str | None:
    """Why a row has no score, None where nothing is to be said."""
    return REASONS[code] or None


def _listed(column: Any) -> list[Any]:
    if column.dtype.kind != "f":
        return column.tolist()  # type: ignore[no-any-return]
    bad = ~np.isfinite(column)
    if not bad.any():
        return column.tolist()  # type: ignore[no-any-return]
    # JSON has no NaN and no infinity: NaN becomes null, an infinite threshold the word for it.
    return [None if x != x else ("inf" if x > 0 else "-inf") if x in (np.inf, -np.inf) else x for x in column.tolist()]
