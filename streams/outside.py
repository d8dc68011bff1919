"""What a stream's partitions adopt that is not in their own log: verdicts, limits, erasures, what they share, models.

Each is read by a task of its own for as long as the worker lives, and waits there until a partition adopts it at a cut.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any

from config.settings import Settings
from streams import erasure, topics
from streams.agents import limits, verdicts
from streams.agents.pending import AT_ONCE, Pending, Waiting, keep_reading
from streams.agents.population import keep_population
from streams.agents.trainer import keep_models, keep_training
from streams.agents.watch import Watcher
from streams.durable.references import Records
from streams.transport.log import Record
from streams.transport.tail import Logs, PatientLogs, values

if TYPE_CHECKING:
    from streams.engine import App


class FromOutside:
    """Reads what is said of single keys, for the partitions of a stream that this worker has, from where each one's state ends.

    These are people's verdicts on alerts and, for employees, their limits.
    """

    def __init__(self, app: App, settings: Settings, watcher: Watcher, logs: Logs) -> None:
        self._app, self._prefix, self._watcher, self._logs = app, settings.kafka.prefix, watcher, logs
        stream, future = watcher.definition.name, settings.records.future_seconds
        self._topics: dict[str, tuple[str, Callable[[Record], Waiting | None], int]] = {
            "verdicts": (topics.ALERT_LABELS, lambda record: verdicts.read(record, stream, future), AT_ONCE)
        }
        if stream == "employees":
            exponent = settings.benford.exponent
            self._topics["limits"] = (topics.EMPLOYEE_LIMITS, lambda record: limits.read(record, exponent, future), limits.AT_ONCE)
        watcher.offers.waiting = {name: {} for name in self._topics}
        self._readers: dict[int, list[asyncio.Future[Any]]] = {}

    def begin(self, number: int) -> None:
        """Read for a partition that has been restored."""
        self.end(number)
        self._readers[number] = []
        for name, (topic, read, at_once) in self._topics.items():
            pending = self._watcher.offers.waiting[name][number] = Pending(at_once)
            records = self._logs.tail(self._prefix + topic, number, self._watcher.partitions[number].through[name])
            reading = _for_ever(self._app, keep_reading(records, pending, topic, read, self._watcher.refuse))
            self._readers[number].append(self._app.add_future(reading))

    def end(self, number: int) -> None:
        """Read no more for a partition that has gone."""
        for waiting in self._watcher.offers.waiting.values():
            waiting.pop(number, None)
        for reader in self._readers.pop(number, []):
            reader.cancel()


def share(app: App, topic: str, watcher: Watcher, logs: Logs) -> None:
    """Keep the inputs that a stream's partitions make together."""

    async def tell(value: bytes) -> Any:
        return await (await app.producer.send(topic, None, value, 0, None, []))

    async def keep_sharing() -> None:
        detector, offer = watcher.definition.detector, watcher.offers.offer
        await _for_ever(app, keep_population(detector, values(logs, topic), tell, offer, lambda: 0 in watcher.partitions))

    app.task(keep_sharing)


def forget(app: App, topic: str, watcher: Watcher, logs: Logs) -> None:
    """Let our partitions adopt which keys are to be forgotten."""

    async def keep_forgetting() -> None:
        await _for_ever(app, erasure.keep_reading(logs.tail(topic), watcher.offers.erasures))

    app.task(keep_forgetting)


async def _for_ever(app: App, work: Coroutine[Any, Any, None]) -> None:
    """Do what must never end: without it no reference, model or verdict would ever be adopted again. If it fails, leave loudly."""
    try:
        await work
    except asyncio.CancelledError:
        raise
    except Exception as problem:
        if not app.should_stop:  # an app that is being taken down takes its producer along
            await app.crash(problem)


def train(app: App, settings: Settings, watcher: Watcher, logs: Logs, records: Records) -> None:
    """Learn from the score log and late labels where we own partition 0, and let our partitions adopt what anybody has learned."""
    stream, prefix = watcher.definition, settings.kafka.prefix
    make = stream.train
    assert make is not None
    models = topics.models(stream.name)

    async def publish(value: bytes) -> Any:
        return await (await app.producer.send(prefix + models, None, value, 0, None, []))

    async def learn() -> None:
        training = keep_training(
            make, PatientLogs(logs), (prefix + topics.scores(stream.name), prefix + topics.CARD_LABELS, prefix + models),
            settings.streams.partitions, publish, watcher.refuse, lambda: 0 in watcher.partitions, settings.records.future_seconds,
            partial(watcher.metrics.trained, stream.name),
            lambda fraud: watcher.metrics.labels.labels(stream.name, "fraud" if fraud else "genuine").inc(),
        )  # fmt: skip
        await _for_ever(app, training)

    async def follow() -> None:
        await _for_ever(app, keep_models(PatientLogs(logs), models, records, watcher.offers.offer, make().names, prefix))

    app.task(learn)
    app.task(follow)
