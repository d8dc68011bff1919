"""What every detector is to the rest: columns of events in, columns of verdicts out, and a state that can be frozen.

A detector is pure: no I/O, no clock, no unseeded draw. Its result does not depend on how the events were cut into batches.
Time is an argument (`Columns.at`), randomness a hash (`state.draws`), slow work a `Build` that somebody else runs, and whatever
is not the partition's own log comes in through `adopt`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from state.keys import PackedKeys
from state.snapshot import Section

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

MICROSECONDS = 1_000_000  # per second: event times are int64 microseconds since 1970, UTC

# Why a row has no score (`Verdicts.reason`): the first is "it has one, or the key is not ready yet".
REASONS = (
    "",
    "late: older than what has been folded of its key",
    "repeated: this event has been folded before",
    "waiting for the population's reference",
    "not testable: too few postings for every digit",
    "no look: the window is not full yet",
    "not a number",
)
UNTIL_HEARD = -1  # a value of `Detector.quiet_units`
JUDGED, LATE, REPEATED, NO_REFERENCE, NOT_TESTABLE, NO_LOOK, NOT_A_NUMBER = range(7)


@dataclass(slots=True)
class Columns:
    """Events of one partition, in order; every array has one entry an event.

    Attributes
    ----------
    keys
        The sensor, card, employee or source.
    at
        Event time, microseconds since 1970 UTC.
    fields
        What the detector names in its `fields`, by name; floats use NaN, integers a stated value for "not given".
    slots
        The key's slot, filled by the fold (`admit`) before `process` sees the columns.
    first_event
        The partition's own number of the first event: how many it has folded before.
    """

    keys: PackedKeys
    at: Ints
    fields: Mapping[str, NDArray[Any]]
    slots: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    first_event: int = 0

    def __len__(self) -> int:
        return len(self.at)

    def span(self, first: int, last: int) -> Columns:
        """Events first … last − 1, without copying."""
        return Columns(
            self.keys.span(first, last),
            self.at[first:last],
            {name: column[first:last] for name, column in self.fields.items()},
            self.slots[first:last],
            self.first_event + first,
        )


# Columns of `Alarms.places` and `Alarms.numbers`.
ROW, SLOT, TEST, UNIT, CRITICAL = range(5)
SCORE, THRESHOLD, P_VALUE, E_VALUE = range(4)
NO_ROW = -1  # the alarm comes with a cut, not with an event


@dataclass(slots=True)
class Alarms:
    """What lies beyond a budget: one entry a test and event, in the order of the events; several tests may alarm at one.

    Attributes
    ----------
    places
        Shape (m, 5), int64. ROW: the event, as the verdicts count them, or NO_ROW. SLOT: the key spoken of; usually the event's own,
        another's where the partition's time makes plain that a key has fallen silent. TEST: index into the detector's `tests`. UNIT: the
        key's own number of the unit that was tested. CRITICAL: 1 where it lies beyond a hundredth of the budget.
    numbers
        Shape (m, 4), float64: SCORE, the THRESHOLD it was held against (inf where none can be promised), P_VALUE and E_VALUE; NaN where
        there is none.
    detail, detail_stop
        Numbers that explain the alarms without the stream: alarm i has ``detail[detail_stop[i - 1]:detail_stop[i]]``.
        `Detector.explain` knows what they mean.
    """

    places: Ints
    numbers: Floats
    detail: Floats
    detail_stop: Ints

    @classmethod
    def none(cls) -> Alarms:
        """No alarm."""
        return cls(np.empty((0, 5), np.int64), np.empty((0, 4)), np.empty(0), np.empty(0, np.int64))

    @classmethod
    def of_rows(
        cls, alert: Bools, slots: Ints, unit: Ints, score: Floats, threshold: Floats, p_value: Floats, critical: Bools,
        detail: Floats, detail_stop: Ints, test: NDArray[np.int8] | None = None,
    ) -> Alarms:  # fmt: skip
        """Alarms of a detector whose rows each speak of one test: from columns with an entry an event.

        `detail_stop` counts over all rows, those that do not alert having no detail.
        """
        rows = np.flatnonzero(alert)
        places, numbers = np.zeros((len(rows), 5), np.int64), np.full((len(rows), 4), np.nan)
        places[:, ROW] = rows
        for number, column in ((SLOT, slots), (UNIT, unit), (CRITICAL, critical), *(((TEST, test),) if test is not None else ())):
            places[:, number] = column[rows]
        for number, column in ((SCORE, score), (THRESHOLD, threshold), (P_VALUE, p_value)):
            numbers[:, number] = column[rows]
        return cls(places, numbers, detail, detail_stop[rows])

    def __len__(self) -> int:
        return len(self.places)

    def detail_of(self, i: int) -> Floats:
        """The numbers behind one alarm."""
        return self.detail[(self.detail_stop[i - 1] if i else 0) : self.detail_stop[i]]

    def before(self, row: int) -> Alarms:
        """Those of the events before `row`."""
        many = int(np.searchsorted(self.places[:, ROW], row))
        return Alarms(self.places[:many], self.numbers[:many], self.detail, self.detail_stop[:many])

    @staticmethod
    def join(parts: Sequence[Alarms], lengths: Sequence[int]) -> Alarms:
        """The alarms of consecutive verdicts, `lengths` of them each, as those of the whole."""
        places = []
        for part, first in zip(parts, np.cumsum([0, *lengths]), strict=False):
            shifted = part.places.copy()
            shifted[:, ROW] += first
            places.append(shifted)
        shifts = np.cumsum([0] + [len(part.detail) for part in parts])
        return Alarms(
            np.concatenate(places),
            np.concatenate([part.numbers for part in parts]),
            np.concatenate([part.detail for part in parts]),
            np.concatenate([part.detail_stop + shift for part, shift in zip(parts, shifts, strict=False)]),
        )


@dataclass(slots=True)
class Verdicts:
    """What a detector says of events, in columns of length n.

    Attributes
    ----------
    score
        Larger is stranger: the paper's quantity. NaN where there is none.
    threshold
        What the score was held against; inf where no threshold can be promised.
    p_value
        Chance that a normal unit scores so high; NaN where there is none.
    alert
        Whether any of the detector's tests alarms at the event.
    seen, needed
        Progress of the warm-up: not ready where seen < needed.
    unit
        The key's own number of the unit that the event belongs to (reading block, transaction, look); alarms whose units are close are
        one episode.
    reason
        Index into REASONS.
    alarms
        What lies beyond the budget, test by test.
    evidence
        Further columns for the score log, by name.
    role
        "acting", or "shadow" for a challenger that is measured and alerts nobody.
    waits_for
        The slot whose build must be handed over before the next event can be folded; −1 if all events were folded.
    """

    score: Floats
    threshold: Floats
    p_value: Floats
    alert: Bools
    seen: Ints
    needed: Ints
    unit: Ints
    reason: NDArray[np.int8]
    alarms: Alarms = field(default_factory=Alarms.none)
    evidence: dict[str, NDArray[Any]] = field(default_factory=dict)
    role: str = "acting"
    waits_for: int = -1

    @classmethod
    def blank(cls, n: int) -> Verdicts:
        """n rows that say nothing yet, for a kernel to fill."""
        return cls(
            np.full(n, np.nan), np.full(n, np.nan), np.full(n, np.nan), np.zeros(n, np.bool_),
            np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int8),
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.score)

    @property
    def not_ready(self) -> Bools:
        return self.seen < self.needed

    def head(self, n: int) -> Verdicts:
        """The first n rows: what a kernel that stopped early has decided."""
        cut = {
            f.name: getattr(self, f.name)[:n]
            for f in fields(self)
            if f.name not in ("evidence", "alarms", "role", "waits_for")
        }  # fmt: skip
        return replace(self, **cut, alarms=self.alarms.before(n), evidence={name: column[:n] for name, column in self.evidence.items()})

    @staticmethod
    def join(parts: Sequence[Verdicts]) -> Verdicts:
        """Consecutive verdicts of one detector as one."""
        if len(parts) == 1:
            return parts[0]
        whole = Verdicts.blank(0)
        for f in fields(Verdicts):
            if f.name not in ("evidence", "alarms", "role", "waits_for"):
                setattr(whole, f.name, np.concatenate([getattr(part, f.name) for part in parts]))
        for name in parts[0].evidence:
            whole.evidence[name] = np.concatenate([part.evidence[name] for part in parts])
        whole.alarms = Alarms.join([part.alarms for part in parts], [len(part) for part in parts])
        whole.role, whole.waits_for = parts[0].role, parts[-1].waits_for
        return whole


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why there is an alarm, for a person: sentences with numbers, and the evidence they were drawn from (≤ 8 kB as JSON).

    `basis`, `guarantee`, `budget` and `unit` take the place of what the stream promises in general, where an alarm's own is another.
    """

    reasons: tuple[str, ...]
    evidence: Mapping[str, Any]
    compared_with: str
    basis: str | None = None
    guarantee: str | None = None
    budget: Mapping[str, Any] | None = None
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Build:
    """Slow work that leaves the hot path; its result is handed over at a fixed later event of its key.

    `run` is a pure function of values copied when the build was listed: it may be called anywhere, and again after a crash.
    """

    slot: int
    key: bytes
    number: int  # the key's own event number at which the build was triggered
    run: Callable[[], Any]


class Detector(Protocol):
    """The contract; `tests/test_contract.py` walks every detector through it."""

    name: ClassVar[str]
    tests: ClassVar[tuple[str, ...]]  # names of the channels, as `Alarms` count them
    fields: ClassVar[Mapping[str, type]]  # the columns it reads, with their dtypes
    unit: ClassVar[str]  # what episodes are counted in: "block", "transaction", "look", "event"
    quiet_units: tuple[
        int, ...
    ]  # of each test: alarming units at most so many apart are one episode; UNTIL_HEARD: till its key's next event
    verdict_closes: ClassVar[bool]  # whether a person's verdict ends an episode

    def new_state(self) -> Any:
        """A state in which nothing has been seen."""

    def process(self, state: Any, columns: Columns) -> Verdicts:
        """Score first, then learn, one event at a time, in order.

        Where it must wait for the hand-over of a build it returns fewer rows than there are events and names the key's slot in
        `waits_for`; the caller hands over that build (and no other: a build is in force from its fixed event on) and goes on.
        """

    def due(self, state: Any) -> list[Build]:
        """The builds that have been triggered and not handed over, oldest first."""

    def hand_over(self, state: Any, build: Build, result: Any) -> None:
        """Put a build's result in force; called when `process` has stopped for it. A build whose key has gone is ignored."""

    def adopt(self, state: Any, inputs: Mapping[str, Any]) -> Alarms:
        """Take in, between two events, what came through the cut log. Unknown names are ignored.

        What it brings may itself alarm, as the end of a period does: with NO_ROW, and the period's number as unit.
        """

    def contribution(self, state: Any) -> Mapping[str, Any] | None:
        """What this partition gives to inputs merged over the whole stream (JSON-like), None if nothing."""

    def merged(self, contributions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The inputs that the contributions of a stream's partitions make together, in order of the partitions; at least one is given."""

    def forget(self, state: Any, slots: Ints) -> None:
        """Clear the rows of keys that the index has evicted."""

    def freeze(self, state: Any) -> dict[str, Section]:
        """The state in canonical form, live rows sorted by key. Large arrays may be made later: the state stands still until they are."""

    def thaw(self, sections: Mapping[str, Section]) -> Any:
        """The state of frozen sections."""

    def state_signature(self) -> dict[str, Any]:
        """The settings that shape the state (JSON-like); a state of other settings is refused."""

    def explain(self, alarms: Alarms, i: int) -> Explanation:
        """Say why there is the i-th alarm, from the alarms alone."""


def admit(detector: Detector, state: Any, columns: Columns, on_evict: Callable[[Ints], None] | None = None) -> int:
    """Fill `columns.slots` for as many events as there is room for, at least one; return how many.

    Where the key index is full and the first event brings a new key, the oldest keys are evicted first: `on_evict` is told
    their slots while their names and rows are still there.
    """
    slots = state.keys.admit(columns.keys, columns.first_event)
    if len(slots) == 0 and len(columns) > 0:
        gone = state.keys.oldest()
        if on_evict is not None:
            on_evict(gone)
        detector.forget(state, gone)
        state.keys.remove(gone)
        slots = state.keys.admit(columns.keys, columns.first_event)
    columns.slots = slots
    return len(slots)


def fold(detector: Detector, state: Any, columns: Columns) -> Iterator[tuple[Columns, Verdicts]]:
    """Fold all events, running builds on the spot: the pure, synchronous form that backtests of one detector and tests use."""
    first = 0
    while first < len(columns):
        rest = columns.span(first, len(columns))
        rest = rest.span(0, admit(detector, state, rest))
        verdicts = detector.process(state, rest)
        yield rest.span(0, len(verdicts)), verdicts
        first += len(verdicts)
        if verdicts.waits_for >= 0:
            build = next(build for build in detector.due(state) if build.slot == verdicts.waits_for)
            detector.hand_over(state, build, build.run())
