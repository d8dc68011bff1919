"""What the four watchers share: a chunk comes in, the partition's fold says what it thinks, alerts and letters go out.

This is plumbing. What is decided is decided in `Partition.fold`, which neither waits nor looks at a clock; here one waits, sends
and measures.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import msgspec
import numpy as np

from detectors.protocol import Build, Columns, Ints
from streams import alerts, scores, topics
from streams.agents.offers import Offers
from streams.agents.population import HOUR
from streams.dead_letters import DeadLetter
from streams.definitions import Definition
from streams.durable.parked import Dead, Parked
from streams.durable.tenure import Tenure
from streams.partition import Origins, Outcome, Partition
from streams.records import Decoded
from streams.telemetry.metrics import Metrics
from streams.telemetry.series import observe
from streams.telemetry.watch_list import WatchList
from streams.transport.chunk import Chunk
from streams.transport.cutting import from_position, split_at

logger = logging.getLogger("streams.agents.watch")
UNDELIVERED = 10_000  # outputs that may be under way before a partition waits for the oldest
LEASE_LOOK = 0.02  # how often is looked whether outputs may leave, in seconds


class Unsent(Exception):
    """A record that could not be sent now; the same one may be, later."""


class Outlet(Protocol):
    """Where records go: returns when a record has been taken, with the future of its delivery; raises `Unsent`."""

    async def __call__(
        self, topic: str, key: bytes | None, value: bytes | None, *, partition: int | None = None, headers: Sequence[tuple[str, bytes]] = ()
    ) -> Awaitable[Any]: ...


Appendix = tuple[bytes, bytes, Sequence[tuple[str, bytes]]]  # key, value, headers


class Deliver(Protocol):
    """Where records go whose order is relied upon: none lies there without those of its partition before it; raises `Unsent`."""

    async def __call__(self, topic: str, records: Sequence[Appendix]) -> None: ...


@dataclass
class Watcher:
    """One stream as this worker sees it: its partitions, each a fold, and the way out.

    `shared` is told what a partition gives to inputs merged over the stream, once an hour of event time.
    """

    definition: Definition
    audit: alerts.Audit
    metrics: Metrics
    outlet: Outlet
    deliver: Deliver
    executor: Executor
    prefix: str = ""  # before every topic's name; ids and origins do without it
    end: Callable[[int], int | None] = lambda number: None  # a partition's high water, where it is known
    clock: Callable[[], float] = time.time  # for metrics only
    tenures: dict[int, Tenure] = field(default_factory=dict)  # by partition: those that are restored (`Tenures.held`)
    died: Callable[[int, Tenure], None] = lambda number, tenure: None  # told of a fold that has found that it is dead
    park: Callable[[int, Parked], None] = lambda number, why: None  # told of a partition that cannot go on
    unwanted: Callable[[int], None] = lambda number: None  # told of a partition that need not be read on
    offers: Offers = field(default_factory=Offers)  # what its partitions have still to adopt
    watch_list: WatchList | None = None  # keys whose own numbers are shown
    folded_at: dict[int, float] = field(default_factory=dict)  # by partition: Kafka timestamp of the last folded record, s
    _builds: dict[tuple[int, bytes, int], Future[Any]] = field(default_factory=dict)
    _preparing: set[int] = field(default_factory=set)
    _hours: dict[int, int] = field(default_factory=dict)  # of the last contribution of a partition

    @property
    def partitions(self) -> dict[int, Partition]:
        """The folds of this worker, by number."""
        return {number: cast("Partition", tenure.part) for number, tenure in self.tenures.items()}

    def position(self, number: int) -> int | None:
        """The offset a partition wants next, None where it has no fold: the one position there is."""
        tenure = self.tenures.get(number)
        return None if tenure is None else tenure.part.next

    def forget(self, number: int) -> None:
        """Show nothing more of a partition that is another worker's now."""
        self.metrics.forget(self.definition.name, number)
        self.folded_at.pop(number, None)
        if self.watch_list is not None:
            self.watch_list.forget(self.definition.name, number)

    def building(self, number: int) -> bool:
        """Whether a partition's fold may have to wait: for models that are being built, or for what its records need to be read."""
        return number in self._preparing or any(name[0] == number and not build.done() for name, build in self._builds.items())

    async def watch(self, chunk: Chunk) -> None:
        """Fold one chunk and hand what it led to to the producer; the next checkpoint waits until all of it is delivered."""
        tenure = self.tenures.get(chunk.partition)
        if tenure is None:
            self.unwanted(chunk.partition)  # given away, or parked
            return
        try:
            async with tenure.lock:
                await self._watch(tenure, chunk)
        except Dead:
            self.died(chunk.partition, tenure)
        except Parked as why:
            self.park(chunk.partition, why)

    async def _watch(self, tenure: Tenure, chunk: Chunk) -> None:
        """Fold what is still wanted of a chunk, from cut to cut."""
        rest = from_position(chunk, tenure.part.next) if tenure.folding else None
        while rest is not None and tenure.folding:
            await tenure.fetch()
            before = tenure.boundary()
            await self._adopt(tenure)
            await self._say(tenure)
            here, rest = (rest, None) if before is None else split_at(rest, before)
            await self._fold(tenure, here)

    async def settle(self, number: int) -> None:
        """Adopt what can be adopted before the next event, though none may come. The caller holds the tenure's lock."""
        tenure = self.tenures.get(number)
        if tenure is not None and tenure.folding and tenure.settled:
            await tenure.fetch()
            tenure.boundary()
            if self.offers.erasures.due(cast("Partition", tenure.part).through["erase"]):
                await self._adopt(tenure)
            await self._say(tenure)

    async def _fold(self, tenure: Tenure, chunk: Chunk) -> None:
        part = cast("Partition", tenure.part)
        if not len(chunk):
            part.next = chunk.next  # a hole
            return
        if self.definition.prepare is not None:
            self._preparing.add(part.number)
            try:
                await self.definition.prepare(chunk)
            finally:
                self._preparing.discard(part.number)
            tenure.check()
        started = time.perf_counter()
        tenure.settled = False
        decoded = self.definition.decode(chunk)
        columns, origins = decoded.columns, decoded.origins
        origins.sources = [(topic.removeprefix(self.prefix), number) for topic, number in origins.sources]
        outcome, waited = await self._drive(part, part.fold(columns, origins, chunk.next))
        seconds = time.perf_counter() - started - waited
        await self._may_speak(tenure)
        self._measure(part, chunk, columns, outcome, seconds)
        try:
            tenure.outputs += await self._send(part, chunk, decoded, outcome)
        except Unsent as problem:
            tenure.kill(f"an output was not sent: {problem}")
        tenure.check()
        tenure.settled = True
        if len(tenure.outputs) > UNDELIVERED:
            tenure.outputs = [delivery for delivery in tenure.outputs if not _delivered(delivery)]
            if len(tenure.outputs) > UNDELIVERED:
                await asyncio.wait([asyncio.ensure_future(tenure.outputs[0])])

    async def _send(self, part: Partition, chunk: Chunk, decoded: Decoded, outcome: Outcome) -> list[Awaitable[Any]]:
        columns, origins = decoded.columns, decoded.origins
        sent = await self._reply(part, chunk, decoded, outcome)  # first: somebody waits for it
        sent += [await self.refuse(letter) for letter in decoded.dead]
        sent += [await self._send_alert(part, report) for report in outcome.reports]
        if self.definition.scores:
            sent += await self._send_scores(part, chunk, columns.span(0, len(columns)), origins, outcome)
        by_topic: dict[str, list[Appendix]] = {}
        for topic, key, value, headers in self.definition.forward(decoded, outcome):
            by_topic.setdefault(topic, []).append((key, value, headers))
        for topic, records in by_topic.items():
            await self.deliver(topic, records)
        return sent + await self._contribute(part)

    async def _may_speak(self, tenure: Tenure) -> None:
        """Wait until nothing that was folded can have been another's to judge."""
        tenure.check()
        while not tenure.may_speak:
            await asyncio.sleep(LEASE_LOOK)
            tenure.check()

    async def _adopt(self, tenure: Tenure) -> None:
        part = cast("Partition", tenure.part)
        now = part.episodes.event_time
        inputs = self.offers.due(part.number, now, part.through)
        erase = self.offers.erasures.due(part.through["erase"])
        if not (inputs or erase) or not tenure.may_adopt:
            return
        if inputs:
            self.offers.adopted(part.number, now, inputs)
        if erase:
            inputs = {**inputs, "erase": erase}
        await tenure.adopt(inputs)
        self.metrics.cuts.labels(self.definition.name).inc()

    async def _say(self, tenure: Tenure) -> None:
        """Send what cuts have brought about."""
        if not tenure.reports:
            return
        await self._may_speak(tenure)
        reports, tenure.reports = tenure.reports, []
        try:
            tenure.outputs += [await self._send_alert(cast("Partition", tenure.part), report) for report in reports]
        except Unsent as problem:
            tenure.kill(f"an output was not sent: {problem}")
        tenure.check()

    async def _drive(self, part: Partition, folding: Any) -> tuple[Outcome, float]:
        """Drive a fold to its end and say how many seconds it waited for builds.

        Builds run in the executor, and those that are triggered early begin early.
        """
        result: Any = None
        waited = 0.0
        while True:
            try:
                build = folding.send(result)
            except StopIteration as end:
                self._keep_due(part)
                return end.value, waited
            began = time.perf_counter()
            # shielded: a rebalance that ends this actor must not cancel the build, which its successor waits for
            result = await asyncio.shield(asyncio.wrap_future(self._begin(part, build)))
            waited += time.perf_counter() - began
            del self._builds[part.number, build.key, build.number]

    def _keep_due(self, part: Partition) -> None:
        """Begin what is due, and let go of builds whose keys have left."""
        due = {(part.number, build.key, build.number): build for build in part.due()}
        for name in [name for name in self._builds if name[0] == part.number and name not in due]:
            del self._builds[name]
        for build in due.values():
            self._begin(part, build)

    def _begin(self, part: Partition, build: Build) -> Future[Any]:
        name = (part.number, build.key, build.number)
        if name not in self._builds:
            self._builds[name] = self.executor.submit(self._timed, build)
        return self._builds[name]

    def _timed(self, build: Build) -> Any:
        started = time.perf_counter()
        result = build.run()
        self.metrics.builds.labels(self.definition.name).inc()
        self.metrics.build_seconds.labels(self.definition.name).observe(time.perf_counter() - started)
        return result

    async def _send_alert(self, part: Partition, report: Any) -> Awaitable[Any]:
        event = alerts.cloud_event(
            report, stream=part.stream, partition=part.number, last_cut=part.last_cut,
            detector=part.detector, promise=self.definition.promise, audit=self.audit, parts=self.definition.parts(report.transition.key),
        )  # fmt: skip
        data = event["data"]
        self.metrics.alerts.labels(part.stream, data["test"], data["phase"], data["severity"]).inc()
        return await self.outlet(topics.alerts(part.stream), report.transition.key, alerts.encode(event))

    async def _reply(self, part: Partition, chunk: Chunk, decoded: Decoded, outcome: Outcome) -> list[Awaitable[Any]]:
        if self.definition.replies is None:
            return []
        given, refused = self.definition.replies.answer(part.topic, chunk, decoded, outcome)
        self.metrics.replies.labels(part.stream, "sent").inc(len(given))
        self.metrics.replies.labels(part.stream, "refused").inc(len(refused))
        if refused:
            more = f", and {len(refused) - 1:,} more" if len(refused) > 1 else ""
            where = {"stream": part.stream, "partition": part.number}
            logger.warning("no reply to a record of %s/%d: %s%s", part.topic, part.number, refused[0], more, extra=where)
        return [await self.outlet(topic, key, value, headers=headers) for topic, key, value, headers in given]

    async def refuse(self, letter: DeadLetter) -> Awaitable[Any]:
        """Send what cannot be read to where someone may look at it."""
        self.metrics.dead_letters.labels(self.definition.name).inc(max(1, len(letter.indices)))
        return await self.outlet(topics.DEAD_LETTERS, letter.key, letter.body(), headers=letter.headers())

    async def _send_scores(self, part: Partition, chunk: Chunk, columns: Any, origins: Origins, outcome: Outcome) -> list[Awaitable[Any]]:
        if outcome.skipped:
            rows = outcome.rows
            fields = {name: columns.fields[name][rows] for name in scores.NAMED_BY if name in columns.fields}
            columns = type(columns)(columns.keys.take(rows), columns.at[rows], fields)
            origins = origins.take(rows)
        made = scores.records(part.stream, part.number, chunk.next - 1, columns, origins, outcome.verdicts, self.definition.packed)
        return [await self.outlet(topics.scores(part.stream), None, value, partition=part.number) for value in made]

    async def _contribute(self, part: Partition) -> list[Awaitable[Any]]:
        hour = part.episodes.event_time // HOUR
        if hour <= self._hours.get(part.number, np.iinfo(np.int64).min // HOUR):
            return []
        self._hours[part.number] = hour
        contribution = part.detector.contribution(part.state)
        if contribution is None:
            return []
        value = msgspec.json.encode({"partition": part.number, "hour": hour, "contribution": contribution})
        return [await self.outlet(topics.shared(part.stream), None, value, partition=0)]

    def _measure(self, part: Partition, chunk: Chunk, columns: Columns, outcome: Outcome, seconds: float) -> None:
        name, metrics, verdicts = self.definition.name, self.metrics, outcome.verdicts
        metrics.records.labels(name).inc(len(chunk))
        metrics.events.labels(name).inc(len(verdicts))
        metrics.not_ready.labels(name).inc(int(np.count_nonzero(verdicts.not_ready)))
        metrics.skipped.labels(name).inc(outcome.skipped)
        metrics.evicted.labels(name).inc(outcome.evicted)
        metrics.batch_events.labels(name).observe(len(verdicts))
        metrics.fold_seconds.labels(name).observe(seconds)
        metrics.observe_p_values(name, verdicts.p_value)
        if name == "cards":
            self._measure_cards(columns.fields["amount"], outcome)
        if self.watch_list is not None:
            self.watch_list.note(part, columns, outcome.rows, verdicts)
        self.folded_at[part.number] = float(chunk.timestamps[-1]) / 1000.0
        metrics.latency_seconds.labels(name).observe(max(0.0, self.clock() - self.folded_at[part.number]))

    def _measure_cards(self, amounts: Ints, outcome: Outcome) -> None:
        """What was paid, by whether it alerts, and how unusual it was."""
        verdicts = outcome.verdicts
        paid = (amounts if len(amounts) == len(verdicts) else amounts[outcome.rows]) * 10.0**-self.definition.detector.exponent  # type: ignore[attr-defined]
        observe(self.metrics.unusualness, verdicts.evidence["unusualness"])
        observe(self.metrics.amounts.labels("yes"), paid[verdicts.alert])
        observe(self.metrics.amounts.labels("no"), paid[~verdicts.alert & (paid > 0.0)])


def _delivered(delivery: Awaitable[Any]) -> bool:
    return isinstance(delivery, asyncio.Future) and delivery.done() and not delivery.cancelled() and delivery.exception() is None
