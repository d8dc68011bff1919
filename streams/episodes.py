"""Episodes: alerting units of one key and test that are close are one fault, one page, one story.

An episode opens with an alarm, is updated at most once a unit (when its severity or its greatest score rises or its length has
doubled since it was last reported), and closes when more than `quiet_units` units of its key pass without an alarm, or when its
key falls silent: when the partition's event time has gone on by `silence` since the key was last heard of. (Not since the key's
own time: the clocks of two sensors may lie months apart, and neither is silent.) An episode that *is* about silence ends when its key
is heard again, and where the detector says so a person's verdict ends one. Episodes are part of the fold's state; the latest one of
each key and test is remembered after its end, so that a verdict still finds it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from detectors.protocol import CRITICAL, MICROSECONDS, NO_ROW, ROW, SCORE, SLOT, TEST, UNIT, UNTIL_HEARD, Alarms, Columns, Ints, Verdicts
from state.keys import KeyIndex
from state.slab import Slab
from state.snapshot import Section, upgraded

OPENED, UPDATED, QUIET, SILENT, EVICTED, HEARD, TOLD = range(7)
PHASES = ("opened", "updated", "closed", "closed", "closed", "closed", "closed")
VERSION = 1
ID_BYTES = 16
_NEVER = np.iinfo(np.int64).max


@dataclass(slots=True)
class Transition:
    """One step of one episode, as it stood at that event.

    `row` is the event (for a closing: the one that made it plain that the episode is over), NO_ROW where it came with a cut; `alarm`
    the number of the alarm, −1 for a closing. Times are microseconds.
    """

    row: int
    alarm: int
    slot: int
    key: bytes
    test: int
    kind: int
    number: int  # of the report within the episode: 0 opened, then 1, 2, …
    units: int  # alerting units so far
    first_unit: int
    last_unit: int
    first_at: int
    last_at: int
    critical: bool
    max_score: float

    @property
    def phase(self) -> str:
        return PHASES[self.kind]


# What `numbers[slot, test]` holds, in this order.
_UNITS, _FIRST_UNIT, _LAST_UNIT, _FIRST_AT, _LAST_AT, _CRITICAL, _HEARD = range(7)
UNITS, FIRST_AT, LAST_AT = _UNITS, _FIRST_AT, _LAST_AT  # for whoever looks at a frozen one
_HEAD = 6  # columns of a transition before these


@njit(cache=True)  # type: ignore[untyped-decorator]
def _report(out, scores, k, row, alarm, slot, test, kind, numbers, max_score, reports):  # type: ignore[no-untyped-def]
    out[k, 0], out[k, 1], out[k, 2], out[k, 3], out[k, 4], out[k, 5] = row, alarm, slot, test, kind, reports[slot, test]
    for j in range(_CRITICAL + 1):
        out[k, _HEAD + j] = numbers[slot, test, j]
    scores[k] = max_score[slot, test]
    reports[slot, test] += 1
    return k + 1


@njit(cache=True)  # type: ignore[untyped-decorator]
def _step(  # type: ignore[no-untyped-def]
    slots, at, unit, places, alarm_scores, quiet_units, silence,
    is_open, numbers, max_score, reports, reported_units, reported_score, clock, out, scores,
):  # fmt: skip
    """Walk the events; clock = [event time of the partition, earliest end of an open episode, open episodes]. Returns transitions."""
    k = 0
    alarm = 0
    tests = is_open.shape[1]
    for row in range(NO_ROW, len(slots)):
        if row != NO_ROW:
            clock[0] = max(clock[0], at[row])
            if clock[0] >= clock[1]:
                clock[1] = _NEVER
                for other in range(len(is_open)):
                    for t in range(tests):
                        if is_open[other, t] and quiet_units[t] != UNTIL_HEARD:
                            if numbers[other, t, _HEARD] + silence <= clock[0]:
                                is_open[other, t] = False
                                clock[2] -= 1
                                k = _report(out, scores, k, row, -1, other, t, SILENT, numbers, max_score, reports)
                            else:
                                clock[1] = min(clock[1], numbers[other, t, _HEARD] + silence)
            slot = slots[row]
            for t in range(tests):
                numbers[slot, t, _HEARD] = clock[0]
                if is_open[slot, t]:
                    kind = HEARD if quiet_units[t] == UNTIL_HEARD else QUIET
                    if kind == HEARD or unit[row] - numbers[slot, t, _LAST_UNIT] > quiet_units[t]:
                        is_open[slot, t] = False
                        clock[2] -= 1
                        k = _report(out, scores, k, row, -1, slot, t, kind, numbers, max_score, reports)
        while alarm < len(places) and places[alarm, ROW] == row:
            slot, t, here, critical = places[alarm, SLOT], places[alarm, TEST], places[alarm, UNIT], places[alarm, CRITICAL]
            score = alarm_scores[alarm]
            when = at[row] if row != NO_ROW and slots[row] == slot else clock[0]
            now = numbers[slot, t]
            if not is_open[slot, t]:
                is_open[slot, t] = True
                clock[2] += 1
                reports[slot, t] = 0
                now[_UNITS] = 1
                now[_FIRST_UNIT] = now[_LAST_UNIT] = here
                now[_FIRST_AT] = now[_LAST_AT] = when
                now[_CRITICAL] = critical
                now[_HEARD] = clock[0]
                max_score[slot, t] = score
                reported_units[slot, t] = 1
                reported_score[slot, t] = score
                k = _report(out, scores, k, row, alarm, slot, t, OPENED, numbers, max_score, reports)
                if quiet_units[t] != UNTIL_HEARD:
                    clock[1] = min(clock[1], clock[0] + silence)
            else:
                new_unit = here > now[_LAST_UNIT]
                risen = critical != 0 and now[_CRITICAL] == 0
                if new_unit:
                    now[_UNITS] += 1
                    now[_LAST_UNIT] = here
                now[_LAST_AT] = max(now[_LAST_AT], when)
                if critical:
                    now[_CRITICAL] = 1
                max_score[slot, t] = max(max_score[slot, t], score)
                higher = max_score[slot, t] > reported_score[slot, t]
                if risen or (new_unit and (higher or now[_UNITS] >= 2 * reported_units[slot, t])):
                    reported_units[slot, t] = now[_UNITS]
                    reported_score[slot, t] = max_score[slot, t]
                    k = _report(out, scores, k, row, alarm, slot, t, UPDATED, numbers, max_score, reports)
            alarm += 1
    return k


class Episodes:
    """The episodes of one partition, one a key and test at a time.

    `quiet_units`, one a test, counts in the detector's own unit, `silence` in seconds of the partition's event time.
    """

    def __init__(self, quiet_units: Sequence[int], silence: float) -> None:
        tests = self._tests = len(quiet_units)
        self._quiet_units = np.array(quiet_units, np.int64)
        self._silence = min(int(silence * MICROSECONDS), 1 << 61)
        self._clock = np.array([np.iinfo(np.int64).min, _NEVER, 0], np.int64)
        self._slab = Slab(
            open=np.zeros(tests, np.bool_),
            numbers=np.zeros((tests, _HEARD + 1), np.int64),
            max_score=np.zeros(tests),
            reports=np.zeros(tests, np.int64),
            reported_units=np.zeros(tests, np.int64),
            reported_score=np.zeros(tests),
            id=np.zeros((tests, ID_BYTES), np.uint8),
        )

    @property
    def open(self) -> int:
        """How many episodes are open."""
        return int(self._clock[2])

    def open_of(self, slot: int) -> int:
        """How many of one key's are open."""
        return int(np.count_nonzero(self._slab["open"][slot])) if slot < self._slab.capacity else 0

    @property
    def event_time(self) -> int:
        """The partition's event time: the latest `at` seen, in microseconds."""
        return int(self._clock[0])

    def step(self, keys: KeyIndex, columns: Columns, verdicts: Verdicts) -> list[Transition]:
        """Walk the events of `verdicts` (which are the first of `columns`); return the transitions in their order."""
        n = len(verdicts)
        found = self._walk(keys, columns.slots[:n], columns.at[:n], verdicts.unit, verdicts.alarms) if n else []
        # Those that end by the partition's event time at one event come in order of slots, an accident: put them in order of keys.
        return sorted(found, key=lambda t: (t.row, t.kind != SILENT, (t.key, t.test) if t.kind == SILENT else (b"", 0)))

    def raised(self, keys: KeyIndex, alarms: Alarms) -> list[Transition]:
        """The transitions of alarms that came with a cut."""
        nothing = np.empty(0, np.int64)
        return self._walk(keys, nothing, nothing, nothing, alarms) if len(alarms) else []

    def told(self, keys: KeyIndex, slot: int, test: int) -> list[Transition]:
        """End an episode because a person has said what it is; nothing where it is over already."""
        self._slab.fit(keys.capacity)
        if not self._slab["open"][slot, test]:
            return []
        self._slab["open"][slot, test] = False
        self._clock[2] -= 1
        return [self._latest(keys, slot, test, TOLD)]

    def find(self, keys: KeyIndex, slot: int, identity: bytes) -> Transition | None:
        """The latest episode of one of the key's tests, open or over, if that is its id: as the transition that would end it."""
        self._slab.fit(keys.capacity)
        for test in range(self._tests):
            if self._slab["numbers"][slot, test, _UNITS] and bytes(self._slab["id"][slot, test]) == identity:
                return self._latest(keys, slot, test, TOLD)
        return None

    def _walk(self, keys: KeyIndex, slots: Ints, at: Ints, unit: Ints, alarms: Alarms) -> list[Transition]:
        self._slab.fit(keys.capacity)
        room = 2 * len(alarms) + self.open
        out, scores = np.empty((room, _HEAD + _CRITICAL + 1), np.int64), np.empty(room)
        s = self._slab
        count = _step(
            slots, at, unit, alarms.places, np.ascontiguousarray(alarms.numbers[:, SCORE]), self._quiet_units, self._silence,
            s["open"], s["numbers"], s["max_score"], s["reports"], s["reported_units"], s["reported_score"], self._clock, out, scores,
        )  # fmt: skip
        return [self._transition(keys, out[i].tolist(), float(scores[i])) for i in range(count)]

    def evict(self, keys: KeyIndex, slots: Ints) -> list[Transition]:
        """Close the episodes of keys that leave, while the index still knows their names."""
        self._slab.fit(keys.capacity)
        found = []
        for slot in slots.tolist():
            for test in np.flatnonzero(self._slab["open"][slot]).tolist():
                found.append(self._latest(keys, slot, test, EVICTED))
                self._clock[2] -= 1
        return found

    def clear(self, slots: Ints) -> None:
        """Make the rows of evicted keys fresh; after their last transitions have been told."""
        self._slab.clear(slots)

    def identity(self, transition: Transition) -> bytes:
        """The id of a transition's episode: that of its first alert."""
        return bytes(self._slab["id"][transition.slot, transition.test])

    def name(self, transition: Transition, identity: bytes) -> None:
        """Give a newly opened episode its id."""
        self._slab["id"][transition.slot, transition.test] = np.frombuffer(identity, np.uint8)

    def freeze(self, keys: KeyIndex) -> Section:
        """Rows of keys that have, or have had, an episode, in byte order of the keys."""
        self._slab.fit(keys.capacity)
        order = keys.order()
        place = np.flatnonzero((self._slab["numbers"][order][:, :, _UNITS] > 0).any(axis=1))
        arrays: dict[str, Any] = self._slab.freeze(order[place])
        never = arrays["numbers"][:, :, _UNITS] == 0
        arrays["numbers"][never] = 0
        return Section(VERSION, {**arrays, "place": place, "event_time": self._clock[:1].copy()})

    def thaw(self, section: Section, keys: KeyIndex) -> None:
        """Take a frozen section back; slot i of a thawed index is the i-th key in byte order."""
        arrays: Mapping[str, Any] = upgraded("episodes", section, VERSION, {}).arrays
        self._slab.fit(max(keys.capacity, 1))
        self._slab.clear(np.arange(self._slab.capacity))
        place = arrays["place"]
        for name in ("open", "numbers", "max_score", "reports", "reported_units", "reported_score", "id"):
            self._slab[name][place] = arrays[name]
        ends = arrays["numbers"][:, :, _HEARD][arrays["open"] & (self._quiet_units != UNTIL_HEARD)]
        self._clock[0] = arrays["event_time"][0]
        self._clock[1] = int(ends.min()) + self._silence if len(ends) else _NEVER
        self._clock[2] = np.count_nonzero(arrays["open"])

    def _latest(self, keys: KeyIndex, slot: int, test: int, kind: int) -> Transition:
        """What would end an episode now, by no event of this partition's log."""
        head = [NO_ROW, -1, slot, test, kind, int(self._slab["reports"][slot, test])]
        numbers = self._slab["numbers"][slot, test, :_HEARD].tolist()
        return self._transition(keys, head + numbers, float(self._slab["max_score"][slot, test]))

    @staticmethod
    def _transition(keys: KeyIndex, out: list[int], max_score: float) -> Transition:
        row, alarm, slot, test, kind, number, units, first_unit, last_unit, first_at, last_at, critical = out
        return Transition(
            row, alarm, slot, keys.key(slot), test, kind, number, units, first_unit, last_unit, first_at, last_at, bool(critical), max_score
        )
