"""Files in: CSV, Parquet and JSON lines, to the same columns (to the bit) as the records that `replay` makes of them.

A bad row keeps its place and gets a reason, as a bad record gets a dead letter. Event times are not held against the clock, unless
the file has a column `timestamp`, which then stands for the Kafka record's own.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from config.settings import Settings
from detectors.protocol import Columns, Floats, Ints
from streams import amounts, cells, fields, times
from streams.cells import Cells
from streams.errors import UserError
from streams.records import DECODERS
from streams.refusals import Refusals
from streams.times import Moment
from streams.transport.chunk import NULL, Chunk

BATCH = 65_536  # rows read at once
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
    "sensors": Layout("sensor_id", ("sensor_id", "at", "value"), ()),
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
    stream: str = field(default="")

    def __len__(self) -> int:
        return len(self.keys)

    def record(self, place: int) -> tuple[bytes | None, bytes]:
        """The Kafka key and JSON value of a row, good or bad, that decode to what the row says."""
        if isinstance(self.values, Cells):
            return self.keys[place], to_json(self.stream, self.values, place)
        return self.keys[place], self.values[place]


def read(stream: str, path: Path, settings: Settings, batch: int = BATCH) -> Iterator[TableBatch]:
    """Read a file of a stream (sensors, cards, employees, errors), `batch` rows at a time.

    Raises
    ------
    UserError
        If the file is none of the three kinds, is damaged, or lacks a column.
    """
    suffix = path.suffix.lower()
    if suffix in (".jsonl", ".ndjson"):
        return _read_lines(stream, path, settings, batch)
    if suffix == ".csv":
        return _read_cells(stream, _csv(path, stream, batch), settings)
    if suffix in (".parquet", ".pq"):
        return _read_cells(stream, _parquet(path, stream, batch), settings)
    raise UserError(f"{path}: wanted a file that ends in .csv, .parquet or .jsonl")


def count_rows(path: Path) -> int | None:
    """How many rows a file has, for a progress bar; None where only reading it would tell."""
    return int(pq.read_metadata(path).num_rows) if path.suffix.lower() in (".parquet", ".pq") else None


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
        import json

        return json.dumps(record).encode()


def _when(at: int) -> Any:
    """RFC 3339, or seconds before the year 1, which it cannot write."""
    return times.written(at) if at >= _YEAR_1 else at / 1e6


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
        columns = fields.sensors(packed, at, _numbers(rows, "value", refusals))
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
        header = [name.strip() for name in next(reader, [])]
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


class _Beside(msgspec.Struct, gc=False):
    """What a line may carry beside its record."""

    label: float | bool | None = None
    timestamp: float | Moment | None = None


def _read_lines(stream: str, path: Path, settings: Settings, batch: int) -> Iterator[TableBatch]:
    """JSON lines are records already: each goes through the record layer under its own id as the Kafka key."""
    first = 0
    with path.open("rb") as file:
        while lines := list(islice(_filled(file), batch)):
            yield _line_batch(stream, lines, first, settings)
            first += len(lines)


def _filled(file: BinaryIO) -> Iterator[bytes]:
    """Lines that are not blank."""
    for line in file:
        stripped = line.strip()
        if stripped:
            yield stripped


def _line_batch(stream: str, lines: list[bytes], first: int, settings: Settings) -> TableBatch:
    beside = [_beside(line) for line in lines]
    keys = [_key(line, LAYOUTS[stream].key) for line in lines]
    stamps = np.array([-1 if b.timestamp is None else int(times.of_mixed([b.timestamp])[0]) // 1000 for b in beside], np.int64)
    decoded = DECODERS[stream](_chunk(keys, lines, stamps), settings)
    bad = [(letter.offset, letter.reason) for letter in decoded.dead]
    columns, rows, texts = decoded.columns, decoded.record, decoded.texts
    events = np.bincount(rows, minlength=len(lines))
    frames = set(np.flatnonzero(events > 1).tolist())
    if frames or len({place for place, _ in bad} & set(rows.tolist())):
        frames |= {place for place, _ in bad}
        keep = np.array([at for at, row in enumerate(rows.tolist()) if row not in frames], np.int64)
        named = {place for place, _ in bad}
        bad += [(place, "values: a file has one reading a row, wanted value") for place in frames - named]
        columns = Columns(columns.keys.take(keep), columns.at[keep], {name: column[keep] for name, column in columns.fields.items()})
        rows = rows[keep]
    labels = np.array([np.nan if b.label is None else float(b.label) for b in beside])
    label = None if np.isnan(labels).all() else labels
    return TableBatch(first, columns, rows, keys, sorted(bad), label, texts, lines, stream)


def _beside(line: bytes) -> _Beside:
    try:
        return msgspec.json.decode(line, type=_Beside)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _Beside()


def _key(line: bytes, name: str) -> bytes | None:
    try:
        text = msgspec.json.decode(line).get(name)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, AttributeError):
        import json

        try:
            text = json.loads(line).get(name)
        except (ValueError, RecursionError, AttributeError):
            return None
    return text.encode(errors="surrogatepass") if isinstance(text, str) and text else None


def _chunk(keys: Sequence[bytes | None], values: Sequence[bytes], timestamps: Ints) -> Chunk:
    """The chunk that a topic of these records would give, offsets counted from 0."""
    n = len(values)
    key_lengths = np.array([0 if key is None else len(key) for key in keys], np.int64)
    value_lengths = np.array([len(value) for value in values], np.int64)
    null = np.array([key is None for key in keys])
    stop = np.cumsum(key_lengths)
    total = int(stop[-1]) if n else 0
    value_stop = total + np.cumsum(value_lengths)
    buffer = np.frombuffer(bytearray(b"".join([key or b"" for key in keys]) + b"".join(values)) or bytearray(1), np.uint8)
    return Chunk(
        "", 0, 0, n, np.arange(n), timestamps, buffer,
        np.where(null, NULL, stop - key_lengths), np.where(null, NULL, stop), value_stop - value_lengths, value_stop,
    )  # fmt: skip
