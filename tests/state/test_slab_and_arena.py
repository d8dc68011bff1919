from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.arena import Arena
from state.slab import Slab


def test_new_rows_of_a_slab_are_fresh_and_old_ones_keep_their_values():
    slab = Slab(seen=np.int64(0), mean=np.float64(np.nan), digits=np.zeros(9, np.int64))
    slab.fit(2)
    slab["seen"][:] = [5, 6]
    slab.fit(4)
    assert slab["seen"].tolist() == [5, 6, 0, 0]
    assert np.isnan(slab["mean"]).all()
    assert slab["digits"].shape == (4, 9)
    slab.clear(np.array([0]))
    assert slab["seen"].tolist() == [0, 6, 0, 0]


def test_a_thawed_slab_holds_the_frozen_rows_in_order_and_nothing_else():
    slab = Slab(seen=np.int64(-1))
    slab.fit(4)
    slab["seen"][:] = [10, 11, 12, 13]
    other = Slab(seen=np.int64(-1))
    other.fit(5)
    other["seen"][:] = 99
    other.thaw(slab.freeze(np.array([3, 1])))
    assert other["seen"].tolist() == [13, 11, -1, -1, -1]


def test_an_array_that_fits_as_it_is_becomes_the_slabs_own():
    frozen = {"seen": np.arange(3), "mean": np.arange(3.0)[::-1]}
    slab = Slab(seen=np.int64(0), mean=np.float64(0))
    slab.thaw(frozen)
    assert slab["seen"] is frozen["seen"]
    assert slab["mean"] is not frozen["mean"]
    assert slab["mean"].tolist() == [2.0, 1.0, 0.0]
    slab.thaw({"seen": np.arange(2), "mean": np.arange(2.0)})
    assert (slab["seen"].tolist(), slab["mean"].tolist()) == ([0, 1, 0], [0.0, 1.0, 0.0])


def test_a_slab_of_other_columns_is_refused_by_name():
    slab = Slab(seen=np.int64(0))
    with pytest.raises(ValueError, match="mean"):
        slab.thaw({"seen": np.zeros(1, np.int64), "mean": np.zeros(1)})


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 100)), max_size=60), st.sampled_from([np.int64, np.float64]))
def test_blocks_of_an_arena_never_overlap_however_they_come_and_go(steps, dtype):
    arena = Arena(dtype, elements=16)
    held: list[tuple[int, np.ndarray]] = []
    for number, (take, length) in enumerate(steps):
        if take or not held:
            values = np.arange(number, number + length).astype(dtype)
            held.append((arena.store(values), values))
        else:
            start, values = held.pop(length % len(held))
            arena.release(start, len(values))
    for start, values in held:
        np.testing.assert_array_equal(arena.data[start : start + len(values)], values)


def test_a_released_block_is_used_again():
    arena = Arena()
    first = arena.allocate(100)
    arena.release(first, 100)
    assert arena.allocate(70) == first


def test_what_is_gathered_can_be_scattered_with_room_to_grow():
    arena = Arena(np.int64)
    values = [np.arange(3), np.arange(0), np.arange(20)]
    starts = [arena.store(v) if len(v) else -1 for v in values]
    lengths = np.array([3, 0, 20])
    gathered = arena.gather(starts, lengths)
    other = Arena(np.int64, elements=8)
    again = other.scatter(gathered, lengths, np.array([10, 0, 20]))
    assert again[1] == -1
    np.testing.assert_array_equal(other.gather(again, lengths), gathered)
    assert abs(again[2] - again[0]) >= 10
