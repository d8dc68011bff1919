from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streams.decoding import joined
from streams.decoding.record_types import PostingRecord, SensorRecord
from tests.streams.chunks import chunk_of

PIECES = [
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b'"',
    b"\\",
    b"\\u0041",
    b'"a"',
    b'"x":',
    b"1",
    b"null",
    b" ",
    b"\n",
    b"\0",
    b"\xff",
    "é".encode(),
]
OBJECTS = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=4) | st.text('"\\{}[],', max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
fragments = st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join)
objects = st.dictionaries(st.text('ab"\\', max_size=3), OBJECTS, max_size=4).map(msgspec.json.encode)


def chunk_of_values(values):
    return chunk_of([(b"key", value) for value in values])


def one_by_one(values):
    """Every value by itself; None if any of them cannot be decoded."""
    try:
        return [msgspec.json.decode(value, type=dict) for value in values]
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def together(values):
    """By one call; None if they cannot be joined, or their list not be decoded."""
    found = joined.as_list(chunk_of_values(values))
    if found is None:
        return None
    try:
        return msgspec.json.decode(found, type=list[dict])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


@given(st.lists(objects, max_size=5))
def test_whole_objects_are_joined_and_are_what_they_are_by_themselves(values):
    assert together(values) == one_by_one(values)
    assert together(values) is not None


@given(st.lists(st.one_of(objects, fragments, fragments.map(lambda rest: b"{" + rest + b"}")), min_size=1, max_size=5))
@example([b'{},{"x":[0', b'{"q":1}],"y":1}'])
@example([b'{"a":1}', b'{"b":2}],"c":[{}'])
@example([b'{"a":"', b'"}'])
@example([b'{"a":"\\"}', b'{"b":"}'])
@example([b'{"a":1},{"b":2}'])
@example([b"{]", b"[}"])
@example([b'{"a":\\"}', b'{"b":1}'])
def test_what_decodes_together_decodes_to_the_same_alone(values):
    computed = together(values)
    assert computed is None or computed == one_by_one(values)


@pytest.mark.parametrize("value", [None, b"", b"{", b"}", b"[]", b"1", b' {"a":1}', b'{"a":1} ', b'{"a":1}{"b":1}', b'{"a":"}'])
def test_whatever_is_not_one_whole_object_is_not_joined(value):
    assert joined.as_list(chunk_of_values([b'{"a":1}', value, b'{"b":2}'])) is None


def test_no_values_are_an_empty_list():
    assert joined.as_list(chunk_of_values([])) == b"[]"


@given(st.lists(st.one_of(objects, fragments.map(lambda rest: b"{" + rest + b"}")), min_size=1, max_size=4))
def test_the_kernel_stays_within_its_arrays(values):
    chunk = chunk_of_values(values)
    size = int((chunk.value_to - chunk.value_from).sum()) + len(chunk) + 2
    # As Python, where an index beyond the end is an error; an array of exactly the size that is given.
    reference, out = np.empty(size, np.uint8), np.empty(size, np.uint8)
    expected = joined._join.py_func(chunk.buffer, chunk.value_from, chunk.value_to, reference)
    assert joined._join(chunk.buffer, chunk.value_from, chunk.value_to, out) == expected
    assert out[:expected].tobytes() == reference[:expected].tobytes()


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (SensorRecord, b'{"sensor_id":"s","at":1.5,"value":2,"more":{"a":[1,{"b":"]}"}]}}'),
        (PostingRecord, b'{"employee_id":"e","at":1,"amount":"12.30","limit":5000.00}'),
    ],
)
def test_typed_records_are_the_same_together_and_alone(kind, value):
    found = msgspec.json.Decoder(list[kind]).decode(joined.as_list(chunk_of_values([value, value])))
    expected = msgspec.json.Decoder(kind).decode(value)
    assert [msgspec.structs.asdict(record) for record in found] == [msgspec.structs.asdict(expected)] * 2
