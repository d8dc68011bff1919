from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.aggregation.equations import PAPER, RECENCY, read
from state import rings, window
from state.window import SlidingWindows
from tests import naive

SPANS = (10, 30, 70)
ATTRIBUTES = 3  # groups 1, 2, 3; all transactions are group 0
GROUPS = ATTRIBUTES + 1


class OneKey:
    """A key's windows, driven as the fold drives them."""

    def __init__(self, spans=SPANS, limit=4096, quiet=window.QUIET):
        self.windows = SlidingWindows(spans, GROUPS, limit, quiet)
        self.windows.rows.fit(2)
        self.slot = 1

    @property
    def row(self):
        return self.windows.rows["rings"][self.slot]

    @property
    def places(self):
        """Of the key's row, the arena and the plan."""
        return self.row.ctypes.data, self.windows.arena.data.ctypes.data, self.windows.plan.ctypes.data

    def add(self, time, amount=1, attribute=0, number=0, groups=None):
        """Returns whether it entered; too late ones do not."""
        w, newest = self.windows, int(self.row[rings.NEWEST])
        if newest != rings.NEVER and time <= newest - int(w.spans[-1]):
            return False
        if time >= newest:
            window.advance(*self.places, time)
        card, _, plan = self.places
        while not rings.has_room(card, plan, window.ENTRY) and not window.make_room(card, w.arena.data, w.arena.header, plan):
            w.grow_arena()
        return window.insert(*self.places, time, amount, 1 | 2 << attribute if groups is None else groups, number)

    def read(self, now, attribute, form):
        """The aggregates of all, and of one attribute value, window by window."""
        window.advance(*self.places, now)
        out = np.zeros((2, len(self.windows.spans), 5), np.int64)
        read(*self.places, now, form, np.array([0, 1 + attribute]), out)
        return out.transpose(1, 0, 2).reshape(-1, 10).tolist()

    def past(self):
        return self.windows.past[self.slot].tolist()

    def holds(self, number):
        return window.holds(*self.places, number)

    def frozen(self):
        return self.windows.freeze(np.array([self.slot]))

    def thawed(self):
        w = self.windows
        other = OneKey(tuple(w.spans.tolist()), w.limit, int(w.plan[rings.QUIET_CLASS]))
        other.slot = 0
        other.windows.thaw(self.frozen())
        return other

    def left_early(self):
        return int(self.row[rings.LEFT_EARLY])


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


transactions = st.lists(
    st.tuples(st.integers(-5, 200), st.integers(-(10**9), 10**9), st.integers(0, ATTRIBUTES - 1)), min_size=1, max_size=60
)


SIZES = st.sampled_from([1, 2, 3, window.QUIET])  # a key is busy from its first transaction on, from its eleventh, its 22nd, never


@settings(max_examples=300)
@given(transactions, st.integers(0, 80), st.integers(0, ATTRIBUTES - 1), st.sampled_from([PAPER, RECENCY]), st.integers(0, 59), SIZES)
def test_aggregates_equal_a_rescan_exactly_in_any_order_of_events(events, later, attribute, form, cut, quiet):
    key, kept, newest = OneKey(quiet=quiet), [], None
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
def test_what_is_kept_does_not_depend_on_the_order_of_arrival(events, random):
    """Of transactions that are all inside the longest window; equal times apart, whose places follow their arrival."""
    events = list({t: (t, a, j) for t, a, j in events if t > 200 - SPANS[-1]}.values())
    one, other = OneKey(), OneKey()
    for t, a, j in [(200, 5, 0), *events]:
        one.add(t, a, j)
    random.shuffle(events)
    for t, a, j in [(200, 5, 0), *events]:
        other.add(t, a, j)
    frozen = [key.frozen() for key in (one, other)]
    assert same(*frozen)


@given(transactions)
def test_a_thawed_window_freezes_to_the_same(events):
    key = OneKey()
    for number, (t, a, j) in enumerate(events):
        key.add(t, a, j, number)
    other = key.thawed()
    assert same(key.frozen(), other.frozen())


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


@pytest.mark.parametrize("quiet", [1, window.QUIET])
def test_years_of_large_amounts_leave_no_trace(quiet):
    key = OneKey((86_400, 7 * 86_400), quiet=quiet)
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
    assert len(key.frozen()["times"]) == 0


@pytest.mark.parametrize("late", [False, True])
def test_a_card_of_hundreds_of_payments_a_day_is_as_exact_as_any(late):
    key, kept, rng = OneKey((3_600, 86_400)), [], np.random.default_rng(2)
    for number in range(3_000):
        t = 100 * number - late * int(rng.integers(0, 20_000))
        a, j = int(rng.integers(-(10**6), 10**6)), int(rng.integers(0, ATTRIBUTES))
        assert key.add(t, a, j, number)
        kept.append((t, a, j))
        if number % 300 == 299:
            now = max(t for t, _, _ in kept)
            for form, name in ((PAPER, "paper"), (RECENCY, "recency")):
                reference = [[x for j in (None, 1) for x in naive.aggregates(kept, span, now, j, name)] for span in (3_600, 86_400)]
                assert key.read(now, 1, form) == reference
            assert rings.is_busy(key.places[0], key.places[2]) == (number > 42)
            assert key.holds(number)
            assert same(key.frozen(), key.thawed().frozen())


@pytest.mark.parametrize("quiet", [1, window.QUIET])
def test_beyond_the_limit_the_oldest_leave_early_and_the_key_remembers_when(quiet):
    key = OneKey((100,), limit=5, quiet=quiet)
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


@pytest.mark.parametrize("quiet", [1, window.QUIET])
def test_amounts_that_would_not_fit_push_the_oldest_out(quiet):
    key = OneKey((7 * 86_400,), quiet=quiet)
    most = key.windows.mass_limit
    key.add(0, most - 1)
    key.add(1, 1)
    assert key.left_early() == rings.NEVER
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
        window.advance(*key.places, now)
        assert key.holds(number) == any(n == number and t > now - SPANS[-1] for t, n in kept)
        key.add(now, 1, 0, number)
        kept.append((now, number))


@given(transactions, st.integers(0, 200), SIZES)
def test_what_has_left_the_longest_window_is_counted_and_nothing_else_is(events, later, quiet):
    key, kept, newest = OneKey(quiet=quiet), [], None
    for number, (t, a, j) in enumerate(events):
        if key.add(t, a, j, number):
            kept.append((t, j))
            newest = t if newest is None else max(newest, t)
    key.read(newest + later, 0, PAPER)
    left = [j for t, j in kept if t <= newest + later - SPANS[-1]]
    assert key.past() == [len(left), *(left.count(j) for j in range(ATTRIBUTES))]


def test_a_transaction_belongs_to_as_many_groups_as_it_has_bits():
    key = OneKey()
    key.windows = SlidingWindows((100,), 36)
    key.windows.rows.fit(2)
    key.add(5, 3, groups=1 | 1 << 7 | 1 << 35)
    out = np.zeros((36, 1, 5), np.int64)
    read(*key.places, 5, PAPER, np.arange(36), out)
    assert np.flatnonzero(out[:, 0, 0]).tolist() == [0, 7, 35]
    with pytest.raises(ValueError, match="groups = 37"):
        SlidingWindows((100,), 37)


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


def test_a_window_longer_than_a_transaction_can_tell_is_refused():
    with pytest.raises(ValueError, match="a window of 200000000 seconds: wanted at most"):
        SlidingWindows((200_000_000,), 1)


def test_a_frozen_state_whose_rows_and_transactions_differ_is_refused():
    key = OneKey()
    for t in range(3):
        key.add(t)
    frozen = key.frozen()
    for wrong in ({"times": frozen["times"][:2]}, {"rings": frozen["rings"] * [-1, 1, 1]}):
        with pytest.raises(ValueError, match="entries, and has others"):
            OneKey().windows.thaw(frozen | wrong)
