"""The trainer beside the stream: it reads the score log and `card.labels`, learns what has matured, and publishes versions.

One worker of a stream does it, the owner of partition 0. It tails every partition of the score log and notes where the rows of each
hour stand; when an hour has reached the label delay, it reads that hour again, with its features, joins the labels and learns. So
features wait in no state and in no memory.

What it learns is published as one record of `nilometer.models.cards` an hour: the model and the merchants' shares, and how far either
log had been read. Workers tail that topic; partitions adopt by reference. A trainer that dies is no loss: the next owner takes the
newest record, reads again from there what the shares and late labels need, and goes on with what that record had not read. Two at once
(an owner that has not noticed) publish twice what is the same.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from detectors.aggregation.shares import HOURS_A_DAY
from detectors.protocol import Floats
from streams.agents import labels
from streams.agents.population import HOUR
from streams.dead_letters import DeadLetter
from streams.durable.references import Records
from streams.training import Rows, Trainer
from streams.transport.log import Record
from streams.transport.tail import Logs

LOOK = 0.2  # seconds between two looks at whether it is still ours
AT_ONCE = 1_000  # records that may wait in memory
AHEAD = 32  # records of the score log that are read in one go,
KEPT = 96  # and how many are remembered: neighbouring hours share records
LEAST_BETWEEN, MEASURING_SHARE = 1.0, 100  # s between two measures of the models, and that they take no more than a hundredth of the time
STRIDE = 168  # hours of event time after which a version is published, at the latest: who catches up must not lose all of it by a crash


class _Times(msgspec.Struct):
    """What of a score record says where its rows belong."""

    at: list[int]


_times = msgspec.json.Decoder(_Times).decode


@dataclass
class HourIndex:
    """Where the rows of each hour stand in the score log.

    Attributes
    ----------
    places
        By hour and partition: the first and the last record that holds rows of it.
    fresh
        Hours with rows that nobody has learned.
    newest
        By partition: the hour of its newest event.
    next
        By partition: the offset up to which all of this has been noted.
    """

    places: dict[int, dict[int, tuple[int, int]]] = field(default_factory=dict)
    fresh: set[int] = field(default_factory=set)
    newest: dict[int, int] = field(default_factory=dict)
    next: dict[int, int] = field(default_factory=dict)

    def note(self, partition: int, offset: int, at: Sequence[int]) -> None:
        """A record of a partition, with the times of its rows."""
        self.next[partition] = offset + 1
        for hour in np.unique(np.array(at, np.int64) // HOUR).tolist():
            first, _ = self.places.setdefault(hour, {}).setdefault(partition, (offset, offset))
            self.places[hour][partition] = first, offset
            self.fresh.add(hour)
            self.newest[partition] = max(hour, self.newest.get(partition, hour))

    def stream_hour(self, delay_hours: int) -> int | None:
        """The hour of the stream's event time: its slowest partition's. One that is far behind, or silent, does not hold it up."""
        if not self.newest:
            return None
        return max(min(self.newest.values()), max(self.newest.values()) - delay_hours // 2)

    def begin(self, hour: int) -> dict[int, int]:
        """By partition, the offset below which there is nothing of `hour` or later."""
        found = dict(self.next)
        for then, places in self.places.items():
            if then >= hour:
                for partition, (first, _) in places.items():
                    found[partition] = min(found[partition], first)
        return found

    def forget(self, before: int) -> None:
        """Let go of hours that nobody asks for any more."""
        for hour in [hour for hour in self.places if hour < before]:
            del self.places[hour]
        self.fresh = {hour for hour in self.fresh if hour >= before}


@dataclass(frozen=True)
class Measured:
    """What is shown of a trainer.

    Attributes
    ----------
    learned, frauds, lost
        As the trainer counts them.
    through
        Event time up to which everything has been learned, seconds since 1970.
    delays
        From transactions to their labels, seconds: of those learned since the last time.
    models
        Measures of the champion and its challengers (`Scoreboard.measures`).
    """

    learned: int
    frauds: int
    lost: int
    through: float
    delays: Floats
    models: Mapping[str, Mapping[str, Any]]


class Training:
    """A trainer and how far it has read.

    Parameters
    ----------
    logs, scores, outcomes
        Where the logs are, and the full names of the score log's and the labels' topics.
    refuse
        Takes what is no label.
    future
        Seconds that a label's `at` may be ahead of its record.
    """

    def __init__(
        self, trainer: Trainer, logs: Logs, scores: str, outcomes: str, refuse: Callable[[DeadLetter], Awaitable[Any]], future: float
    ) -> None:
        self.trainer, self.logs, self.scores, self.outcomes = trainer, logs, scores, outcomes
        self.on_label: Callable[[bool], object] = lambda fraud: None
        self.index = HourIndex()
        self.labels_next: dict[int, int] = {}
        self._refuse, self._future = refuse, int(future * 1e6)
        self._hour: int | None = None  # the last that was learned at
        self._delays: list[float] = []  # from transactions to labels, not shown yet
        self._shown = 0.0  # when the next look at the models is due, by the clock
        self._rows_of: OrderedDict[tuple[int, int], Rows | None] = OrderedDict()  # by partition and offset: the latest that were read

    async def resume(self, record: dict[str, Any], partitions: int) -> None:
        """Go on from what was published last: all that it had read teaches again what is not in it.

        From a model of other features one cannot: then everything is learned anew, as far as the logs reach.
        """
        if "model" not in record or record["model"]["names"] != list(self.trainer.names):
            return
        trainer, told = self.trainer, record["read"]
        trainer.resume(record["model"])
        begin, scores, read_labels = (
            {int(partition): offset for partition, offset in told[name].items()} for name in ("begin", "scores", "labels")
        )
        for partition in range(partitions):
            async for found in _until(self.logs, self.outcomes, partition, 0, read_labels.get(partition, 0)):
                await self.heard(found, known=True)
            async for found in _until(self.logs, self.scores, partition, begin.get(partition, 0), scores.get(partition, 0)):
                await self.heard(found)
            self.labels_next[partition] = read_labels.get(partition, 0)
            self.index.next[partition] = scores.get(partition, 0)
        await self._learn_to(told["hour"])

    async def catch_up(self, partitions: int) -> None:
        """Read either log to its end: no partition is to be ahead of another, and no label to come late, only because we did."""
        for partition in range(partitions):
            whole = await self.logs.read_to_end(self.outcomes, partition, self.labels_next.get(partition, 0))
            for found in whole.records:
                await self.heard(found)
            end = await self.logs.end(self.scores, partition)
            async for found in _until(self.logs, self.scores, partition, self.index.next.get(partition, 0), end):
                await self.heard(found)

    async def heard(self, record: Record, known: bool = False) -> None:
        """Take in a record of either log, in order of each partition."""
        if record.topic == self.scores:
            if record.value is not None:
                self.index.note(record.partition, record.offset, _times(record.value).at)
            return
        self.labels_next[record.partition] = record.offset + 1
        try:
            latest = record.timestamp_ms * 1000 + self._future if record.timestamp_ms >= 0 else None
            label = labels.read(record.value, latest)
            self.trainer.label(label)
            self.on_label(label.fraud)
        except labels.Unreadable as problem:
            if not known:
                where = (self.outcomes, record.partition, record.offset)
                await self._refuse(DeadLetter(*where, str(problem), (), record.key, record.value))

    async def learn(self) -> dict[str, Any] | None:
        """Learn what has matured since the last time, hour by hour; return the record to publish, None where the hour has not changed."""
        now = self.index.stream_hour(self.trainer.delay_hours)
        if now is None or (self._hour is not None and now <= self._hour):
            return None
        now = min(now, STRIDE + (self._hour if self._hour is not None else min(self.index.places, default=now)))
        found = await self._learn_to(now)
        if not found:
            return None
        through = self.trainer.ripe_before(now)
        begin = through - max(self.trainer.relabel_hours, HOURS_A_DAY * self.trainer.shares.days[-1])
        self.index.forget(begin)
        read = {"hour": now, "begin": self.index.begin(begin), "scores": self.index.next, "labels": self.labels_next}
        return {**found, "read": {name: _named(value) if isinstance(value, dict) else value for name, value in read.items()}}

    def measured(self, clock: float) -> Measured | None:
        """What there is to show; None where it was shown a moment ago, for comparing models takes a while."""
        trainer, started = self.trainer, time.perf_counter()
        if clock < self._shown or trainer.through is None:
            return None
        models = trainer.scoreboard.measures()
        self._shown = clock + max(LEAST_BETWEEN, MEASURING_SHARE * (time.perf_counter() - started))
        delays, self._delays = np.array(self._delays), []
        return Measured(trainer.learned, trainer.frauds, trainer.lost, trainer.through * HOUR / 1e6, delays, models)

    async def _learn_to(self, now: int) -> dict[str, Any]:
        trainer = self.trainer
        due = {hour + 1 + trainer.delay_hours for hour in self.index.fresh} | set(trainer.labels.hours())
        last = self._hour if self._hour is not None else min(due, default=now) - 1
        due = {max(hour, last + 1) for hour in due}  # what comes late is learned next
        found: dict[str, Any] = {}
        for hour in sorted(hour for hour in due | {now} if hour <= now):
            ripe = sorted(each for each in self.index.fresh if each < trainer.ripe_before(hour))
            wanted = trainer.wanted(hour)
            again, rows = await self._rows(sorted(wanted)), await self._rows(ripe)
            found = trainer.advance(hour, rows, again)
            if found:  # nothing comes of what was learned before a restart
                late = again.take(np.isin(again.number, [number for numbers in wanted.values() for number in numbers]))
                for told in (rows, late):
                    self._delays += trainer.labels.delays(told.number, told.at)
            self.index.fresh.difference_update(ripe)
        self._hour = now
        return found

    async def _rows(self, hours: Sequence[int]) -> Rows:
        """The rows of these hours, read from the score log; what it does not hold any more is missing."""
        parts = []
        for hour in hours:
            for partition, (first, last) in sorted(self.index.places.get(hour, {}).items()):
                for offset in range(first, last + 1):
                    rows = await self._record(partition, offset)
                    if rows is not None:
                        parts.append(rows.take(rows.at // HOUR == hour))
        return Rows.join(parts, len(self.trainer.names))

    async def _record(self, partition: int, offset: int) -> Rows | None:
        """The rows of one record of the score log; None where there is none any more, or it was made under other settings."""
        if (partition, offset) not in self._rows_of:
            end = min(offset + AHEAD, self.index.next.get(partition, offset + 1))
            self._rows_of |= dict.fromkeys((partition, each) for each in range(offset, max(end, offset + 1)))
            async for record in _until(self.logs, self.scores, partition, offset, end):
                self._rows_of[partition, record.offset] = Rows.of_record(msgspec.json.decode(record.value or b"{}"), self.trainer.names)
            while len(self._rows_of) > KEPT:
                self._rows_of.popitem(last=False)
        return self._rows_of[partition, offset]


async def keep_training(
    make: Callable[[], Trainer],
    logs: Logs,
    topics: tuple[str, str, str],
    partitions: int,
    publish: Callable[[bytes], Awaitable[Any]],
    refuse: Callable[[DeadLetter], Awaitable[Any]],
    owns_first: Callable[[], bool],
    future: float = 3600.0,
    show: Callable[[Measured | None], object] = lambda found: None,
    heard: Callable[[bool], object] = lambda fraud: None,
) -> None:
    """Train for ever, while we own partition 0.

    Parameters
    ----------
    make
        A trainer that has seen nothing.
    topics
        Full names of the score log, the labels, and where versions go.
    publish
        Appends a record to the latter, and returns when it is durable.
    show
        Told what to show of the trainer; None when it is another worker's.
    heard
        Told of each label that is read, 1 for a fraud.
    """
    scores, outcomes, models = topics
    while True:
        while not owns_first():
            await asyncio.sleep(LOOK)
        training = Training(make(), logs, scores, outcomes, refuse, future)
        whole = await newest(logs, models)
        if whole is not None and whole.value is not None:
            await training.resume(msgspec.json.decode(whole.value), partitions)
        await training.catch_up(partitions)
        training.on_label = heard
        await _train(training, partitions, publish, owns_first, show)
        show(None)


async def _train(
    training: Training,
    partitions: int,
    publish: Callable[[bytes], Awaitable[Any]],
    owns_first: Callable[[], bool],
    show: Callable[[Measured | None], object],
) -> None:
    """Until partition 0 is another's."""
    news: asyncio.Queue[Record | None] = asyncio.Queue(AT_ONCE)
    starts = [(training.outcomes, training.labels_next), (training.scores, training.index.next)]
    readers = [
        asyncio.ensure_future(_forward(training.logs.tail(topic, partition, start.get(partition, 0)), news))
        for topic, start in starts
        for partition in range(partitions)
    ]
    try:
        while owns_first():
            found = await training.learn()
            if found is not None and owns_first():
                await publish(msgspec.json.encode(found))
            measured = training.measured(time.monotonic())
            if measured is not None:
                show(measured)
            if news.empty():
                await asyncio.sleep(LOOK)
            for _ in range(news.qsize()):
                record = await news.get()
                if record is None:
                    await asyncio.gather(*(reader for reader in readers if reader.done()))  # raises what ended one
                    raise RuntimeError("a log has ended")
                await training.heard(record)
    finally:
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)


async def keep_models(
    logs: Logs, topic: str, records: Records, offer: Callable[[dict[str, Any]], None], names: Sequence[str], prefix: str = ""
) -> None:
    """Tail the published versions for ever: hold each, and offer it by reference to this worker's partitions.

    A model of other features than `names` is none for them. References name the topic without the prefix that it stands under.
    """
    end = await logs.end(prefix + topic, 0)
    async for record in logs.tail(prefix + topic, 0, max(end - 1, await logs.begin(prefix + topic, 0))):
        if record.value is None:
            continue
        reference = records.put(topic, 0, record.offset, record.value).plain()
        found = msgspec.json.decode(record.value)
        fits = "model" in found and found["model"]["names"] == list(names)
        offer({name: reference for name in ("model", "shares") if name == "shares" or fits})


async def newest(logs: Logs, topic: str) -> Record | None:
    """The last record of a topic of one partition, None where it is empty."""
    end = await logs.end(topic, 0)
    whole = await logs.read_to_end(topic, 0, max(0, end - 1))
    return whole.records[-1] if whole.records else None


def fetching(logs: Logs, prefix: str = "") -> Callable[[str, int, int], Awaitable[bytes | None]]:
    """How `Records` reads what a reference names."""

    async def fetch(topic: str, partition: int, offset: int) -> bytes | None:
        async for record in _until(logs, prefix + topic, partition, offset, offset + 1):
            return record.value if record.offset == offset else None
        return None

    return fetch


async def _until(logs: Logs, topic: str, partition: int, start: int, end: int) -> AsyncIterator[Record]:
    """The records of offsets start … end − 1, as far as the log holds them.

    No hole may be at their end: the score log is our own, and what has been read once was there.
    """
    end = min(end, await logs.end(topic, partition))
    if max(start, await logs.begin(topic, partition)) >= end:
        return
    tail = logs.tail(topic, partition, start)
    try:
        async for record in tail:
            if record.offset < end:
                yield record
            if record.offset >= end - 1:
                return
    finally:
        await tail.aclose()  # type: ignore[attr-defined]


async def _forward(tail: AsyncIterator[Record], news: asyncio.Queue[Record | None]) -> None:
    try:
        async for record in tail:
            await news.put(record)
    finally:
        if not news.full():
            news.put_nowait(None)


def _named(numbers: dict[int, int]) -> dict[str, int]:
    """As JSON has it."""
    return {str(number): value for number, value in sorted(numbers.items())}
