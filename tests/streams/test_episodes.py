from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from detectors.protocol import CRITICAL, MICROSECONDS, NO_ROW, ROW, SCORE, SLOT, TEST, UNIT, UNTIL_HEARD, Alarms, Columns, Verdicts
from state.keys import KeyIndex, PackedKeys
from streams.episodes import EVICTED, HEARD, OPENED, QUIET, SILENT, TOLD, UPDATED, Episodes
from tests import naive

events = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.integers(0, 400),
        st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 1), st.booleans(), st.integers(0, 5)), max_size=2),
    ),
    min_size=1,
    max_size=80,
)
QUIET_UNITS = (3, UNTIL_HEARD)


def stream(drawn):
    """Columns and verdicts of (key, seconds since the event before, alarms); every event is a unit of its key.

    An alarm is (key, test, critical, score); one of a key that has not been seen yet is left out.
    """
    keys = KeyIndex()
    at = np.cumsum([gap for _, gap, *_ in drawn]) * MICROSECONDS
    columns = Columns(PackedKeys.pack([key for key, *_ in drawn]), at.astype(np.int64), {})
    columns.slots = keys.admit(columns.keys, 0)
    verdicts = Verdicts.blank(len(drawn))
    units: dict[str, int] = {}
    places, numbers = [], []
    for row, (key, _, said) in enumerate(drawn):
        units[key] = units.get(key, 0) + 1
        verdicts.unit[row] = units[key]
        for other, test, critical, score in said:
            if other in units:
                verdicts.alert[row] = True
                places.append([row, keys.find(other.encode()), test, units[other], critical])
                numbers.append([score, np.nan, np.nan, np.nan])
    m = len(places)
    verdicts.alarms = Alarms(np.array(places, np.int64).reshape(m, 5), np.array(numbers).reshape(m, 4), np.empty(0), np.zeros(m, np.int64))
    return keys, columns, verdicts


def told(transitions):
    return [(t.row, t.key, t.test, t.kind, t.number, t.units, t.critical, t.max_score) for t in transitions]


@given(events)
def test_episodes_are_those_of_the_obvious_walk(drawn):
    keys, columns, verdicts = stream(drawn)
    said = [[] for _ in drawn]
    for place, number in zip(verdicts.alarms.places.tolist(), verdicts.alarms.numbers.tolist(), strict=True):
        said[place[ROW]].append((keys.key(place[SLOT]), place[TEST], place[UNIT], bool(place[CRITICAL]), number[SCORE]))
    reference = naive.episodes(columns.keys.tolist(), columns.at.tolist(), verdicts.unit, said, QUIET_UNITS, 1000 * MICROSECONDS)
    computed = told(Episodes(QUIET_UNITS, silence=1000).step(keys, columns, verdicts))
    assert computed == reference


@given(events, st.integers(0, 80))
def test_freezing_in_the_middle_changes_nothing(drawn, place):
    keys, columns, verdicts = stream(drawn)
    place = min(place, len(drawn))
    whole = Episodes(QUIET_UNITS, silence=1000)
    reference = told(whole.step(keys, columns, verdicts))
    before = Episodes(QUIET_UNITS, silence=1000)
    computed = told(before.step(keys, columns.span(0, place), verdicts.head(place)))
    thawed_keys = KeyIndex.thaw(keys.freeze(), 1000)
    after = Episodes(QUIET_UNITS, silence=1000)
    after.thaw(before.freeze(keys), thawed_keys)
    rest = columns.span(place, len(columns))
    rest.slots = thawed_keys.admit(rest.keys, place)
    later = Verdicts.blank(len(rest))
    later.unit[:] = verdicts.unit[place:]
    many = len(verdicts.head(place).alarms)
    later.alarms = Alarms(verdicts.alarms.places[many:].copy(), verdicts.alarms.numbers[many:], np.empty(0), np.empty(0, np.int64))
    later.alarms.places[:, ROW] -= place
    later.alarms.places[:, SLOT] = [thawed_keys.find(keys.key(slot)) for slot in later.alarms.places[:, SLOT].tolist()]
    computed += [(row + place, *more) for row, *more in told(after.step(thawed_keys, rest, later))]
    assert computed == reference
    one, other = whole.freeze(keys), after.freeze(thawed_keys)
    for name, column in one.arrays.items():
        np.testing.assert_array_equal(column, other.arrays[name])


def alarms(*rows):
    """One key, one event a second; rows are (alert, critical, score)."""
    return stream([("a", 1, [("a", 0, critical, score)] if alert else []) for alert, critical, score in rows])


def test_one_fault_is_one_page_not_four_hundred():
    keys, columns, verdicts = alarms(*[(True, False, 5)] * 400)
    kinds = [t.kind for t in Episodes((3,), 1000).step(keys, columns, verdicts)]
    assert kinds[0] == OPENED
    assert set(kinds[1:]) == {UPDATED}
    assert len(kinds) == 1 + 8  # updated where its length has doubled: 2, 4, … 256


def test_a_pause_of_three_units_is_bridged_and_one_of_four_is_not():
    quiet = (False, False, 0)
    alert = (True, False, 5)
    keys, columns, verdicts = alarms(alert, quiet, quiet, alert, quiet, quiet, quiet, quiet, alert)
    assert [(t.kind, t.row) for t in Episodes((3,), 1000).step(keys, columns, verdicts)] == [
        (OPENED, 0), (UPDATED, 3), (QUIET, 7), (OPENED, 8),
    ]  # fmt: skip


def test_a_rise_in_severity_is_told_at_once():
    keys, columns, verdicts = alarms((True, False, 5), (True, True, 5))
    assert [(t.kind, t.critical) for t in Episodes((3,), 1000).step(keys, columns, verdicts)] == [(OPENED, False), (UPDATED, True)]


def test_a_silent_key_is_closed_by_the_time_of_the_others():
    keys, columns, verdicts = stream([("b", 0, [("b", 0, False, 5)]), ("a", 0, [("a", 0, False, 5)]), ("c", 999, []), ("c", 1, [])])
    found = Episodes((3,), 1000).step(keys, columns, verdicts)
    assert [(t.kind, t.key, t.row) for t in found[2:]] == [(SILENT, b"a", 3), (SILENT, b"b", 3)]


def test_a_key_whose_clock_lags_behind_is_not_silent():
    drawn = [("a", 0, [("a", 0, False, 5)]), ("b", 10_000, [])] * 3
    keys, columns, verdicts = stream(drawn)
    columns.at[::2] = 0  # a's own clock stands still; b's goes on by hours, but a is heard of in between
    found = Episodes((3,), 30_000).step(keys, columns, verdicts)
    assert [t.kind for t in found] == [OPENED, UPDATED]


def test_an_evicted_key_takes_its_episode_with_it_and_says_so():
    keys, columns, verdicts = alarms((True, False, 5))
    episodes = Episodes((3,), 1000)
    episodes.step(keys, columns, verdicts)
    slots = keys.slots()
    found = episodes.evict(keys, slots)
    episodes.clear(slots)
    assert [(t.kind, t.key, t.phase) for t in found] == [(EVICTED, b"a", "closed")]
    assert episodes.open == 0


def test_a_fallen_silent_key_stays_an_episode_until_it_is_heard_again():
    keys, columns, verdicts = stream([("a", 0, []), ("b", 500, [("a", 0, False, 5)]), ("b", 9000, []), ("a", 1, [])])
    found = Episodes((UNTIL_HEARD,), silence=1000).step(keys, columns, verdicts)
    assert [(t.kind, t.key, t.row) for t in found] == [(OPENED, b"a", 1), (HEARD, b"a", 3)]


def test_a_persons_verdict_ends_an_episode_and_finds_it_after_its_end():
    keys, columns, verdicts = alarms((True, False, 5))
    episodes = Episodes((3,), 1000)
    (opened,) = episodes.step(keys, columns, verdicts)
    episodes.name(opened, bytes(range(16)))
    assert [(t.kind, t.row) for t in episodes.told(keys, 0, 0)] == [(TOLD, NO_ROW)]
    assert episodes.told(keys, 0, 0) == []
    found = episodes.find(keys, 0, bytes(range(16)))
    assert found is not None
    assert (found.test, found.first_unit, found.last_unit) == (0, 1, 1)
    assert episodes.find(keys, 0, bytes(16)) is None


def test_an_alarm_may_come_with_a_cut():
    keys, columns, verdicts = alarms((False, False, 0))
    episodes = Episodes((3, 3), 1000)
    episodes.step(keys, columns, verdicts)
    at_the_end_of_a_period = Alarms(np.array([[NO_ROW, 0, 1, 202611, 0]]), np.array([[7.0, 1, 1, 20]]), np.empty(0), np.zeros(1, np.int64))
    (opened,) = episodes.raised(keys, at_the_end_of_a_period)
    assert (opened.kind, opened.row, opened.first_unit, opened.max_score) == (OPENED, NO_ROW, 202611, 7.0)
