"""The fold of one partition: ``state, outcome = fold(state, events)``, with no clock, no I/O and no memory of batches.

Backtest, embedded broker and Kafka all drive this one class. What needs waiting for (a `Build`) is yielded to the driver, which
may run it wherever it likes; what enters from outside comes as a `Cut`; what leaves is in the `Outcome`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec
import numpy as np

from detectors.protocol import (
    E_VALUE,
    JUDGED,
    LATE,
    P_VALUE,
    REPEATED,
    SCORE,
    THRESHOLD,
    Alarms,
    Build,
    Columns,
    Detector,
    Explanation,
    Ints,
    Verdicts,
    admit,
)
from state import snapshot
from state.snapshot import Section, SnapshotError
from streams import erasure
from streams.cuts import Cut
from streams.episodes import EVICTED, ID_BYTES, OPENED, Episodes, Transition

VERSION = 4


@dataclass(frozen=True, slots=True)
class Coordinates:
    """Where an event was born: the record it came in, or the upstream record it was made from; `index` counts within a frame."""

    topic: str
    partition: int
    offset: int
    index: int


@dataclass(slots=True)
class Origins:
    """Coordinates in columns: event i was born at ``sources[source[i]]``, offset[i], index[i]."""

    sources: list[tuple[str, int]]
    source: Ints
    offset: Ints
    index: Ints

    def __getitem__(self, row: int) -> Coordinates:
        topic, partition = self.sources[self.source[row]]
        return Coordinates(topic, partition, int(self.offset[row]), int(self.index[row]))

    def take(self, rows: Any) -> Origins:
        """The rows of a mask, a slice or numbers."""
        return Origins(self.sources, self.source[rows], self.offset[rows], self.index[rows])

    @classmethod
    def of_record(cls, topic: str, partition: int, offset: Ints, index: Ints) -> Origins:
        """Events that were fed directly: they were born where they stand."""
        return cls([(topic, partition)], np.zeros(len(offset), np.int64), offset, index)


@dataclass(frozen=True, slots=True)
class Report:
    """One report of an episode, to become one alert."""

    transition: Transition
    episode: bytes
    origin: Coordinates | None  # of the event; None where an episode comes with a cut, or ends by one, by the passing of time, by eviction
    at: int
    explanation: Explanation | None = None  # none where it ends
    score: float = np.nan
    threshold: float = np.nan
    p_value: float = np.nan
    e_value: float = np.nan
    verdict: str | None = None  # the person's that ended it


@dataclass(slots=True)
class Outcome:
    """What came of a batch: a verdict an event that was folded (`rows` are their places in the batch), and reports in order."""

    verdicts: Verdicts
    rows: Ints
    reports: list[Report]
    skipped: int  # events that an earlier record of their upstream partition had brought already
    evicted: int = 0  # keys that left because others needed their room


@dataclass(slots=True)
class Counts:
    """What has passed, counted in the state, so that a replay does not count it twice."""

    events: int = 0
    skipped: int = 0
    not_ready: int = 0
    unjudged: int = 0
    tested: int = 0
    alert_rows: int = 0
    episodes: int = 0
    late: int = 0  # of the unjudged: older than their key's newest
    repeated: int = 0  # of the unjudged: seen before, by the key


@dataclass(slots=True)
class Partition:
    """The fold of partition `number` of `stream`; `topic` is its source without the prefix, as it stands in ids.

    Raises
    ------
    SnapshotError
        From `thaw`, if the frozen state is of other settings (both values are named) or cannot be read.
    """

    stream: str
    topic: str
    number: int
    detector: Detector
    silence: float  # seconds
    next: int = 0  # the offset of the next record to fold: the only position there is
    first: int = 0  # the offset at which this fold began
    last_cut: int = -1
    # everything below these offsets has been adopted: of its parts of `alert.labels` and `employee.limits`, of the requests to forget keys
    through: dict[str, int] = field(default_factory=lambda: {"verdicts": 0, "limits": 0, "erase": 0})
    counts: Counts = field(default_factory=Counts)
    upstream: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)
    state: Any = None
    episodes: Episodes = field(init=False)
    signature: str = field(init=False)

    def __post_init__(self) -> None:
        if self.state is None:
            self.state = self.detector.new_state()
        self.episodes = Episodes(self.detector.quiet_units, self.silence)
        self.signature = signature_text(self.detector)

    def due(self) -> list[Build]:
        """Builds that have been triggered: a driver may begin them before the fold waits for them."""
        return self.detector.due(self.state)

    def adopt(self, cut: Cut) -> list[Report]:
        """Take in what a cut brings, before the event it names, and say what it opens and ends."""
        inputs = dict(cut.inputs)
        reports: list[Report] = []
        if "verdicts" in inputs:
            told = inputs["verdicts"]
            inputs["verdicts"] = list(self._judged(told["items"], reports))
            self.through["verdicts"] = told["through"]
        if "limits" in inputs:
            self.through["limits"], inputs["limits"] = inputs["limits"]["through"], inputs["limits"]["items"]
        if "erase" in inputs:
            inputs["erase"] = partial(erasure.meant, frozenset(cut.inputs["erase"]["keys"]))
        alarms = self.detector.adopt(self.state, inputs)
        self.last_cut = cut.n
        at = self.episodes.event_time
        reports += [self._report(step, alarms, None, at) for step in self.episodes.raised(self.state.keys, alarms)]
        if "erase" in inputs:
            self._erase(cut.inputs["erase"], reports)
        return reports

    def fold(self, columns: Columns, origins: Origins, next_offset: int) -> Generator[Build, Any, Outcome]:
        """Fold a batch; `next_offset` is the position after it.

        A generator: it yields each `Build` that it must wait for, is sent the result, and returns the `Outcome`.
        """
        fresh = self._not_seen(origins)
        rows = np.flatnonzero(fresh)
        if len(rows) < len(columns):
            columns = Columns(columns.keys.take(rows), columns.at[rows], {name: c[rows] for name, c in columns.fields.items()})
            origins = origins.take(rows)
        columns.first_event = self.counts.events
        if "offset" in self.detector.fields:  # evidence that names records
            number = np.array([partition for _, partition in origins.sources], np.int64)
            upstream = np.array([int(source != (self.topic, self.number)) for source in origins.sources], np.int64)
            columns.fields = {
                **columns.fields, "upstream": upstream[origins.source],
                "partition": number[origins.source], "offset": np.ascontiguousarray(origins.offset),
            }  # fmt: skip
        parts: list[Verdicts] = []
        reports: list[Report] = []
        first = evicted = 0

        def make_room(at: int, slots: Ints) -> None:
            nonlocal evicted
            evicted += len(slots)
            self._evict(at, reports, slots)

        while first < len(columns):
            rest = columns.span(first, len(columns))
            rest = rest.span(0, admit(self.detector, self.state, rest, partial(make_room, int(rest.at[0]))))
            verdicts = self.detector.process(self.state, rest)
            self._tell(rest, verdicts, origins, first, reports)
            parts.append(verdicts)
            first += len(verdicts)
            if verdicts.waits_for >= 0:
                build = next(build for build in self.detector.due(self.state) if build.slot == verdicts.waits_for)
                self.detector.hand_over(self.state, build, (yield build))
        whole = Verdicts.join(parts) if parts else self.detector.process(self.state, columns)
        self._count(whole, len(fresh) - len(rows), reports)
        self.next = next_offset
        return Outcome(whole, rows, reports, len(fresh) - len(rows), evicted)

    def freeze(self) -> bytes:
        """The whole state in canonical form: equal folds give equal bytes."""
        return b"".join(self.pieces())

    def pieces(self) -> Iterator[memoryview]:
        """The same bytes in pieces, without a copy of the whole. Those that were taken do not change any more; until the last one is, the
        fold must stand still.
        """
        sections = dict(self.detector.freeze(self.state))
        sections["episodes"] = self.episodes.freeze(self.state.keys)
        sections["partition"] = Section(
            VERSION,
            meta={
                "stream": self.stream,
                "signature": self.signature,
                "next": self.next,
                "first": self.first,
                "last_cut": self.last_cut,
                "through": dict(self.through),
                "counts": [getattr(self.counts, name) for name in Counts.__slots__],
                "upstream": [[topic, number, *seen] for (topic, number), seen in sorted(self.upstream.items())],
            },
        )
        return snapshot.pieces(sections)

    def thaw(self, data: bytes | bytearray, spend: bool = False) -> None:
        """Take a frozen state in place of this one; with `spend`, a bytearray is emptied on the way."""
        sections = snapshot.unpack(data, spend)
        own = snapshot.upgraded("partition", sections["partition"], VERSION, UPGRADES)
        if own.meta["signature"] != self.signature:
            raise SnapshotError(
                f"the state of {self.stream} was made with {own.meta['signature']}, the settings now say {self.signature}: "
                "put the old settings back, or reset this state"
            )
        self.state = self.detector.thaw(sections)
        self.episodes = Episodes(self.detector.quiet_units, self.silence)
        self.episodes.thaw(sections["episodes"], self.state.keys)
        self.next, self.first, self.last_cut = own.meta["next"], own.meta["first"], own.meta["last_cut"]
        self.through = dict(own.meta["through"])
        self.counts = Counts(*own.meta["counts"])
        self.upstream = {(topic, number): (offset, index) for topic, number, offset, index in own.meta["upstream"]}

    def _not_seen(self, origins: Origins) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Mask of the events whose origin is above the highest folded of their upstream partition; remembers the new highest."""
        fresh = np.ones(len(origins.offset), np.bool_)
        for number, source in enumerate(origins.sources):
            if source == (self.topic, self.number):
                continue  # the record's own place in this log: its offset is the position
            for row in np.flatnonzero(origins.source == number).tolist():
                here = (int(origins.offset[row]), int(origins.index[row]))
                if here <= self.upstream.get(source, (-1, -1)):
                    fresh[row] = False
                else:
                    self.upstream[source] = here
        return fresh

    def _tell(self, columns: Columns, verdicts: Verdicts, origins: Origins, first: int, reports: list[Report]) -> None:
        if verdicts.role != "acting":
            return
        for step in self.episodes.step(self.state.keys, columns, verdicts):
            origin = origins[first + step.row] if step.alarm >= 0 else None
            reports.append(self._report(step, verdicts.alarms, origin, int(columns.at[step.row])))

    def _report(self, step: Transition, alarms: Alarms, origin: Coordinates | None, at: int) -> Report:
        if step.kind == OPENED:
            self.episodes.name(step, self._identity(step, origin))
            self.counts.episodes += 1
        identity = self.episodes.identity(step)
        if step.alarm < 0:
            return Report(step, identity, None, at, score=step.max_score)
        number = alarms.numbers[step.alarm].tolist()
        why = self.detector.explain(alarms, step.alarm)
        return Report(step, identity, origin, at, why, number[SCORE], number[THRESHOLD], number[P_VALUE], number[E_VALUE])

    def _evict(self, at: int, reports: list[Report], slots: Ints) -> None:
        ended = self.episodes.evict(self.state.keys, slots)
        reports += [Report(step, self.episodes.identity(step), None, at, score=step.max_score) for step in ended]
        self.episodes.clear(slots)

    def _erase(self, told: Mapping[str, Any], reports: list[Report]) -> None:
        """Forget keys as if they had been evicted; their open episodes end."""
        self.through["erase"] = told["through"]
        slots = erasure.slots_of(self.state.keys, told["keys"])
        if len(slots):
            self._evict(self.episodes.event_time, reports, slots)
            self.detector.forget(self.state, slots)
            self.state.keys.remove(slots)

    def _judged(self, verdicts: Any, reports: list[Report]) -> Iterator[dict[str, Any]]:
        """People's verdicts on alerts, as those of a key, a test and a stretch of units; one on an alert that is forgotten says nothing.

        Each is ``{"key", "alert_id", "verdict", "at"}``: "confirmed" or "cleared". The id is that of any report of the episode.
        """
        keys = self.state.keys
        for verdict in verdicts:
            identity = bytes.fromhex(verdict["alert_id"].split(".")[0])
            for slot in keys.beginning(verdict["key"].encode(), b"\x1f"):
                episode = self.episodes.find(keys, slot, identity)
                if episode is None:
                    continue
                if self.detector.verdict_closes:
                    for step in self.episodes.told(keys, slot, episode.test):
                        told = verdict["verdict"]
                        reports.append(Report(step, identity, None, self.episodes.event_time, score=step.max_score, verdict=told))
                yield {
                    "slot": slot, "test": episode.test, "verdict": verdict["verdict"], "at": verdict["at"],
                    "first_unit": episode.first_unit, "last_unit": episode.last_unit,
                    "first_at": episode.first_at, "last_at": episode.last_at,
                }  # fmt: skip

    def _identity(self, step: Transition, origin: Coordinates | None) -> bytes:
        """The id of an episode: that of its first alert, the same from whoever folds this log; a period stands where no event does."""
        born = ["period", step.first_unit] if origin is None else [origin.topic, origin.partition, origin.offset, origin.index]
        what = [self.detector.name, self.detector.tests[step.test], "opened", self.signature]
        parts = [*what, step.key.decode("utf-8", "surrogateescape"), *born]
        return hashlib.blake2b(msgspec.json.encode(parts), digest_size=ID_BYTES).digest()

    def _count(self, verdicts: Verdicts, skipped: int, reports: list[Report]) -> None:
        counts = self.counts
        judged = ~np.isnan(verdicts.score)
        counts.events += len(verdicts)
        counts.skipped += skipped
        counts.not_ready += int(np.count_nonzero(verdicts.not_ready & (verdicts.reason == JUDGED)))
        counts.unjudged += int(np.count_nonzero(verdicts.reason))
        counts.late += int(np.count_nonzero(verdicts.reason == LATE))
        counts.repeated += int(np.count_nonzero(verdicts.reason == REPEATED))
        counts.tested += int(np.count_nonzero(judged & ~verdicts.not_ready))
        counts.alert_rows += int(np.count_nonzero(verdicts.alert))


def _with_first(section: Section) -> Section:
    """Version 2 of a partition's section says where the fold began; one of version 1 began with its log, as far as anybody knows."""
    return Section(2, section.arrays, {**section.meta, "first": 0})


def _with_limits(section: Section) -> Section:
    """Version 3 also says up to where employees' limits have been adopted."""
    meta = dict(section.meta)
    through = {"verdicts": meta.pop("verdicts_through"), "limits": 0}
    return Section(3, section.arrays, {**meta, "through": through})


def _with_erasures(section: Section) -> Section:
    """Version 4 also says up to where requests to forget keys have been adopted."""
    return Section(4, section.arrays, {**section.meta, "through": {**section.meta["through"], "erase": 0}})


UPGRADES = {1: _with_first, 2: _with_limits, 3: _with_erasures}


def signature_text(detector: Detector) -> str:
    """A detector's name and the settings that shape its state, as one line that a person can compare."""
    settings: Mapping[str, Any] = detector.state_signature()
    return detector.name + " " + ", ".join(f"{name}={settings[name]}" for name in sorted(settings))


def run(folding: Generator[Build, Any, Outcome]) -> Outcome:
    """Drive a fold to its end, running builds on the spot."""
    result: Any = None
    while True:
        try:
            result = folding.send(result).run()
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome


__all__ = ["EVICTED", "Coordinates", "Counts", "Origins", "Outcome", "Partition", "Report", "run", "signature_text"]
