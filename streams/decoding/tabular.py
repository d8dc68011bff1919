"""Files in: CSV, Parquet and JSON lines, to the same columns (to the bit) as the records that `replay` makes of them.

A bad row keeps its place and gets a reason, as a bad record gets a dead letter. Event times are not held against the clock, unless
the file has a column `timestamp`, which then stands for the Kafka record's own.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from config.settings import Settings
from detectors.protocol import Columns, Floats, Ints
from streams.decoding import amounts, cells, fields, times
from streams.decoding.cells import Cells
from streams.decoding.json_lines import read_lines
from streams.decoding.layouts import LAYOUTS, TableBatch, to_json
from streams.decoding.refusals import Refusals
from streams.errors import UserError

__all__ = ["LAYOUTS", "TableBatch", "count_rows", "read", "to_json"]

BATCH = 65_536  # rows read at once


def read(stream: str, path: Path, settings: Settings, batch: int = BATCH) -> Iterator[TableBatch]:
    """Read a file of a stream (sensors, cards, employees, errors), `batch` rows at a time.

    Raises
    ------
    UserError
        If the file is none of the three kinds, is damaged, or lacks a column.
    """
    suffix = path.suffix.lower()
    if suffix in (".jsonl", ".ndjson"):
        return read_lines(stream, path, settings, batch)
    if suffix == ".csv":
        return _read_cells(stream, _csv(path, stream, batch), settings)
    if suffix in (".parquet", ".pq"):
        return _read_cells(stream, _parquet(path, stream, batch), settings)
    raise UserError(f"{path}: wanted a file that ends in .csv, .parquet or .jsonl")


def count_rows(path: Path) -> int | None:
    """How many rows a file has, for a progress bar; None where only reading it would tell."""
    if path.suffix.lower() not in (".parquet", ".pq"):
        return None
    try:
        return int(pq.read_metadata(path).num_rows)
    except (pa.ArrowException, OSError):
        return None  # reading it says what is wrong


def _read_cells(stream: str, batches: Iterator[Cells], settings: Settings) -> Iterator[TableBatch]:
    first = 0
    for rows in batches:
        yield _batch(stream, rows, first, settings)
        first += rows.n


def _batch(stream: str, rows: Cells, first: int, settings: Settings) -> TableBatch:
    """Check rows of cells and make their columns."""
    layout, refusals = LAYOUTS[stream], Refusals(rows.n, dict(rows.broken))
    ids = _required(rows, layout.key, refusals)
    given = list(ids)
    packed = fields.pack_ids(ids, layout.key, refusals)
    at = rows.times["at"]
    if None in rows.given["at"]:
        absent = at == times.NO_TIME
        refusals.where(absent & np.array([cell is None for cell in rows.given["at"]]), lambda row: "at is missing")
    stamped = None
    if "timestamp" in rows.times:
        stamped = np.where(rows.times["timestamp"] == times.NO_TIME, -1, rows.times["timestamp"] // 1000 * 1000)  # Kafka's are ms
    times.check(refusals, at, rows.given["at"], settings.records.earliest, stamped, settings.records.future)
    texts: dict[str, list[str | None]] = {}
    if stream == "sensors":
        classes = fields.class_codes(rows.column("class"), settings)
        columns = fields.sensors(packed, at, _numbers(rows, "value", refusals), classes)
    elif stream == "errors":
        error, hardness = _numbers(rows, "error", refusals), _numbers(rows, "hardness", refusals)
        parts = [rows.column(name) for name in fields.PART_NAMES[1:]]
        columns = fields.errors(packed, ids, parts, at, error, hardness, refusals)
    elif stream == "cards":
        transactions = _required(rows, "transaction_id", refusals)
        columns = fields.cards(
            packed, at, _amount(rows, settings.cards.exponent, refusals), rows.column("mode"), rows.column("address_match"),
            _limit(rows, "credit_limit", settings.cards.exponent, refusals), rows.column("merchant_id"), transactions, settings, refusals,
        )  # fmt: skip
        amounts.check_currency(rows.column("currency"), settings.cards.currency, "cards", refusals)
        texts = {"transaction_id": [*transactions], "employee_id": rows.column("employee_id")}
    else:
        exponent = settings.benford.exponent
        limit, approval_limit = (_limit(rows, name, exponent, refusals) for name in ("limit", "approval_limit"))
        columns = fields.employees(packed, at, _amount(rows, exponent, refusals), limit, approval_limit, refusals)
        amounts.check_currency(rows.column("currency"), settings.benford.currency, "benford", refusals)
    keep = refusals.kept()
    if len(keep) < rows.n:
        columns = Columns(columns.keys.take(keep), columns.at[keep], {name: column[keep] for name, column in columns.fields.items()})
        texts = {name: [column[row] for row in keep.tolist()] for name, column in texts.items()}
    keys = [text.encode(errors="surrogateescape") if text else None for text in given]
    label = rows.numbers.get("label")
    if label is not None and np.isnan(label).any():
        for place in np.flatnonzero(np.isnan(label)).tolist():
            cell = rows.given["label"][place]
            if isinstance(cell, str) and cell.strip():
                raise UserError(f"label = {cell!r} in row {first + place:,}: wanted 0 or 1")
    return TableBatch(first, columns, keep, keys, sorted(refusals.reasons.items()), label, texts, rows, stream)


def _required(rows: Cells, name: str, refusals: Refusals) -> list[str]:
    """A column of text that every row must have; refused rows get a stand-in."""
    column = rows.given[name]
    if None in column:
        for row, text in enumerate(column):
            if text is None:
                refusals.add(row, f"{name} is missing")
    return [text or "" for text in column]


def _numbers(rows: Cells, name: str, refusals: Refusals) -> Floats:
    values, given = rows.numbers[name], rows.given[name]
    if None in given:
        refusals.where(np.array([cell is None for cell in given]), lambda row: f"{name} is missing")
    fields.check_values(values, given, name, refusals)
    return values


def _amount(rows: Cells, exponent: int, refusals: Refusals) -> Ints:
    major = _limit(rows, "amount", exponent, refusals)
    return amounts.either(major, amounts.of_minor(rows.column("amount_minor"), "amount_minor", refusals), refusals)


def _limit(rows: Cells, name: str, exponent: int, refusals: Refusals) -> Ints:
    if name not in rows.given:
        return np.full(rows.n, amounts.MISSING)
    texts = [
        b"" if cell is None else b'"' + cell.encode(errors="replace") + b'"' if isinstance(cell, str) else repr(cell).encode()
        for cell in rows.given[name]
    ]  # fmt: skip
    return amounts.of_texts(texts, exponent, name, refusals)


def _csv(path: Path, stream: str, batch: int) -> Iterator[Cells]:
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file)
        header = [name.strip() for name in next(_lines(reader), [])]
        names = _names(path, stream, header)
        places = [header.index(name) for name in names]
        while True:
            rows: list[list[str]] = []
            broken: dict[int, str] = {}
            for row in islice(_lines(reader), batch):
                if len(row) == len(header):
                    rows.append([row[place] for place in places])
                    continue
                broken[len(rows)] = f"the row has {len(row)} cells: wanted {len(header)}"
                rows.append([row[place] if place < len(row) else "" for place in places])
            if not rows:
                return
            for place in _no_unicode(rows):
                broken.setdefault(place, "the row is not UTF-8")
            yield cells.of_text(names, rows, broken)


def _no_unicode(rows: list[list[str]]) -> list[int]:
    """Rows with bytes that were no UTF-8 (they stand as lone surrogates in the text)."""

    def broken(row: list[str]) -> bool:
        try:
            "".join(row).encode()
        except UnicodeEncodeError:
            return True
        return False

    return [place for place, row in enumerate(rows) if broken(row)]


def _lines(reader: Any) -> Iterator[list[str]]:
    """Rows that are not blank; one that the reader cannot take is a row without cells."""
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield [""]
            continue
        if row:
            yield row


def _parquet(path: Path, stream: str, batch: int) -> Iterator[Cells]:
    with path.open("rb") as source:
        try:
            file = pq.ParquetFile(source)
        except pa.ArrowException as error:
            raise UserError(f"{path}: is no Parquet file ({error})") from None
        names = _names(path, stream, file.schema_arrow.names)
        try:
            for part in file.iter_batches(batch, columns=list(names)):
                yield cells.of_arrow(part, names)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"{path}: is damaged ({error})") from None


def _names(path: Path, stream: str, header: Sequence[str]) -> list[str]:
    """The columns of ours that the file has; refuses a file that lacks one."""
    layout = LAYOUTS[stream]
    missing = [name for name in layout.required if name not in header]
    if layout.amounts and "amount" not in header and "amount_minor" not in header:
        missing.append("amount")
    twice = sorted({name for name in layout.all if list(header).count(name) > 1})
    if missing or twice:
        wrong = f"has no column {', '.join(missing)}" if missing else f"has the column {', '.join(twice)} twice"
        wanted = ", ".join((*layout.required, *(("amount",) if layout.amounts else ())))
        optional = ", ".join((*layout.optional, "label", "timestamp"))
        raise UserError(f"{path}: {wrong}; it has {', '.join(header) or 'none'}, {stream} want {wanted}[, {optional}]")
    return [name for name in layout.all if name in header]
