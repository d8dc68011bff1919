from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.keys import KeyIndex, PackedKeys, pack_strings

some_keys = st.lists(st.text(max_size=6), max_size=60)


def admitted(index: KeyIndex, keys: list[str], first_event: int = 0) -> list[int]:
    return index.admit(pack_strings(keys), first_event).tolist()


@given(some_keys)
def test_equal_keys_have_equal_slots_and_different_keys_different_ones(keys):
    reference: dict[str, int] = {}
    computed = admitted(KeyIndex(), keys)
    for key, slot in zip(keys, computed, strict=True):
        assert reference.setdefault(key, slot) == slot
    assert len(set(reference.values())) == len(reference)


@given(some_keys)
def test_a_key_is_found_by_its_bytes_and_a_slot_tells_its_key(keys):
    index = KeyIndex(capacity=2)
    for key, slot in zip(keys, admitted(index, keys), strict=True):
        assert index.key(slot) == key.encode()
        assert index.find(key.encode()) == slot
    assert index.find(b"never seen, and longer than the others") == -1


@given(some_keys, some_keys)
def test_the_frozen_form_does_not_tell_in_which_order_keys_came(first, second):
    one, other = KeyIndex(), KeyIndex()
    admitted(one, first)
    admitted(one, second, len(first))
    seen = dict.fromkeys(first + second)
    admitted(other, list(seen)[::-1])
    assert [one.key(slot) for slot in one.order().tolist()] == sorted(key.encode() for key in seen)
    assert one.freeze()["keys"].tobytes() == other.freeze()["keys"].tobytes()


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"", b"card-", b"a" * 31, b"a" * 32, b"a" * 33, b"b" * 80]),
            st.binary(max_size=3).map(lambda b: b[:2] + b[2:] * 8),
        ),
        max_size=60,
    ),
    st.integers(0, 60),
)
def test_keys_are_in_the_order_of_their_bytes_however_long_they_are_and_whenever_they_came(pairs, cut):
    keys = [head + tail for head, tail in pairs]
    index = KeyIndex()
    for first, last in ((0, cut), (cut, len(keys))):
        index.admit(PackedKeys.pack(keys[first:last]), 0)
        reference = sorted(set(keys[:last]))
        computed = [index.key(slot) for slot in index.order().tolist()]
        assert computed == reference
        frozen = index.freeze()
        assert frozen["keys"].tobytes() == b"".join(reference)
        assert frozen["lengths"].tolist() == [len(key) for key in reference]


@given(some_keys, some_keys)
def test_a_thawed_index_goes_on_as_the_frozen_one_would(before, after):
    index = KeyIndex()
    admitted(index, before)
    thawed = KeyIndex.thaw(index.freeze(), limit=1_000_000)
    admitted(index, after, len(before))
    admitted(thawed, after, len(before))
    for name, column in index.freeze().items():
        np.testing.assert_array_equal(column, thawed.freeze()[name])


def test_a_full_index_stops_at_the_next_new_key_and_forgets_the_longest_untouched():
    index = KeyIndex(limit=32)
    keys = [f"k{i}" for i in range(32)]
    admitted(index, keys)
    admitted(index, ["k0", "k1"], 32)
    assert admitted(index, ["k5", "new", "k6"], 34) == [index.find(b"k5")]
    oldest = index.oldest()
    assert [index.key(slot) for slot in oldest.tolist()] == [b"k2", b"k3"]
    index.remove(oldest)
    assert index.find(b"k2") == -1
    assert len(admitted(index, ["new", "k6"], 35)) == 2
    assert index.key(index.find(b"new")) == b"new"
    assert len(index) == 31


def test_long_and_empty_keys_fit():
    index = KeyIndex(capacity=1, limit=8)
    keys = PackedKeys.pack([b"", b"x" * 10_000, b"y"])
    assert len(index.admit(keys, 0)) == 3
    assert index.find(b"x" * 10_000) >= 0
    assert index.find(b"") >= 0


def test_a_limit_below_one_is_refused():
    with pytest.raises(ValueError, match="at least one key"):
        KeyIndex(limit=0)
