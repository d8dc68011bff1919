from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.aggregation.equations import PAPER, RECENCY, read
from state import window
from state.window import SlidingWindows
from tests import naive

SPANS = (10, 30, 70)
ATTRIBUTES = 3  # groups 1, 2, 3; all transactions are group 0
GROUPS = ATTRIBUTES + 1


class OneKey:
    """A key's windows, driven as the fold drives them."""

    def __init__(self, spans=SPANS, limit=4096):
        self.windows = SlidingWindows(spans, GROUPS, limit)
        self.windows.rows.fit(2)
        self.slot = 1

    @property
    def arrays(self):
        rows = self.windows.rows
        return rows["rings"], rows["sums"], rows["past"], self.windows.arena.data

    def add(self, time, amount=1, attribute=0, number=0):
        """Returns whether it entered; too late ones do not."""
        w = self.windows
        newest = int(w.rows["rings"][self.slot, window.NEWEST])
        if newest != window.NEVER and time <= newest - int(w.spans[-1]):
            return False
        if time >= newest:
            window.advance(*self.arrays, w.spans, self.slot, time)
        while not window.make_room(w.rows["rings"], w.arena.data, w.arena.header, w.spans, self.slot, w.limit):
            w.grow_arena()
        groups = 1 | 2 << attribute
        return window.insert(*self.arrays, w.spans, self.slot, time, amount, groups, number, w.limit, w.mass_limit)

    def read(self, now, attribute, form):
        """The aggregates of all, and of one attribute value, window by window."""
        w = self.windows
        window.advance(*self.arrays, w.spans, self.slot, now)
        out = np.zeros((len(w.spans), 2, 5), np.int64)
        for number in range(len(w.spans)):
            for place, group in enumerate((0, 1 + attribute)):
                read(*self.arrays[:2], w.spans, self.slot, number, group, now, form, out[number, place])
        return out.reshape(len(w.spans), 10).tolist()

    def past(self):
        return self.windows.rows["past"][self.slot].tolist()

    def holds(self, number):
        return window.holds(self.windows.rows["rings"], self.windows.arena.data, self.windows.spans, self.slot, number)

    def thawed(self):
        frozen = self.windows.freeze(np.array([self.slot]))
        other = OneKey(tuple(self.windows.spans.tolist()), self.windows.limit)
        other.slot = 0
        other.windows.thaw(frozen)
        return other

    def left_early(self):
        return int(self.windows.rows["rings"][self.slot, window.LEFT_EARLY])


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


transactions = st.lists(
    st.tuples(st.integers(-5, 200), st.integers(-(10**9), 10**9), st.integers(0, ATTRIBUTES - 1)), min_size=1, max_size=60
)


@settings(max_examples=150)
@given(transactions, st.integers(0, 80), st.integers(0, ATTRIBUTES - 1), st.sampled_from([PAPER, RECENCY]), st.integers(0, 59))
def test_aggregates_equal_a_rescan_exactly_in_any_order_of_events(events, later, attribute, form, cut):
    key, kept, newest = OneKey(), [], None
    for number, (t, a, j) in enumerate(events):
        if number == cut:
            key = key.thawed()
        if key.add(t, a, j, number):
            kept.append((t, a, j))
            newest = t if newest is None else max(newest, t)
    now = newest + later
    gates = (None, attribute)
    reference = [[x for j in gates for x in naive.aggregates(kept, span, now, j, ("paper", "recency")[form])] for span in SPANS]
    computed = key.read(now, attribute, form)
    assert computed == reference


@given(transactions, st.randoms())
def test_sums_do_not_depend_on_the_order_of_arrival(events, random):
    """Of transactions that are all inside the longest window; equal times apart, whose places follow their arrival."""
    events = list({t: (t, a, j) for t, a, j in events if t > 200 - SPANS[-1]}.values())
    one, other = OneKey(), OneKey()
    for t, a, j in [(200, 5, 0), *events]:
        one.add(t, a, j)
    random.shuffle(events)
    for t, a, j in [(200, 5, 0), *events]:
        other.add(t, a, j)
    frozen = [key.windows.freeze(np.array([key.slot])) for key in (one, other)]
    assert same(*frozen)


@given(transactions)
def test_a_thawed_window_freezes_to_the_same(events):
    key = OneKey()
    for number, (t, a, j) in enumerate(events):
        key.add(t, a, j, number)
    other = key.thawed()
    assert same(key.windows.freeze(np.array([key.slot])), other.windows.freeze(np.array([other.slot])))


def test_a_window_ends_exactly_d_seconds_back():
    key = OneKey((10, 20))
    key.add(100, 7)
    assert key.read(109, 0, PAPER)[0][:3] == [1, 1, 7]
    assert key.read(110, 0, PAPER)[0][:3] == [0, 0, 0]


def test_the_newest_weighs_nothing_in_eq_3_as_printed_and_most_in_the_recency_form():
    key = OneKey((100,))
    for t, a in ((0, 1), (1, 10), (2, 100)):
        key.add(t, a)
    assert key.read(2, 0, PAPER)[0][3] == 2 * 1 + 1 * 10 + 0 * 100
    assert key.read(2, 0, RECENCY)[0][3] == 1 * 1 + 2 * 10 + 3 * 100


def test_years_of_large_amounts_leave_no_trace():
    key = OneKey((86_400, 7 * 86_400))
    rng = np.random.default_rng(1)
    kept = []
    for t in np.cumsum(rng.integers(0, 40_000, 5_000)).tolist():
        a = int(rng.integers(-(10**8), 10**8))
        key.add(t, a)
        kept.append((t, a, 0))
    last = kept[-1][0]
    reference = [2 * naive.aggregates(kept[-200:], span, last) for span in (86_400, 7 * 86_400)]
    computed = key.read(last, 0, PAPER)
    assert computed == reference
    assert key.read(last + 8 * 86_400, 0, PAPER) == [[0] * 10, [0] * 10]
    assert not key.windows.rows["sums"].any()


def test_beyond_the_limit_the_oldest_leave_early_and_the_key_remembers_when():
    key = OneKey((100,), limit=5)
    for t in range(8):
        assert key.add(t, 1 + t, 0, t)
    assert key.read(7, 0, PAPER)[0][:3] == [5, 98 * 5, 4 + 5 + 6 + 7 + 8]
    assert key.left_early() == 2
    assert not key.holds(2)
    assert key.holds(3)


def test_a_late_one_older_than_all_of_a_full_ring_is_the_one_that_leaves():
    key = OneKey((100,), limit=3)
    for t in (10, 11, 12):
        key.add(t, 1)
    assert not key.add(9, 1000)
    assert key.left_early() == 9
    assert key.read(12, 0, PAPER)[0][2] == 3


def test_amounts_that_would_not_fit_push_the_oldest_out():
    key = OneKey((7 * 86_400,))
    most = key.windows.mass_limit
    key.add(0, most - 1)
    key.add(1, 1)
    assert key.left_early() == window.NEVER
    key.add(2, -2)
    assert key.left_early() == 0
    assert key.read(2, 0, PAPER)[0][2] == -1
    key.add(3, np.iinfo(np.int64).min + 1)
    assert key.read(3, 0, PAPER)[0][2] == -most


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 12)), max_size=60))
def test_a_number_is_held_as_long_as_its_transaction_is_in_the_longest_window(events):
    key, kept = OneKey(), []
    for gap, number in events:
        now = (kept[-1][0] if kept else 0) + gap
        window.advance(*key.arrays, key.windows.spans, key.slot, now)
        assert key.holds(number) == any(n == number and t > now - SPANS[-1] for t, n in kept)
        key.add(now, 1, 0, number)
        kept.append((now, number))


@given(transactions, st.integers(0, 200))
def test_what_has_left_the_longest_window_is_counted_and_nothing_else_is(events, later):
    key, kept, newest = OneKey(), [], None
    for number, (t, a, j) in enumerate(events):
        if key.add(t, a, j, number):
            kept.append((t, j))
            newest = t if newest is None else max(newest, t)
    key.read(newest + later, 0, PAPER)
    left = [j for t, j in kept if t <= newest + later - SPANS[-1]]
    assert key.past() == [len(left), *(left.count(j) for j in range(ATTRIBUTES))]


def test_a_transaction_belongs_to_as_many_groups_as_it_has_bits():
    windows = SlidingWindows((100,), 62)
    windows.rows.fit(1)
    rows = windows.rows
    window.advance(rows["rings"], rows["sums"], rows["past"], windows.arena.data, windows.spans, 0, 5)
    assert window.make_room(rows["rings"], windows.arena.data, windows.arena.header, windows.spans, 0, 10)
    groups = 1 | 1 << 7 | 1 << 61
    window.insert(rows["rings"], rows["sums"], rows["past"], windows.arena.data, windows.spans, 0, 5, 3, groups, 1, 10, windows.mass_limit)
    assert np.flatnonzero(rows["sums"][0, :, 0, window.COUNT]).tolist() == [0, 7, 61]
    with pytest.raises(ValueError, match="groups = 63"):
        SlidingWindows((100,), 63)


def test_clearing_a_key_gives_its_block_back():
    key = OneKey()
    for t in range(40):
        key.add(t, 1)
    used = int(key.windows.arena.header[0])
    for _ in range(50):
        key.windows.clear(np.array([key.slot]))
        for t in range(40):
            key.add(t, 1)
    assert int(key.windows.arena.header[0]) == used


@pytest.mark.parametrize("spans", [(), (0,), (5, 5), (7, 3)])
def test_windows_that_make_no_sense_are_refused(spans):
    with pytest.raises(ValueError, match="windows of"):
        SlidingWindows(spans, 1)


def test_a_ring_must_hold_something():
    with pytest.raises(ValueError, match="limit = 0"):
        SlidingWindows((1,), 1, 0)
