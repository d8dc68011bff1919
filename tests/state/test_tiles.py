from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from state import rings, tiles
from state.tiles import TILE, TiledWindows
from tests import naive

SPANS = (1 * 86_400, 3 * 86_400)
GROUPS = 4


class OneKey:
    """A key's cells, driven as the fold drives them."""

    def __init__(self, limit=4096):
        self.windows = TiledWindows(SPANS, GROUPS, limit)
        self.windows.rows.fit(2)
        self.slot = 1

    @property
    def row(self):
        return self.windows.rows["rings"][self.slot]

    @property
    def places(self):
        """Of the key's row, the arena and the plan."""
        return self.row.ctypes.data, self.windows.arena.data.ctypes.data, self.windows.plan.ctypes.data

    def add(self, time, amount, groups):
        newest = int(self.row[rings.NEWEST])
        if newest != rings.NEVER and time <= newest - SPANS[-1]:
            return False
        if time >= newest:
            tiles.advance_tiles(*self.places, time)
        card, _, plan = self.places
        arena = self.windows.arena
        while not rings.has_room(card, plan, tiles.CELL) and not tiles.make_tile_room(card, arena.data, arena.header, plan):
            self.windows.grow_arena()
        tiles.add_to_tile(*self.places, time, amount, groups)
        return True

    def read(self, now, recency=False):
        tiles.advance_tiles(*self.places, now)
        out = np.zeros((GROUPS, len(SPANS), 5))
        tiles.read_tiles(*self.places, now, recency, np.arange(GROUPS), out)
        return out

    def frozen(self):
        return self.windows.freeze(np.array([self.slot]))

    def thawed(self):
        other = OneKey(self.windows.limit)
        other.slot = 0
        other.windows.thaw(self.frozen())
        return other


transactions = st.lists(st.tuples(st.integers(-20 * TILE, 20 * TILE), st.integers(0, 10**6), st.integers(0, 7)), min_size=1, max_size=50)


def in_groups(bits):
    return frozenset(g for g in range(GROUPS) if (1 | bits << 1) >> g & 1)


@given(transactions, st.integers(0, 20 * TILE), st.booleans(), st.integers(0, 49))
def test_tiles_equal_the_slow_way_in_any_order_of_events(events, later, recency, cut):
    """Of the transaction gap: where no tile holds two cells, whose order in it is that of arrival."""
    key, kept, newest = OneKey(), [], None
    for number, (t, a, bits) in enumerate(events):
        if number == cut:
            key = key.thawed()
        if key.add(t, a, 1 | bits << 1):
            kept.append((t, a, in_groups(bits)))
            newest = t if newest is None else max(newest, t)
    now = newest + later
    computed = key.read(now, recency)
    alone = len({t // TILE for t, _, _ in kept}) == len({(t // TILE, groups) for t, _, groups in kept})
    for group in range(GROUPS):
        for number, span in enumerate(SPANS):
            reference = naive.tile_aggregates(kept, span, now, TILE, group, "recency" if recency else "paper")
            order = [0, 1, 2, 3, 4] if alone else [0, 1, 2, 4]
            assert computed[group, number][order] == pytest.approx([reference[i] for i in order], rel=1e-5, abs=1e-3 * TILE)


@given(transactions, st.integers(0, 5 * TILE))
def test_a_time_gap_is_too_small_by_less_than_a_tile_times_its_oldest_amounts(events, later):
    key, kept, newest = OneKey(), [], None
    for t, a, _ in events:
        if key.add(t, a, 1):
            kept.append((t, a, None))
            newest = t if newest is None else max(newest, t)
    now = newest + later
    for number, span in enumerate(SPANS):
        _, _, simple, _, timed = key.read(now)[0, number]
        edge = now - span
        oldest = [a for t, a, _ in kept if t // TILE == edge // TILE]
        exact, slack = naive.time_gap(kept, span, now), 1e-6 * sum(a for _, a, _ in kept) * span + 1
        assert exact - TILE * sum(oldest) - slack <= timed <= exact + slack
        exact = naive.simple_aggregation(kept, span, now)
        assert exact * (1 - 1e-6) <= simple <= (exact + sum(oldest)) * (1 + 1e-6)


@given(transactions)
def test_a_thawed_ring_freezes_to_the_same(events):
    key = OneKey()
    for t, a, bits in events:
        key.add(t, a, 1 | bits << 1)
    one, other = key.frozen(), key.thawed().frozen()
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_what_has_left_is_counted_by_group():
    key = OneKey()
    for t in range(3):
        key.add(t, 10, 1 | 2 * (t == 0))
    key.read(SPANS[-1] + TILE)
    assert key.windows.past[key.slot].tolist() == [3, 1, 0, 0]


def test_beyond_the_limit_the_oldest_cells_leave_early():
    key = OneKey(limit=3)
    for number in range(5):
        key.add(number * TILE, 1, 1)
    assert key.read(5 * TILE)[0, 1, 0] == 3
    assert key.row[rings.LEFT_EARLY] == 2 * TILE
    key.add(0, 1, 1)
    assert key.read(5 * TILE)[0, 1, 0] == 3


def test_a_cell_that_is_full_has_a_second_one_beside_it():
    key = OneKey()
    for _ in range(tiles.MOST + 5):
        key.add(7, 1, 1)
    assert key.read(7)[0, 0].tolist()[:3] == pytest.approx([tiles.MOST + 5, (tiles.MOST + 5) * SPANS[0], tiles.MOST + 5])


def test_clearing_a_key_gives_its_block_back():
    key = OneKey()
    for _ in range(20):
        for number in range(11):
            key.add(number * TILE, 1, 3)
            key.add(number * TILE, 1, 1)
        used = int(key.windows.arena.header[0])
        key.windows.clear(np.array([key.slot]))
    assert used <= 2 * (16 + 32)


@pytest.mark.parametrize("wrong", [{"spans": (), "groups": 1}, {"spans": (5,), "groups": 17}, {"spans": (5,), "groups": 1, "limit": 0}])
def test_tiles_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=r"wanted|limit"):
        TiledWindows(**wrong)
