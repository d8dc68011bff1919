from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.sorted_window import SortedWindow

values = st.lists(st.one_of(st.integers(-3, 3).map(float), st.floats(allow_nan=False)), max_size=60)


@given(values, st.integers(1, 12), st.floats(allow_nan=False))
def test_ranks_equal_those_of_a_sorted_list(stream, size, asked):
    window = SortedWindow(size)
    for value in stream:
        window.push(value)
    kept = stream[-size:]
    assert window.ordered[: len(window)].tolist() == sorted(kept)
    assert window.values().tolist() == kept
    assert window.at_least(asked) == sum(value >= asked for value in kept)


@given(values, values, st.integers(1, 12))
def test_a_thawed_window_goes_on_as_if_nothing_had_happened(before, after, size):
    one = SortedWindow(size)
    for value in before:
        one.push(value)
    other = SortedWindow.thaw(one.freeze(), size)
    for value in after:
        one.push(value)
        other.push(value)
    assert one.values().tobytes() == other.values().tobytes()
    assert one.ordered[: len(one)].tobytes() == other.ordered[: len(other)].tobytes()


def test_of_more_than_fit_the_newest_are_thawed():
    assert SortedWindow.thaw({"values": np.array([3.0, 1.0, 2.0])}, 2).values().tolist() == [1.0, 2.0]


def test_nan_has_no_place():
    with pytest.raises(ValueError, match="NaN"):
        SortedWindow(3).push(float("nan"))


def test_a_window_holds_at_least_one_value():
    with pytest.raises(ValueError, match="size = 0"):
        SortedWindow(0)
