"""Files in: a file's row and the record that `replay` makes of it give the same columns, to the bit."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.load import defaults, replaced
from streams.decoding.tabular import LAYOUTS, TableBatch, count_rows, read
from streams.errors import UserError
from streams.records import DECODERS
from tests.streams.chunks import chunk_of

SETTINGS = defaults()
ROWS: dict[str, dict[str, list[Any]]] = {
    "sensors": {"sensor_id": ["a", "b"], "at": [1.5, 2.5], "value": [0.1, -3.0]},
    "cards": {"transaction_id": ["t1", "t2"], "card_id": ["a", "b"], "at": [1.5, 2.5], "amount": [12.34, -1.0]},
    "employees": {"employee_id": ["a", "b"], "at": [1.5, 2.5], "amount": [12.34, 7.0]},
    "errors": {"source_id": ["a", "b"], "at": [1.5, 2.5], "error": [0.5, 1.0], "hardness": [2.0, 3.0]},
}


def csv_file(path: Path, table: dict[str, Sequence[Any]]) -> Path:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(table)
    writer.writerows(zip(*table.values(), strict=True))
    path = path / "rows.csv"
    path.write_text(text.getvalue(), encoding="utf-8")
    return path


def parquet_file(path: Path, table: dict[str, Any]) -> Path:
    path = path / "rows.parquet"
    pq.write_table(pa.table(table), path)
    return path


def lines_file(path: Path, lines: Sequence[bytes]) -> Path:
    path = path / "rows.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def one(stream: str, path: Path, **keywords: Any) -> TableBatch:
    (batch,) = read(stream, path, keywords.pop("settings", SETTINGS), **keywords)
    return batch


def seen(columns: Any, texts: dict[str, Any]) -> dict[str, Any]:
    """Everything a detector sees, bit for bit."""
    return {"keys": columns.keys.tolist(), "at": columns.at.tolist(), "texts": texts} | {
        name: (str(column.dtype), column.tobytes()) for name, column in columns.fields.items()
    }


def assert_replay_says_the_same(stream: str, batch: TableBatch, **settings_: Any) -> None:
    """Hold a batch's columns against those of its rows' JSON records."""
    chunk = chunk_of([batch.record(place) for place in range(len(batch))], first=0, stamp=-1)
    decoded = DECODERS[stream](chunk, settings_.get("settings", SETTINGS))
    assert seen(decoded.columns, decoded.texts) == seen(batch.columns, batch.texts)
    assert decoded.record.tolist() == batch.rows.tolist()
    assert [letter.offset for letter in decoded.dead] == [place for place, _ in batch.bad]
    assert [letter.key for letter in decoded.dead] == [batch.keys[place] for place, _ in batch.bad]


# ----------------------------------------------------------------------------------------------------------------- kinds


@pytest.mark.parametrize("stream", ROWS)
def test_csv_parquet_and_json_lines_say_the_same(stream: str, tmp_path: Path) -> None:
    from_csv = one(stream, csv_file(tmp_path, ROWS[stream]))
    from_parquet = one(stream, parquet_file(tmp_path, ROWS[stream]))
    from_lines = one(stream, lines_file(tmp_path, [from_parquet.record(place)[1] for place in range(2)]))
    assert seen(from_csv.columns, from_csv.texts) == seen(from_parquet.columns, from_parquet.texts)
    assert seen(from_lines.columns, from_lines.texts) == seen(from_parquet.columns, from_parquet.texts)
    for batch in (from_csv, from_parquet, from_lines):
        assert (batch.bad, batch.keys, batch.rows.tolist(), batch.label) == ([], [b"a", b"b"], [0, 1], None)
        assert batch.columns.at.tolist() == [1_500_000, 2_500_000]
        assert_replay_says_the_same(stream, batch)


def test_rows_come_in_batches_and_keep_their_numbers(tmp_path: Path) -> None:
    table = {"sensor_id": ["s"] * 7, "at": list(range(7)), "value": [float(i) for i in range(7)], "label": [0, 1, None, 0, 1, 0, 1]}
    for path in (csv_file(tmp_path, table | {"label": ["0", "1", "", "0", "1", "0", "1"]}), parquet_file(tmp_path, table)):
        batches = list(read("sensors", path, SETTINGS, batch=3))
        assert [(batch.first_row, len(batch)) for batch in batches] == [(0, 3), (3, 3), (6, 1)]
        assert np.concatenate([batch.columns.at for batch in batches]).tolist() == [i * 1_000_000 for i in range(7)]
        labels = np.concatenate([batch.label for batch in batches if batch.label is not None])
        np.testing.assert_array_equal(labels, [0, 1, np.nan, 0, 1, 0, 1])
    assert count_rows(parquet_file(tmp_path, table)) == 7
    assert count_rows(csv_file(tmp_path, table)) is None


def test_a_bad_row_keeps_its_place_and_gets_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(
        b"\xef\xbb\xbfat,colour,sensor_id,value\n"
        b"1,red,a,1.0\n"
        b"x,red,a,1.0\n"
        b"1,red,,1.0\n"
        b"1,red,a,\n"
        b"1,red,a\n"
        b"\n"
        b"1,red,a,1,2\n"
        b"1,\xff,a,1\n"
        b"1,red,a,nan\n"
        b"1,red,a,1e16\n"
        b"-1,red,a,1\n"
        b'1,"red\nblue",a,2.0\n'
        b"1,red,\xff,1\n"
        b",red,a,1\n"
        b"1,red,a,1_0\n"
    )
    batch = one("sensors", path)
    assert batch.rows.tolist() == [0, 6, 10]  # the column colour is not ours, nor are its bytes
    assert batch.columns.fields["value"].tolist() == [1.0, 1.0, 2.0]
    assert batch.bad == [
        (1, "at = 'x': wanted RFC 3339 with an offset (2024-01-31T12:00:00Z) or seconds since 1970"),
        (2, "sensor_id is missing"),
        (3, "value is missing"),
        (4, "the row has 3 cells: wanted 4"),
        (5, "the row has 5 cells: wanted 4"),
        (7, "value = 'nan': wanted a finite number within ±1e+15"),
        (8, "value = '1e16': wanted a finite number within ±1e+15"),
        (9, "at = 1969-12-31T23:59:59.000000Z: earlier than 1970-01-01T00:00:00.000000Z (records.earliest_at)"),
        (11, "the row is not UTF-8"),
        (12, "at is missing"),
        (13, "value = '1_0': wanted a finite number within ±1e+15"),
    ]
    assert batch.keys == [b"a", b"a", None, b"a", b"a", b"a", b"a", b"a", b"a", b"a", b"a", b"\xff", b"a", b"a"]


def test_json_lines_are_records_and_their_bad_ones_too(tmp_path: Path) -> None:
    lines = [
        b'{"sensor_id": "a", "at": 1, "value": 1, "label": 1}',
        b"{",
        b"",
        b'{"sensor_id": "a", "at": 1, "step": 1, "values": [1, 2]}',
        b'{"sensor_id": "a", "at": 1, "step": 1, "values": [1, null, 3]}',
        b'{"at": 1, "value": 1}',
        b'{"sensor_id": "b", "at": 2, "value": 2, "label": false}',
        b'{"sensor_id": "b", "at": 2, "value": NaN}',
    ]
    batch = one("sensors", lines_file(tmp_path, lines))
    assert batch.rows.tolist() == [0, 5]
    assert batch.columns.keys.tolist() == [b"a", b"b"]
    assert [place for place, _ in batch.bad] == [1, 2, 3, 4, 6]
    assert dict(batch.bad)[2] == "values: a file has one reading a row, wanted value"
    assert dict(batch.bad)[6] == "value = NaN: wanted a finite number"
    assert batch.keys == [b"a", None, b"a", b"a", None, b"b", b"b"]
    assert batch.label is not None
    np.testing.assert_array_equal(batch.label, [1, np.nan, np.nan, np.nan, np.nan, 0, np.nan])
    assert batch.record(0) == (b"a", lines[0])


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_the_future_rule_holds_only_where_a_file_has_timestamps(kind: str, tmp_path: Path) -> None:
    table: dict[str, list[Any]] = {"sensor_id": ["a"] * 3, "at": [4e9, 4e9, 100.0], "value": [1.0, 2.0, 3.0]}
    stamped = table | {"timestamp": [4e9, 100.0, 100.0]}

    def made(columns: dict[str, list[Any]]) -> TableBatch:
        if kind == "csv":
            return one("sensors", csv_file(tmp_path, columns))
        if kind == "parquet":
            return one("sensors", parquet_file(tmp_path, columns))
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        return one("sensors", lines_file(tmp_path, [json.dumps(row).encode() for row in rows]))

    assert made(table).bad == []
    ((place, reason),) = made(stamped).bad
    assert place == 1
    assert "more than 86400 s after the record's own timestamp 1970-01-01T00:01:40" in reason


# ------------------------------------------------------------------------------------------------------- Parquet's types

NOON = datetime(2024, 1, 31, 12, tzinfo=UTC)
NOON_MICROS = 1_706_702_400_000_000


@pytest.mark.parametrize(
    "at",
    [
        pa.array([NOON], pa.timestamp("us", "UTC")), pa.array([NOON], pa.timestamp("ns", "Europe/Berlin")),
        pa.array([NOON], pa.timestamp("ms", "UTC")), pa.array([NOON.replace(tzinfo=None)], pa.timestamp("s")),
        pa.array(["2024-01-31T13:00:00+01:00"]), pa.array([NOON_MICROS // 1_000_000], pa.int64()), pa.array(["1706702400"]),
        pa.array([NOON_MICROS / 1e6], pa.float64()), pa.array([Decimal("1706702400.0")]),
    ],
    ids=["us", "ns with a zone", "ms", "naive is UTC", "RFC 3339", "whole seconds", "seconds in text", "doubles", "decimals"],
)  # fmt: skip
def test_every_kind_of_time_is_the_same_time(at: pa.Array, tmp_path: Path) -> None:
    batch = one("sensors", parquet_file(tmp_path, {"sensor_id": ["a"], "at": at, "value": [1.0]}))
    assert batch.columns.at.tolist() == [NOON_MICROS]
    assert_replay_says_the_same("sensors", batch)


def test_a_date_is_its_midnight_and_finer_digits_than_microseconds_are_cut(tmp_path: Path) -> None:
    day = one("sensors", parquet_file(tmp_path, {"sensor_id": ["a"], "at": pa.array([date(1970, 1, 2)]), "value": [1.0]}))
    assert day.columns.at.tolist() == [86_400_000_000]
    nanos = pa.array([1_999], pa.timestamp("ns"))
    assert one("sensors", parquet_file(tmp_path, {"sensor_id": ["a"], "at": nanos, "value": [1.0]})).columns.at.tolist() == [1]


@pytest.mark.parametrize(
    ("ids", "keys"),
    [
        (pa.array([7, 12], pa.int16()), [b"7", b"12"]),
        (pa.array(["007", "a,b"], pa.large_string()), [b"007", b"a,b"]),
        (pa.array(["x", "x"]).dictionary_encode(), [b"x", b"x"]),
    ],
)
def test_ids_are_text_and_whole_numbers_become_theirs(ids: pa.Array, keys: list[bytes], tmp_path: Path) -> None:
    batch = one("sensors", parquet_file(tmp_path, {"sensor_id": ids, "at": [1, 2], "value": [1, 2]}))
    assert batch.keys == batch.columns.keys.tolist() == keys
    assert_replay_says_the_same("sensors", batch)


def test_ids_of_a_csv_file_that_look_like_numbers_stay_text(tmp_path: Path) -> None:
    batch = one("sensors", csv_file(tmp_path, {"sensor_id": ["007", "1e3", "1.0"], "at": [1, 2, 3], "value": [1, 2, 3]}))
    assert batch.keys == [b"007", b"1e3", b"1.0"]


@pytest.mark.parametrize(
    "amount",
    [
        pa.array([12.34, 100.0], pa.float64()), pa.array([12.34, 100.0], pa.float32()), pa.array([Decimal("12.34"), Decimal("100.00")]),
        pa.array(["12.34", "1e2"]),
    ],
    ids=["float64", "float32", "decimal", "text"],
)  # fmt: skip
def test_every_kind_of_amount_is_the_same_amount(amount: pa.Array, tmp_path: Path) -> None:
    batch = one("employees", parquet_file(tmp_path, {"employee_id": ["a", "b"], "at": [1, 2], "amount": amount}))
    assert batch.columns.fields["amount"].tolist() == [1234, 10_000]
    assert_replay_says_the_same("employees", batch)


def test_whole_amounts_are_major_units_and_amount_minor_is_not(tmp_path: Path) -> None:
    table = {"employee_id": ["a", "b", "c", "d"], "at": [1] * 4, "amount": [12, None, 3, None], "amount_minor": [None, 7, 3, None]}
    for path in (parquet_file(tmp_path, table), csv_file(tmp_path, {n: ["" if c is None else c for c in cs] for n, cs in table.items()})):
        batch = one("employees", path)
        assert batch.columns.fields["amount"].tolist() == [1200, 7]
        assert batch.bad == [(2, "amount and amount_minor are both given: wanted one of them"), (3, "amount is missing (or amount_minor)")]
        assert_replay_says_the_same("employees", batch)


def test_nan_in_an_optional_column_is_not_given(tmp_path: Path) -> None:
    table = ROWS["cards"] | {"credit_limit": [math.nan, 2000.0], "address_match": [math.nan, 1.0], "mode": pa.nulls(2)}
    batch = one("cards", parquet_file(tmp_path, table))
    assert batch.columns.fields["credit_limit"].tolist() == [-1, 200_000]
    assert batch.columns.fields["address_match"].tolist() == [-1, 1]
    assert batch.columns.fields["mode"].tolist() == [-1, -1]
    assert_replay_says_the_same("cards", batch)


def test_a_stream_currency_and_exponent_hold_in_files_too(tmp_path: Path) -> None:
    yen = replaced(SETTINGS, benford={"currency": "JPY", "exponent": 0})
    table = {"employee_id": ["a"] * 3, "at": [1] * 3, "amount": ["12", "12.5", "7"], "currency": ["JPY", "JPY", "EUR"]}
    batch = one("employees", csv_file(tmp_path, table), settings=yen)
    assert batch.columns.fields["amount"].tolist() == [12]
    assert [place for place, _ in batch.bad] == [1, 2]
    assert_replay_says_the_same("employees", batch, settings=yen)


# -------------------------------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("name", "content", "wanted"),
    [
        ("a.txt", b"", "wanted a file that ends in .csv, .parquet or .jsonl"),
        ("a.csv", b"", "has no column sensor_id, at, value; it has none, sensors want sensor_id, at, value[, class, label, timestamp]"),
        ("a.csv", b"sensor_id,at\n", "has no column value; it has sensor_id, at, sensors want"),
        ("a.csv", b"sensor_id,at,at,value\n", "has the column at twice"),
        ("a.parquet", b"no parquet", "is no Parquet file"),
    ],
)
def test_a_file_that_is_wrong_as_a_whole_is_the_users_mistake(name: str, content: bytes, wanted: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"^.*a\.[a-z]+: ") as caught:
        list(read("sensors", path, SETTINGS))
    assert wanted in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("column", "cells", "wanted"),
    [
        ("sensor_id", [1.5], "sensor_id has the type double: wanted text or whole numbers"),
        ("at", [True], "at has the type bool: wanted a timestamp, RFC 3339 text or seconds since 1970"),
        ("value", [True], "value has the type bool: wanted numbers"),
    ],
)
def test_a_column_of_the_wrong_type_is_named(column: str, cells: list[Any], wanted: str, tmp_path: Path) -> None:
    path = parquet_file(tmp_path, {"sensor_id": ["a"], "at": [1], "value": [1.0]} | {column: cells})
    with pytest.raises(UserError) as caught:
        list(read("sensors", path, SETTINGS))
    assert str(caught.value) == f"{path}: {wanted}"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for name in ("a.csv", "a.parquet", "a.jsonl"):
        with pytest.raises(FileNotFoundError) as caught:
            list(read("sensors", tmp_path / name, SETTINGS))
        assert caught.value.filename == str(tmp_path / name)


def test_a_file_without_rows_gives_no_batches(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("sensor_id,at,value\n")
    assert list(read("sensors", path, SETTINGS)) == []


# -------------------------------------------------------------------------------------------------------- the same to the bit

words = st.one_of(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8), st.sampled_from(["a", "b", "online", "007"]))
cents = st.integers(-(10**9), 10**9).map(lambda minor: minor / 100)
amounts = st.one_of(st.none(), cents, cents.map(abs), st.floats(), st.sampled_from([0.0, 12.345, 1e22, 8e13 + 0.02]))
seconds = st.one_of(st.none(), st.floats(0, 4e9), st.floats(), st.sampled_from([0.0, 1.7e9]))
values = st.one_of(st.none(), st.floats(-1e6, 1e6), st.floats(0, 10), st.floats())
COLUMNS: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "at": (pa.float64(), seconds), "value": (pa.float64(), values), "error": (pa.float64(), values), "hardness": (pa.float64(), values),
    "amount": (pa.float64(), amounts), "credit_limit": (pa.float64(), amounts), "limit": (pa.float64(), amounts),
    "approval_limit": (pa.float64(), amounts), "amount_minor": (pa.int64(), st.one_of(st.none(), st.none(), st.integers(-(2**60), 2**60))),
    "address_match": (pa.bool_(), st.one_of(st.none(), st.booleans())), "label": (pa.int8(), st.sampled_from([None, 0, 1])),
}  # fmt: skip


@st.composite
def tables(draw: st.DrawFn) -> tuple[str, dict[str, tuple[Any, list[Any]]]]:
    """A stream and a table of it: Arrow type and cells by column, in any order, optional ones sometimes."""
    stream = draw(st.sampled_from(sorted(LAYOUTS)))
    layout, n = LAYOUTS[stream], draw(st.integers(1, 6))
    optional = draw(
        st.lists(st.sampled_from([name for name in layout.all if name not in layout.required and name != "timestamp"]), unique=True)
    )
    if layout.amounts and not {"amount", "amount_minor"} & set(optional):
        optional.append("amount")
    table = {}
    for name in draw(st.permutations([*layout.required, *optional])):
        type_, cells = COLUMNS.get(name, (pa.string(), st.one_of(words, words, st.none())))
        table[name] = type_, draw(st.lists(cells, min_size=n, max_size=n))
    return stream, table


@given(tables())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_parquet_row_and_its_record_give_the_same_columns(tmp_path: Path, case: tuple[str, dict[str, tuple[Any, list[Any]]]]) -> None:
    stream, table = case
    path = parquet_file(tmp_path, {name: pa.array(cells, type_) for name, (type_, cells) in table.items()})
    assert_replay_says_the_same(stream, one(stream, path))


def as_cell(cell: Any) -> str:
    return "" if cell is None else repr(cell) if isinstance(cell, float) else str(cell)


@given(tables())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_csv_row_and_its_record_give_the_same_columns(tmp_path: Path, case: tuple[str, dict[str, tuple[Any, list[Any]]]]) -> None:
    stream, table = case
    path = csv_file(tmp_path, {name: [as_cell(cell) for cell in cells] for name, (_, cells) in table.items()})
    assert_replay_says_the_same(stream, one(stream, path))


noise = st.text("0123456789.+-eE_ ,\"'nulaTt\\{}[]\n\x1fé", max_size=10)


@given(st.sampled_from(sorted(LAYOUTS)), st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_noise_in_a_csv_file_is_read_like_noise_in_a_record(tmp_path: Path, stream: str, data: st.DataObject) -> None:
    names = [name for name in LAYOUTS[stream].all if name not in ("label", "timestamp", "amount_minor")]
    n = data.draw(st.integers(1, 4))
    table = {name: data.draw(st.lists(noise, min_size=n, max_size=n)) for name in names}
    batch = one(stream, csv_file(tmp_path, table))
    assert len(batch) == n
    assert_replay_says_the_same(stream, batch)


def test_a_cell_with_a_lines_end_between_two_numbers_is_no_number(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('employee_id,at,amount,limit\ne,1,5,"0\n0"\ne,2,"1\n2",7\ne,3,5,7\n')
    batch = one("employees", path)
    assert batch.rows.tolist() == [2]
    assert_replay_says_the_same("employees", batch)


@given(st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_break_the_csv_reader(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"sensor_id,at,value\na,1,2\n" + content)
    batches = list(read("sensors", path, SETTINGS))
    assert all(len(batch) == len(batch.rows) + len(batch.bad) for batch in batches)


def test_a_file_of_the_nab_series_is_read_whole(data: Path) -> None:
    path = data / "sensors" / "nab_half.parquet"
    total = 0
    for batch in read("sensors", path, SETTINGS):
        assert batch.bad == []
        assert batch.label is not None
        total += len(batch)
    assert total == count_rows(path) == 174_651
    assert timedelta(microseconds=int(batch.columns.at[-1])) > timedelta(days=365 * 40)
