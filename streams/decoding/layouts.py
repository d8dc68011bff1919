"""What a file of each stream has for columns, a batch of its rows, and a row as the JSON record that `replay` writes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from detectors.protocol import Columns, Floats, Ints
from streams.decoding import cells, times
from streams.decoding.cells import Cells

_YEAR_1 = -62_135_596_800_000_000  # microseconds


@dataclass(frozen=True, slots=True)
class Layout:
    """A stream's columns in files: `key` is the Kafka key; one of `amount` and `amount_minor` is required where the stream has amounts."""

    key: str
    required: tuple[str, ...]
    optional: tuple[str, ...]
    amounts: bool = False

    @property
    def all(self) -> tuple[str, ...]:
        return (*self.required, *(("amount", "amount_minor") if self.amounts else ()), *self.optional, "label", "timestamp")


LAYOUTS: Mapping[str, Layout] = {
    "sensors": Layout("sensor_id", ("sensor_id", "at", "value"), ("class",)),
    "cards": Layout(
        "card_id", ("transaction_id", "card_id", "at"),
        ("mode", "address_match", "credit_limit", "merchant_id", "employee_id", "currency"), amounts=True,
    ),
    "employees": Layout("employee_id", ("employee_id", "at"), ("limit", "approval_limit", "currency"), amounts=True),
    "errors": Layout("source_id", ("source_id", "at", "error", "hardness"), ("class", "segment", "model", "model_version")),
}  # fmt: skip


@dataclass(slots=True)
class TableBatch:
    """Consecutive rows of a file.

    Attributes
    ----------
    first_row
        The file's row (from 0) of the first.
    columns
        The good rows as a detector's columns.
    rows
        Their places in this batch.
    keys
        Every row's Kafka key; None where it has none.
    bad
        The others' places, in order, with the reason.
    label
        Doubles, NaN where a row has none; None if the file has no labels.
    texts
        Columns of the good rows that no detector reads: cards have "transaction_id" and "employee_id".
    values
        Every row as its JSON record, made when asked for (`record`).
    """

    first_row: int
    columns: Columns
    rows: Ints
    keys: list[bytes | None]
    bad: list[tuple[int, str]]
    label: Floats | None
    texts: dict[str, list[str | None]]
    values: Cells | list[bytes]
    stream: str

    def __len__(self) -> int:
        return len(self.keys)

    def record(self, place: int) -> tuple[bytes | None, bytes]:
        """The Kafka key and JSON value of a row, good or bad, that decode to what the row says."""
        if isinstance(self.values, Cells):
            return self.keys[place], to_json(self.stream, self.values, place)
        return self.keys[place], self.values[place]


def to_json(stream: str, rows: Cells, place: int) -> bytes:
    """The JSON record of a row, as `replay` writes it: event times in RFC 3339, amounts by the digits of the file."""
    record: dict[str, Any] = {}
    for name in LAYOUTS[stream].all:
        if name not in rows.given or name in ("label", "timestamp"):
            continue
        given, kind = rows.given[name][place], cells.KINDS.get(name, cells.TEXT)
        if kind == cells.TIME and rows.times[name][place] != times.NO_TIME:
            given = _when(int(rows.times[name][place]))
        elif kind == cells.NUMBER and given is not None:
            number = float(rows.numbers[name][place])
            given = number if np.isfinite(number) else str(given)
        if given is not None:
            record[name] = given
    try:
        return msgspec.json.encode(record)
    except (UnicodeEncodeError, ValueError):  # bytes that were no UTF-8: the record layer refuses them, too
        return json.dumps(record).encode()


def _when(at: int) -> Any:
    """RFC 3339, or seconds before the year 1, which it cannot write."""
    return times.written(at) if at >= _YEAR_1 else at / 1e6
