"""Records in: what is read, what is refused and in which words."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.load import defaults, replaced
from config.settings import Settings
from state.keys import PackedKeys
from streams.decoding import amounts, careful, fields, times
from streams.decoding.record_types import CardRecord, ErrorRecord, PostingRecord, SensorRecord
from streams.decoding.refusals import Refusals, Refused
from streams.records import DECODERS as DECODE
from streams.records import (
    Decoded,
    decode_cards,
    decode_employees,
    decode_errors,
    decode_sensors,
)
from tests.streams.chunks import STAMP, chunk_of, record

SETTINGS = defaults()
NOW = STAMP // 1000
KEYS = {"sensors": "sensor_id", "cards": "card_id", "employees": "employee_id", "errors": "source_id"}
GOOD: dict[str, dict[str, Any]] = {
    "sensors": {"sensor_id": "k", "at": NOW, "value": 1.5},
    "cards": {"card_id": "k", "transaction_id": "t", "at": NOW, "amount": "12.30"},
    "employees": {"employee_id": "k", "at": NOW, "amount": "12.30"},
    "errors": {"source_id": "k", "at": NOW, "error": 0.5, "hardness": 2},
}


def decoded(stream: str, value: bytes | None, key: bytes | None = b"k", settings: Settings = SETTINGS) -> Decoded:
    return DECODE[stream](chunk_of([(key, value)]), settings)


def changed(stream: str, **changes: Any) -> bytes:
    """A good record with fields changed; a field of `...` is left out; a `Raw` stands as it is."""
    fields_ = {name: value for name, value in (GOOD[stream] | changes).items() if value is not ...}
    return msgspec.json.encode(fields_)


def reason(stream: str, value: bytes | None, key: bytes | None = b"k", settings: Settings = SETTINGS) -> str:
    (letter,) = decoded(stream, value, key, settings).dead
    assert (letter.topic, letter.partition, letter.offset, letter.key, letter.value) == ("source", 3, 100, key, value)
    return letter.reason


RAW = msgspec.Raw

BAD: list[tuple[str, dict[str, Any], str]] = [
    ("sensors", {"sensor_id": ...}, "sensor_id is missing"),
    ("sensors", {"sensor_id": None}, "sensor_id is null"),
    ("sensors", {"sensor_id": 7}, "sensor_id is a number: wanted text"),
    ("sensors", {"sensor_id": ""}, "sensor_id is empty"),
    ("sensors", {"sensor_id": "k" * 257}, "sensor_id has 257 bytes: wanted at most 256"),
    ("sensors", {"at": ...}, "at is missing"),
    ("sensors", {"at": None}, "at is null"),
    ("sensors", {"at": True}, "at = True: wanted RFC 3339 with an offset (2024-01-31T12:00:00Z) or seconds since 1970"),
    ("sensors", {"at": "yesterday"}, "at = 'yesterday': wanted RFC 3339 with an offset"),
    ("sensors", {"at": "2023-11-14T22:13:20"}, "at = '2023-11-14T22:13:20': wanted RFC 3339 with an offset"),
    ("sensors", {"at": "1700000000"}, "at = '1700000000': wanted RFC 3339 with an offset"),
    ("sensors", {"at": RAW(b"1e999")}, "at = 1e999: wanted RFC 3339 with an offset"),
    ("sensors", {"at": RAW(b"NaN")}, "at = NaN: wanted RFC 3339 with an offset"),
    ("sensors", {"at": 1e300}, "at = 1e+300: wanted RFC 3339 with an offset"),
    ("sensors", {"at": -1}, "at = 1969-12-31T23:59:59.000000Z: earlier than 1970-01-01T00:00:00.000000Z (records.earliest_at)"),
    ("sensors", {"at": NOW + 86_401}, "after the record's own timestamp 2023-11-14T22:13:20.000000Z (records.future_seconds)"),
    ("sensors", {"at": "9999-12-31T23:59:59Z"}, "at = 9999-12-31T23:59:59.000000Z: more than 86400 s after"),
    ("sensors", {"value": ...}, "value is missing (or step and values of a frame)"),
    ("sensors", {"value": None}, "value is null: wanted a finite number"),
    ("sensors", {"value": "1.5"}, "value is text: wanted a finite number"),
    ("sensors", {"value": True}, "value is true or false: wanted a finite number"),
    ("sensors", {"value": [1]}, "value is a list: wanted a finite number"),
    ("sensors", {"value": RAW(b"NaN")}, "value = NaN: wanted a finite number"),
    ("sensors", {"value": RAW(b"-Infinity")}, "value = -Infinity: wanted a finite number"),
    ("sensors", {"value": RAW(b"1e999")}, "value = 1e999: wanted a finite number"),
    ("sensors", {"value": 2e15}, "value = 2000000000000000.0: wanted a finite number within ±1e+15"),
    ("sensors", {"value": -1e300}, "value = -1e+300: wanted a finite number within ±1e+15"),
    ("sensors", {"step": 1}, "values is missing: a record with step is a frame"),
    ("sensors", {"values": [1], "step": 1}, "value and values are both given: wanted a reading or a frame"),
    ("sensors", {"value": ..., "values": [1]}, "step is missing: a frame says how many seconds lie between its readings"),
    ("sensors", {"value": ..., "values": [], "step": 1}, "values has 0 readings: wanted 1 to 4,096 (records.max_frame)"),
    ("sensors", {"value": ..., "values": [1] * 4097, "step": 1}, "values has 4,097 readings: wanted 1 to 4,096"),
    ("sensors", {"value": ..., "values": 3, "step": 1}, "values is a number: wanted a list of numbers"),
    ("sensors", {"value": ..., "values": [1, 2], "step": 0}, "step = 0: wanted seconds above 0, at most 86,400"),
    ("sensors", {"value": ..., "values": [1, 2], "step": -1}, "step = -1: wanted seconds above 0"),
    ("sensors", {"value": ..., "values": [1, 2], "step": "1"}, "step is text: wanted a finite number"),
    ("sensors", {"value": ..., "values": [1] * 4096, "step": 60}, "at of the last reading = 2023-11-17T18:28:20.000000Z: more than"),
    ("sensors", {"v": 2}, "v = 2: this build reads version 1"),
    ("sensors", {"v": "1"}, "v = '1': this build reads version 1"),
    ("cards", {"card_id": ...}, "card_id is missing"),
    ("cards", {"transaction_id": ...}, "transaction_id is missing"),
    ("cards", {"transaction_id": 17}, "transaction_id is a number: wanted text"),
    ("cards", {"transaction_id": ""}, "transaction_id is empty"),
    ("cards", {"amount": ...}, "amount is missing (or amount_minor)"),
    ("cards", {"amount": None}, "amount is missing (or amount_minor)"),
    ("cards", {"amount_minor": 1230}, "amount and amount_minor are both given: wanted one of them"),
    ("cards", {"amount": ..., "amount_minor": 1.5}, "amount_minor = 1.5: wanted a whole number of minor units"),
    ("cards", {"amount": ..., "amount_minor": "5"}, "amount_minor = '5': wanted a whole number of minor units"),
    ("cards", {"amount": ..., "amount_minor": 2**53 + 1}, "amount_minor = 9007199254740993: beyond ±2^53 minor units"),
    ("cards", {"amount": ..., "amount_minor": RAW(b"9" * 500)}, "amount_minor = 999"),
    ("cards", {"amount": "12.345"}, "amount = '12.345': more decimals than the currency's 2 (exponent)"),
    ("cards", {"amount": RAW(b"12.345")}, "amount = '12.345': more decimals than the currency's 2"),
    ("cards", {"amount": RAW(b"1.00000000000000000001")}, "amount = '1.00000000000000000001': more decimals"),
    ("cards", {"amount": RAW(b"1e-400")}, "amount = '1e-400': more decimals"),
    ("cards", {"amount": RAW(b"1e999")}, "amount = '1e999': beyond ±2^53 minor units"),
    ("cards", {"amount": 1e17}, "beyond ±2^53 minor units"),
    ("cards", {"amount": "90071992547409.93"}, "amount = '90071992547409.93': beyond ±2^53 minor units"),
    ("cards", {"amount": RAW(b"NaN")}, "amount = 'NaN': wanted a decimal number in major units, such as 12.30"),
    ("cards", {"amount": "nan"}, "amount = 'nan': wanted a decimal number"),
    ("cards", {"amount": "1_0"}, "amount = '1_0': wanted a decimal number"),
    ("cards", {"amount": " 1"}, "amount = ' 1': wanted a decimal number"),
    ("cards", {"amount": "1,50"}, "amount = '1,50': wanted a decimal number"),
    ("cards", {"amount": "٣"}, "wanted a decimal number"),
    ("cards", {"amount": ""}, "amount = '': wanted a decimal number"),
    ("cards", {"amount": "null"}, "amount = 'null': wanted a decimal number"),
    ("cards", {"amount": True}, "amount = 'true': wanted a decimal number"),
    ("cards", {"amount": [1]}, "amount = '[1]': wanted a decimal number"),
    ("cards", {"credit_limit": -0.01}, "credit_limit is below zero"),
    ("cards", {"credit_limit": "much"}, "credit_limit = 'much': wanted a decimal number"),
    ("cards", {"address_match": 2}, "address_match = 2: wanted true, false, 1 or 0"),
    ("cards", {"address_match": "yes"}, "address_match = 'yes': wanted true, false, 1 or 0"),
    ("cards", {"mode": 3}, "mode is a number: wanted text"),
    ("cards", {"merchant_id": 3}, "merchant_id is a number: wanted text"),
    ("employees", {"employee_id": ...}, "employee_id is missing"),
    ("employees", {"amount": 0}, "amount is zero or below: the law of leading digits needs an amount above zero"),
    ("employees", {"amount": "-3.00"}, "amount is zero or below"),
    ("employees", {"amount": ..., "amount_minor": -1}, "amount is zero or below"),
    ("employees", {"limit": 0}, "limit is zero or below: wanted an amount above zero"),
    ("employees", {"limit": "-0.01"}, "limit is zero or below"),
    ("employees", {"approval_limit": "0.00"}, "approval_limit is zero or below"),
    ("errors", {"error": ...}, "error is missing"),
    ("errors", {"hardness": None}, "hardness is null"),
    ("errors", {"error": -0.1}, "error = -0.1: wanted 0 or more"),
    ("errors", {"hardness": -1}, "hardness = -1: wanted 0 or more"),
    ("errors", {"error": 1e16}, "error = 1e+16: wanted a finite number within ±1e+15"),
    ("errors", {"hardness": RAW(b"NaN")}, "hardness = NaN: wanted a finite number"),
    ("errors", {"class": "a\x1fb"}, "class = 'a\\x1fb': must not hold the unit separator (U+001F)"),
    ("errors", {"segment": 4}, "segment is a number: wanted text"),
]  # fmt: skip


@pytest.mark.parametrize(("stream", "changes", "wanted"), BAD, ids=[f"{s}-{w[:40]}" for s, _, w in BAD])
def test_a_bad_field_is_named_with_what_was_wanted(stream: str, changes: dict[str, Any], wanted: str) -> None:
    value = changed(stream, **changes)
    key = json.loads(value).get(KEYS[stream]) if b"Infinity" not in value and b"NaN" not in value else "k"
    found = reason(stream, value, str(key if key is not None else "k").encode())
    assert wanted in found


@pytest.mark.parametrize("stream", DECODE)
@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (None, "the value is null: a tombstone means nothing in this topic"),
        (b"", "the value is empty"),
        (b"{", "the value is not JSON: "),
        (b'{"at": 1} x', "the value is not JSON: Extra data (character 10)"),
        (b"\xef\xbb\xbf{}", "the value is not JSON: "),
        (b'{"a": "\xff"}', "the value is not UTF-8 (byte 7)"),
        (b"[1]", "the value is a list: wanted a JSON object"),
        (b"null", "the value is null: wanted a JSON object"),
        (b"17", "the value is a number: wanted a JSON object"),
        (b"[" * 50_000, "the value is nested too deeply"),
        (b" " * 1_000_001, "the value has 1,000,001 bytes: at most 1,000,000 are read (records.max_bytes)"),
    ],
    ids=["null", "empty", "malformed", "trailing", "bom", "not UTF-8", "list", "JSON null", "number", "deep", "oversized"],
)
def test_what_is_no_object_is_refused(stream: str, value: bytes | None, wanted: str) -> None:
    assert reason(stream, value).startswith(wanted)


@pytest.mark.parametrize("stream", DECODE)
@pytest.mark.parametrize(
    ("key", "wanted"),
    [
        (None, "the Kafka key is null: it must be the {}, by which the partition is chosen"),
        (b"", "the Kafka key b'' is not the {} 'k', by which the partition must be chosen"),
        (b"j", "the Kafka key b'j' is not the {} 'k'"),
        (b"kk", "the Kafka key b'kk' is not the {} 'k'"),
        (b"\xff", "the Kafka key b'\\xff' is not the {} 'k'"),
    ],
)
def test_a_record_under_another_key_is_refused(stream: str, key: bytes | None, wanted: str) -> None:
    assert reason(stream, changed(stream), key).startswith(wanted.format(KEYS[stream]))


def test_half_a_surrogate_pair_is_no_text() -> None:
    assert "sensor_id = '\\ud800': wanted valid Unicode" in reason("sensors", b'{"sensor_id": "\\ud800", "at": 1, "value": 1}')
    letter = decoded("cards", changed("cards", mode=RAW(b'"\\udc00"'))).dead[0]
    assert "mode = '\\udc00': wanted valid Unicode" in letter.headers()[3][1].decode()


@pytest.mark.parametrize("stream", DECODE)
def test_one_bad_record_costs_no_other(stream: str) -> None:
    good = changed(stream)
    chunk = chunk_of([(b"k", good), (b"k", b"{"), (b"k", good), (None, good), (b"k", None), (b"k", good)])
    result = DECODE[stream](chunk, SETTINGS)
    assert result.origins.offset.tolist() == [100, 102, 105]
    assert result.record.tolist() == [0, 2, 5]
    assert [letter.offset for letter in result.dead] == [101, 103, 104]
    assert len(result.columns.keys) == len(result.columns.at) == 3
    assert all(len(column) == 3 for column in result.columns.fields.values())
    assert all(len(column) == 3 for column in result.texts.values())


@pytest.mark.parametrize("stream", DECODE)
def test_an_empty_chunk_and_one_of_bad_records_give_no_events(stream: str) -> None:
    assert len(DECODE[stream](chunk_of([]), SETTINGS)) == 0
    result = DECODE[stream](chunk_of([(b"k", b"{"), (b"k", None)]), SETTINGS)
    assert (len(result), len(result.dead)) == (0, 2)


@pytest.mark.parametrize("stream", DECODE)
def test_unknown_fields_and_version_1_are_passed_over_and_null_means_not_given(stream: str) -> None:
    plain = decoded(stream, changed(stream))
    more = decoded(stream, changed(stream, colour={"deep": [1, None]}, v=1, currency=None, mode=None, segment=None, step=None))
    assert (plain.dead, more.dead) == ([], [])
    assert columns_of(plain) == columns_of(more)


def columns_of(result: Decoded) -> dict[str, Any]:
    """Everything a detector sees, bit for bit, and where it comes from."""
    columns = result.columns
    return {
        "keys": columns.keys.tolist(), "at": columns.at.tolist(), "offset": result.origins.offset.tolist(),
        "index": result.origins.index.tolist(), "record": result.record.tolist(), "texts": result.texts,
    } | {name: (str(column.dtype), column.tobytes()) for name, column in columns.fields.items()}  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------- frames


def frame(values: list[Any], step: float = 0.5, at: Any = NOW) -> bytes:
    return json.dumps({"sensor_id": "k", "at": at, "step": step, "values": values}).encode()


def test_a_frame_is_its_readings_one_step_apart() -> None:
    chunk = chunk_of([(b"k", changed("sensors")), (b"k", frame([1, 2.5, -3])), (b"k", changed("sensors", value=9))])
    result = decode_sensors(chunk, SETTINGS)
    assert result.columns.fields["value"].tolist() == [1.5, 1.0, 2.5, -3.0, 9.0]
    assert (result.columns.at - NOW * 1_000_000).tolist() == [0, 0, 500_000, 1_000_000, 0]
    assert result.origins.offset.tolist() == [100, 101, 101, 101, 102]
    assert result.origins.index.tolist() == [0, 0, 1, 2, 0]
    assert result.columns.keys.tolist() == [b"k"] * 5


def test_bad_readings_of_a_frame_go_by_their_index_and_the_others_are_folded() -> None:
    value = b'{"sensor_id":"k","at":0,"step":1,"values":[1,null,"x",true,NaN,1e999,1e16,[],8]}'
    result = decoded("sensors", value)
    assert result.columns.fields["value"].tolist() == [1.0, 8.0]
    assert result.columns.at.tolist() == [0, 8_000_000]
    assert result.origins.index.tolist() == [0, 8]
    (letter,) = result.dead
    assert tuple(letter.indices) == (1, 2, 3, 4, 5, 6, 7)
    assert letter.reason == "values: 7 of 9 readings are no finite number within ±1e+15; the others are folded"
    assert letter.value == value


def test_a_frame_of_bad_readings_alone_leaves_nothing() -> None:
    result = decoded("sensors", frame([None, "x"]))
    assert len(result) == 0
    assert tuple(result.dead[0].indices) == (0, 1)


def test_the_largest_frame_is_read() -> None:
    assert len(decoded("sensors", frame([0.25] * 4096, step=1.0))) == 4096


def test_a_frame_equals_its_readings_sent_one_by_one() -> None:
    values = [0.1 * i for i in range(50)]
    whole = decoded("sensors", frame(values, step=0.125))
    singles = decode_sensors(chunk_of([record("k", sensor_id="k", at=NOW + 0.125 * i, value=v) for i, v in enumerate(values)]), SETTINGS)
    assert whole.columns.at.tolist() == singles.columns.at.tolist()
    assert whole.columns.fields["value"].tobytes() == singles.columns.fields["value"].tobytes()


# ----------------------------------------------------------------------------------------------------------------- times


@pytest.mark.parametrize(
    ("at", "micros"),
    [
        (0, 0), (1.5, 1_500_000), (1_700_000_000.123457, 1_700_000_000_123_457),
        ("1970-01-01T00:00:00Z", 0), ("1970-01-01T01:00:00+01:00", 0), ("1970-01-01T00:00:00.0000015Z", 2),
        ("2023-11-14T22:13:20.000001Z", 1_700_000_000_000_001),
    ],
)  # fmt: skip
def test_times_are_microseconds_utc(at: Any, micros: int) -> None:
    assert decoded("sensors", changed("sensors", at=at)).columns.at.tolist() == [micros]


def test_the_future_is_measured_against_the_records_own_timestamp() -> None:
    ahead = changed("sensors", at=NOW + 86_400)
    assert decoded("sensors", ahead).dead == []
    chunk = chunk_of([(b"k", changed("sensors", at=NOW + 10**9))], stamp=-1)
    assert decode_sensors(chunk, SETTINGS).dead == []  # no timestamp, no future


def test_the_earliest_time_is_a_setting() -> None:
    late = replaced(SETTINGS, records={"earliest_at": "2020-01-01T00:00:00Z"})
    assert "earlier than 2020-01-01T00:00:00.000000Z" in reason("sensors", changed("sensors", at=0), settings=late)
    assert decoded("sensors", changed("sensors", at=0)).dead == []


moments = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001 (the strategy adds the zone)


@given(st.lists(st.one_of(moments, st.floats(-6e10, 2.5e11)), max_size=20))
def test_many_times_at_once_are_each_of_them_alone(at: list[datetime | float]) -> None:
    reference = [
        times.of_datetime(t) if isinstance(t, datetime) else round(Fraction(t * 1e6)) for t in at
    ]  # fmt: skip
    computed = times.of_mixed(at).tolist()
    assert computed == reference


@given(moments)
def test_a_written_time_reads_back(moment: datetime) -> None:
    micros = times.of_datetime(moment)
    assert times.of_text(times.written(micros)) == micros


# --------------------------------------------------------------------------------------------------------------- amounts


@given(st.integers(-(2**53), 2**53), st.integers(0, 6), st.booleans())
def test_an_amount_is_exactly_its_digits(minor: int, exponent: int, quoted: bool) -> None:
    text = f"{Decimal(minor).scaleb(-exponent):f}"
    json_text = f'"{text}"' if quoted else text
    refusals = Refusals(2)
    computed = amounts.of_texts([json_text.encode(), b"1"], exponent, "amount", refusals)
    assert refusals.reasons == {}
    assert computed.tolist() == [minor, 10**exponent]


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 6))
def test_a_double_is_read_by_its_shortest_digits(number: float, exponent: int) -> None:
    exact = Decimal(repr(number)).scaleb(exponent)
    refusals = Refusals(1)
    computed = amounts.of_texts([repr(number).encode()], exponent, "amount", refusals)
    if exact == exact.to_integral_value() and abs(exact) <= 2**53:
        assert (computed.tolist(), refusals.reasons) == ([int(exact)], {})
    else:
        assert set(refusals.reasons) == {0}


@given(st.integers(-(10**15) + 1, 10**15 - 1), st.integers(0, 6))
def test_fifteen_digits_come_back_from_a_double(minor: int, exponent: int) -> None:
    computed, doubtful = amounts.of_doubles(np.array([float(Decimal(minor).scaleb(-exponent))]), exponent)
    assert (computed.tolist(), doubtful.tolist()) == ([minor], [False])


@given(st.text("0123456789.eE+-_ nafiINF", max_size=20))
def test_amounts_read_many_at_once_are_those_read_one_by_one(text: str) -> None:
    refusals = Refusals(3)
    computed = amounts.of_texts([b"2", f'"{text}"'.encode(), b"-0.5"], 2, "amount", refusals)
    assert (computed[0], computed[2]) == (200, -50)
    try:
        alone, reasons = amounts.exact(text, 2, "amount"), {}
    except Refused as refused:
        alone, reasons = 0, {1: str(refused)}
    assert (computed[1], refusals.reasons) == (alone, reasons)


def test_refunds_and_zero_are_legal_for_a_card() -> None:
    for amount, minor in (("-3.00", -300), (0, 0), (-0.01, -1)):
        assert decoded("cards", changed("cards", amount=amount)).columns.fields["amount"].tolist() == [minor]


def test_minor_and_major_units_may_be_mixed_in_a_stream() -> None:
    chunk = chunk_of([(b"k", changed("cards")), (b"k", changed("cards", amount=..., amount_minor=-7))])
    assert decode_cards(chunk, SETTINGS).columns.fields["amount"].tolist() == [1230, -7]


def test_another_currency_is_refused_where_the_stream_has_one() -> None:
    euro = replaced(SETTINGS, cards={"currency": "EUR"}, benford={"currency": "JPY", "exponent": 0})
    assert reason("cards", changed("cards", currency="USD"), settings=euro) == "currency = 'USD': the stream's is EUR (cards.currency)"
    assert decoded("cards", changed("cards", currency="EUR"), settings=euro).dead == []
    assert decoded("cards", changed("cards"), settings=euro).dead == []
    assert decoded("cards", changed("cards", currency="USD")).dead == []
    assert decoded("employees", changed("employees", amount="12"), settings=euro).columns.fields["amount"].tolist() == [12]
    assert "more decimals than the currency's 0" in reason("employees", changed("employees"), settings=euro)


# --------------------------------------------------------------------------------------------------------------- columns


def test_optional_fields_of_a_card_have_their_codes() -> None:
    columns = decode_cards(
        chunk_of(
            [
                (b"k", changed("cards")),
                (b"k", changed("cards", mode="offline", address_match=True, credit_limit=2000, merchant_id="m")),
                (b"k", changed("cards", mode="phone", address_match=0, credit_limit="0", merchant_id="m")),
            ]
        ),
        SETTINGS,
    ).columns.fields
    assert columns["mode"].tolist()[:2] == [-1, 1]
    assert columns["mode"][2] > 1
    assert columns["address_match"].tolist() == [-1, 1, 0]
    assert columns["credit_limit"].tolist() == [-1, 200_000, 0]
    assert columns["merchant"][0] == -1
    assert columns["merchant"][1] == columns["merchant"][2] > 0
    assert len(set(columns["transaction"].tolist())) == 1
    assert all(column.dtype == np.int64 for column in columns.values())


def test_texts_that_no_detector_reads_stay_with_their_rows() -> None:
    chunk = chunk_of([(b"k", changed("cards", employee_id="e")), (b"k", b"{"), (b"k", changed("cards", transaction_id="u"))])
    assert decode_cards(chunk, SETTINGS).texts == {"transaction_id": ["t", "u"], "employee_id": ["e", None]}


def test_limits_of_a_posting_are_minor_units() -> None:
    columns = decoded("employees", changed("employees", limit="500", approval_limit=99.5)).columns.fields
    assert (columns["amount"].tolist(), columns["limit"].tolist(), columns["approval_limit"].tolist()) == ([1230], [50_000], [9_950])
    assert decode_employees(chunk_of([(b"k", changed("employees"))]), SETTINGS).columns.fields["limit"].tolist() == [-1]


def test_the_calibration_key_holds_whatever_parts_are_given() -> None:
    chunk = chunk_of(
        [(b"k", changed("errors")), (b"k", changed("errors", segment="n")), (b"k", changed("errors", **{"class": "c"}, model_version="2"))]
    )
    keys = decode_errors(chunk, SETTINGS).columns.keys.tolist()
    assert keys == [b"k", b"k\x1f\x1fn", b"k\x1fc\x1f\x1f\x1f2"]
    assert fields.parts_of_key(keys[2]) == {"source_id": "k", "class": "c", "model_version": "2"}


@given(st.lists(st.text(max_size=12), min_size=1, max_size=8))
def test_hashes_have_63_bits_and_depend_on_the_text_alone(texts: list[str]) -> None:
    packed = PackedKeys.pack(texts)
    reference = []
    for text in texts:
        h = 0xCBF29CE484222325
        for byte in text.encode():
            h = (h ^ byte) * 0x100000001B3 % 2**64
        h = (h ^ (h >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        h = (h ^ (h >> 27)) * 0x94D049BB133111EB % 2**64
        reference.append((h ^ (h >> 31)) >> 1)
    computed = fields.hashes(packed).tolist()
    assert computed == reference


# ------------------------------------------------------------------------------------------- the quick way and the careful

ids = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
numbers = st.one_of(st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False), st.sampled_from([0, 1, 2.5, NOW]))
amounts_ = st.one_of(numbers, st.decimals(-100, 100, places=2).map(str), st.just("x"))
anything = st.one_of(st.none(), st.booleans(), numbers, ids, st.lists(numbers, max_size=3), st.just({"a": 1}))
FIELDS: dict[type, dict[str, st.SearchStrategy[Any]]] = {
    SensorRecord: {"sensor_id": ids, "at": numbers, "value": numbers, "step": numbers, "values": st.lists(numbers, max_size=3)},
    CardRecord: {
        "card_id": ids, "transaction_id": ids, "at": numbers, "amount": amounts_, "amount_minor": st.integers(), "mode": ids,
        "address_match": st.booleans(), "credit_limit": amounts_, "merchant_id": ids, "employee_id": ids, "currency": ids,
    },
    PostingRecord: {"employee_id": ids, "at": numbers, "amount": amounts_, "limit": amounts_, "currency": ids},
    ErrorRecord: {"source_id": ids, "at": numbers, "error": numbers, "hardness": numbers, "class": ids, "model": ids},
}  # fmt: skip
STREAM_OF = {SensorRecord: "sensors", CardRecord: "cards", PostingRecord: "employees", ErrorRecord: "errors"}


@st.composite
def records(draw: st.DrawFn) -> tuple[str, type, bytes]:
    """A stream and a record of it that is good in most fields."""
    kind = draw(st.sampled_from(list(FIELDS)))
    stream = STREAM_OF[kind]
    record_ = dict(GOOD[stream])
    for name in draw(st.lists(st.sampled_from(sorted(FIELDS[kind])), max_size=4, unique=True)):
        record_[name] = draw(st.one_of(FIELDS[kind][name], FIELDS[kind][name], anything))
    for name in draw(st.lists(st.sampled_from(sorted(record_)), max_size=1)):
        del record_[name]
    return stream, kind, json.dumps(record_).encode()


@given(records())
def test_whatever_the_quick_decoder_takes_the_careful_reader_takes_alike(case: tuple[str, type, bytes]) -> None:
    stream, kind, value = case
    try:
        quick = msgspec.json.decode(value, type=kind)
    except msgspec.ValidationError:
        return
    try:
        slow = careful.read(value, kind)
    except Refused:  # an amount, which the quick decoder leaves as it stands until its digits are read
        assert len(decoded(stream, value).dead) == 1
        return
    for field in msgspec.structs.fields(kind):
        a, b = getattr(quick, field.name), getattr(slow, field.name)
        if isinstance(a, msgspec.Raw):
            assert json.loads(bytes(a) or b"null") == json.loads(bytes(b) or b"null")
        else:
            assert a == b


@given(records(), records())
def test_any_json_is_read_or_refused_and_beside_bad_records_reads_the_same(
    case: tuple[str, type, bytes], other: tuple[str, type, bytes]
) -> None:
    stream, _, value = case
    key = json.loads(value).get(KEYS[stream])
    key = key.encode() if isinstance(key, str) else b"k"
    alone = DECODE[stream](chunk_of([(key, value)]), SETTINGS)
    assert len({int(o) for o in alone.origins.offset} | {letter.offset for letter in alone.dead}) == 1
    assert all(letter.reason for letter in alone.dead)
    beside = DECODE[stream](chunk_of([(key, value), (b"k", other[2]), (b"k", b"{"), (None, None)]), SETTINGS)
    keep = beside.record == 0
    assert beside.columns.at[keep].tolist() == alone.columns.at.tolist()
    for name, column in alone.columns.fields.items():
        assert beside.columns.fields[name][keep].tobytes() == column.tobytes()
    assert [letter.reason for letter in beside.dead if letter.offset == 100] == [letter.reason for letter in alone.dead]


@given(st.binary(max_size=60))
def test_no_bytes_break_the_decoder(value: bytes) -> None:
    for decode in DECODE.values():
        result = decode(chunk_of([(b"k", value), (value, value)]), SETTINGS)
        assert len(result.dead) == 2
