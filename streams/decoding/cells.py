"""Cells of a file, CSV or Parquet alike, as the record layer wants them: text, doubles, times, amounts by their digits.

A cell keeps what stood in the file where it cannot be read, so that the reason (and the JSON record that `replay` writes) shows it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from detectors.protocol import Floats, Ints
from streams.decoding import times
from streams.errors import UserError

TEXT, NUMBER, TIME, AMOUNT, WHOLE, SWITCH = range(6)

KINDS: dict[str, int] = {
    "at": TIME,
    "timestamp": TIME,
    "value": NUMBER,
    "error": NUMBER,
    "hardness": NUMBER,
    "label": NUMBER,
    "amount": AMOUNT,
    "credit_limit": AMOUNT,
    "limit": AMOUNT,
    "approval_limit": AMOUNT,
    "amount_minor": WHOLE,
    "address_match": SWITCH,
}  # every other column is text

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_NAIVE = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(\.\d+)?", re.ASCII)
_BLANKS = " \t"  # passed over around numbers and times
_SWITCHES: dict[str, bool] = {"true": True, "false": False, "1": True, "0": False}


@dataclass(slots=True)
class Cells:
    """Rows of a file in columns.

    Attributes
    ----------
    n
        How many rows.
    given
        What stood in each cell, for reasons and for JSON; None where nothing did.
    numbers, times
        Doubles (NaN: none) and microseconds (NO_TIME: none) of the columns of these kinds.
    broken
        Rows that are no rows, with the reason.
    """

    n: int
    given: dict[str, list[Any]] = field(default_factory=dict)
    numbers: dict[str, Floats] = field(default_factory=dict)
    times: dict[str, Ints] = field(default_factory=dict)
    broken: dict[int, str] = field(default_factory=dict)

    def column(self, name: str) -> list[Any]:
        return self.given.get(name) or [None] * self.n


def of_text(names: Sequence[str], rows: Sequence[Sequence[str]], broken: dict[int, str]) -> Cells:
    """Cells of a CSV file's rows; an empty cell is "not given"."""
    cells = Cells(len(rows), broken=broken)
    for place, name in enumerate(names):
        column: list[Any] = [row[place] or None for row in rows]
        kind = KINDS.get(name, TEXT)
        if kind == NUMBER:
            cells.numbers[name] = np.array([_double(text) for text in column], np.float64)
        elif kind == TIME:
            cells.times[name] = _times_of_text(column)
        elif kind == AMOUNT:
            column = [None if text is None else text.strip(_BLANKS) for text in column]
        elif kind == WHOLE:
            column = [_whole(text) for text in column]
        elif kind == SWITCH:
            column = [None if text is None else _SWITCHES.get(text.strip(_BLANKS).lower(), text) for text in column]
        cells.given[name] = column
    return cells


def of_arrow(batch: pa.RecordBatch, names: Sequence[str]) -> Cells:
    """Cells of a Parquet file's rows; null is "not given", and so is NaN where a column is optional.

    Raises
    ------
    UserError
        If a column has a type that does not hold what its name says.
    """
    cells = Cells(batch.num_rows)
    for name in names:
        column = batch.column(name)
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        kind, type_ = KINDS.get(name, TEXT), column.type
        texts = pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_)
        numbers = pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_decimal(type_)
        if pa.types.is_null(type_):
            column, texts = column.cast(pa.string()), True
        if kind == TEXT:
            if not texts and not pa.types.is_integer(type_):
                raise UserError(f"{name} has the type {type_}: wanted text or whole numbers")
            cells.given[name] = column.cast(pa.string()).to_pylist()
        elif kind == NUMBER:
            if not (texts or numbers or (name == "label" and pa.types.is_boolean(type_))):
                raise UserError(f"{name} has the type {type_}: wanted numbers")
            cells.given[name] = column.to_pylist()
            cells.numbers[name] = np.array([_double(cell) for cell in cells.given[name]], np.float64) if texts else _doubles(column)
        elif kind == TIME:
            cells.given[name] = column.to_pylist() if texts or numbers else [None] * len(column)
            if texts:
                cells.times[name] = _times_of_text(cells.given[name])
            elif numbers:
                cells.times[name] = times.of_seconds(_doubles(column))
            elif pa.types.is_timestamp(type_) or pa.types.is_date(type_):
                micros = column.cast(pa.timestamp("us", getattr(type_, "tz", None)), safe=False).cast(pa.int64())
                cells.times[name] = np.where(
                    np.asarray(column.is_null(), np.bool_), times.NO_TIME, np.asarray(micros.fill_null(0), np.int64)
                )
            else:
                raise UserError(f"{name} has the type {type_}: wanted a timestamp, RFC 3339 text or seconds since 1970")
        elif kind == AMOUNT:
            if not texts and not numbers:
                raise UserError(f"{name} has the type {type_}: wanted numbers in major units")
            cells.given[name] = _digits(column)
        elif kind == WHOLE:
            if not pa.types.is_integer(type_) and not texts:
                raise UserError(f"{name} has the type {type_}: wanted whole numbers of minor units")
            cells.given[name] = [_whole(cell) for cell in column.to_pylist()] if texts else column.to_pylist()
        else:
            cells.given[name] = [_switch(cell) for cell in column.to_pylist()]
    return cells


def _double(text: str | None) -> float:
    bare = "" if text is None else text.strip(_BLANKS)
    return float(bare) if _NUMBER.fullmatch(bare) else math.nan


def _doubles(column: pa.Array) -> Floats:
    """Doubles of a numeric column, NaN for null; a float32 is the double of the same value."""
    return np.array(pc.fill_null(column.cast(pa.float64(), safe=False), math.nan), np.float64)


def _times_of_text(column: Sequence[str | None]) -> Ints:
    """Microseconds of cells that hold seconds since 1970, RFC 3339, or a date or time without an offset, which is taken as UTC."""
    seconds = np.array([_double(text) for text in column], np.float64)
    out = times.of_seconds(seconds)
    for row in np.flatnonzero(np.isnan(seconds)).tolist():
        text = column[row]
        if text is not None:
            bare = text.strip(_BLANKS)
            out[row] = times.of_text(f"{bare}T00:00:00Z" if _DATE.fullmatch(bare) else f"{bare}Z" if _NAIVE.fullmatch(bare) else bare)
    return out


def _digits(column: pa.Array) -> list[Any]:
    """Amounts as numbers or texts whose digits are those of the file; None for null and NaN.

    A float32 is meant by its own shortest digits: 12.34 as a float32 is 12.3400001525… as a double.
    """
    cells = column.to_pylist()
    if pa.types.is_floating(column.type):
        if column.type != pa.float64():
            cells = [None if cell is None else str(np.float32(cell)) for cell in cells]
            return [None if cell is None or cell == "nan" else cell for cell in cells]
        return [None if cell is None or math.isnan(cell) else cell if math.isfinite(cell) else str(cell) for cell in cells]
    if pa.types.is_decimal(column.type):
        return [None if cell is None else format(cell, "f") for cell in cells]
    return [cell if cell is None or isinstance(cell, int) else cell.strip(_BLANKS) or None for cell in cells]


def _whole(text: str | None) -> Any:
    """A whole number of a text, the text itself where it is none."""
    stripped = text.strip(_BLANKS) if text else ""
    return int(stripped) if re.fullmatch(r"-?[0-9]{1,18}", stripped) else text


def _switch(cell: Any) -> Any:
    if isinstance(cell, str):
        return _SWITCHES.get(cell.strip(_BLANKS).lower(), cell or None)
    if isinstance(cell, float):
        return None if math.isnan(cell) else bool(cell) if cell in (0.0, 1.0) else cell
    return cell
