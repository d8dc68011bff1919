from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from detectors.protocol import MICROSECONDS, Columns, Verdicts
from state.keys import KeyIndex, PackedKeys
from streams.episodes import EVICTED, OPENED, QUIET, SILENT, UPDATED, Episodes
from tests import naive

events = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 400), st.booleans(), st.booleans(), st.integers(0, 5)), min_size=1, max_size=80
)


def stream(drawn):
    """Columns and verdicts of (key, seconds since the event before, alert, critical, score); every event is a unit of its key."""
    keys = KeyIndex()
    at = np.cumsum([gap for _, gap, *_ in drawn]) * MICROSECONDS
    columns = Columns(PackedKeys.pack([key for key, *_ in drawn]), at.astype(np.int64), {})
    columns.slots = keys.admit(columns.keys, 0)
    verdicts = Verdicts.blank(len(drawn))
    units: dict[str, int] = {}
    for row, (key, _, alert, critical, score) in enumerate(drawn):
        units[key] = units.get(key, 0) + 1
        verdicts.unit[row] = units[key]
        verdicts.alert[row], verdicts.critical[row], verdicts.score[row] = alert, alert and critical, score
    return keys, columns, verdicts


def told(transitions):
    return [(t.row, t.key, t.kind, t.number, t.units, t.critical, t.max_score) for t in transitions]


@given(events)
def test_episodes_are_those_of_the_obvious_walk(drawn):
    keys, columns, verdicts = stream(drawn)
    reference = naive.episodes(columns.keys.tolist(), columns.at.tolist(), verdicts, quiet_units=3, silence=1000 * MICROSECONDS)
    computed = told(Episodes(1, quiet_units=3, silence=1000).step(keys, columns, verdicts))
    assert computed == reference


@given(events, st.integers(0, 80))
def test_freezing_in_the_middle_changes_nothing(drawn, place):
    keys, columns, verdicts = stream(drawn)
    place = min(place, len(drawn))
    whole = Episodes(1, quiet_units=3, silence=1000)
    reference = told(whole.step(keys, columns, verdicts))
    before = Episodes(1, quiet_units=3, silence=1000)
    computed = told(before.step(keys, columns.span(0, place), verdicts.head(place)))
    thawed_keys = KeyIndex.thaw(keys.freeze(), 1000)
    after = Episodes(1, quiet_units=3, silence=1000)
    after.thaw(before.freeze(keys), thawed_keys)
    rest = columns.span(place, len(columns))
    rest.slots = thawed_keys.admit(rest.keys, place)
    later = Verdicts.blank(len(rest))
    for name in ("unit", "alert", "critical", "score"):
        getattr(later, name)[:] = getattr(verdicts, name)[place:]
    computed += [(row + place, *more) for row, *more in told(after.step(thawed_keys, rest, later))]
    assert computed == reference
    one, other = whole.freeze(keys), after.freeze(thawed_keys)
    for name, column in one.arrays.items():
        np.testing.assert_array_equal(column, other.arrays[name])


def alarms(*rows):
    """One key, one event a second; rows are (alert, critical, score)."""
    return stream([("a", 1, alert, critical, score) for alert, critical, score in rows])


def test_one_fault_is_one_page_not_four_hundred():
    keys, columns, verdicts = alarms(*[(True, False, 5)] * 400)
    kinds = [t.kind for t in Episodes(1, 3, 1000).step(keys, columns, verdicts)]
    assert kinds[0] == OPENED
    assert set(kinds[1:]) == {UPDATED}
    assert len(kinds) == 1 + 8  # updated where its length has doubled: 2, 4, … 256


def test_a_pause_of_three_units_is_bridged_and_one_of_four_is_not():
    quiet = (False, False, 0)
    alert = (True, False, 5)
    keys, columns, verdicts = alarms(alert, quiet, quiet, alert, quiet, quiet, quiet, quiet, alert)
    assert [(t.kind, t.row) for t in Episodes(1, 3, 1000).step(keys, columns, verdicts)] == [
        (OPENED, 0), (UPDATED, 3), (QUIET, 7), (OPENED, 8),
    ]  # fmt: skip


def test_a_rise_in_severity_is_told_at_once():
    keys, columns, verdicts = alarms((True, False, 5), (True, True, 5))
    assert [(t.kind, t.critical) for t in Episodes(1, 3, 1000).step(keys, columns, verdicts)] == [(OPENED, False), (UPDATED, True)]


def test_a_silent_key_is_closed_by_the_time_of_the_others():
    keys, columns, verdicts = stream(
        [("b", 0, True, False, 5), ("a", 0, True, False, 5), ("c", 999, False, False, 0), ("c", 1, False, False, 0)]
    )
    found = Episodes(1, 3, 1000).step(keys, columns, verdicts)
    assert [(t.kind, t.key, t.row) for t in found[2:]] == [(SILENT, b"a", 3), (SILENT, b"b", 3)]


def test_a_key_whose_clock_lags_behind_is_not_silent():
    drawn = [("a", 0, True, False, 5), ("b", 10_000, False, False, 0)] * 3
    keys, columns, verdicts = stream(drawn)
    columns.at[::2] = 0  # a's own clock stands still; b's goes on by hours, but a is heard of in between
    found = Episodes(1, 3, 30_000).step(keys, columns, verdicts)
    assert [t.kind for t in found] == [OPENED, UPDATED]


def test_an_evicted_key_takes_its_episode_with_it_and_says_so():
    keys, columns, verdicts = alarms((True, False, 5))
    episodes = Episodes(1, 3, 1000)
    episodes.step(keys, columns, verdicts)
    slots = keys.slots()
    found = episodes.evict(keys, slots)
    episodes.clear(slots)
    assert [(t.kind, t.key, t.phase) for t in found] == [(EVICTED, b"a", "closed")]
    assert episodes.open == 0
