"""The composition root: from settings to streams, and from streams to a Faust app that watches them.

The one place where settings meet detectors, and detectors meet agents.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from config.load import as_dict
from config.settings import Settings
from streams import erasure, topics
from streams.agents import cards, employees, errors, limits, sensors, verdicts
from streams.agents.pending import AT_ONCE, Pending, Waiting, keep_reading
from streams.agents.population import keep_population
from streams.agents.trainer import fetching, keep_models, keep_training
from streams.agents.watch import Unsent, Watcher
from streams.alerts import Audit
from streams.definitions import Definition
from streams.durable.checkpoints import Checkpoints
from streams.durable.cut_log import CutLog
from streams.durable.lease import Lease
from streams.durable.pace import Pace
from streams.durable.parked import Cause, Dead, Parked
from streams.durable.references import Records
from streams.durable.tenure import Tenure
from streams.durable.tenures import Notes, Tenures
from streams.partition import signature_text
from streams.telemetry.measuring import keep_measuring
from streams.telemetry.metrics import Metrics
from streams.telemetry.watch_list import WatchList
from streams.transport.cutting import LostPosition
from streams.transport.log import Record
from streams.transport.tail import Logs, values
from streams.undelivered import Undelivered
from streams.watchdog import LOOK, Deaf, Progress, Standing, Watchdog, more_to_do

if TYPE_CHECKING:  # Faust is heavy, and a backtest does without it
    from faust.types import TP

    from streams.engine import App

T = TypeVar("T")
logger = logging.getLogger("streams.app")
SILENCE = 10.0  # seconds without a heartbeat answered: a broker that is away explains why nothing moves
_NOT_OF_VERDICTS = ("kafka", "metrics", "checkpoint", "log", "relay")  # sections on which no verdict depends
BUILDS_AT_ONCE = 2  # models built beside the event loop: more would take its cores
_DEFINE: dict[str, Callable[[Settings], Definition]] = {
    "sensors": sensors.define,
    "cards": cards.define,
    "employees": employees.define,
    "errors": errors.define,
}


def definition(stream: str, settings: Settings) -> Definition:
    """One of the four streams under these settings."""
    made = _DEFINE[stream](settings)
    if settings.kafka.value_format == "json":
        return made
    from streams.decoding import avro

    return avro.reading(made, settings)


def build() -> str:
    """Which build this is, as it stands in every alert."""
    try:
        return f"nilometer {version('nilometer')}"
    except PackageNotFoundError:
        return "nilometer (not installed)"


def audit(settings: Settings, stream: Definition) -> Audit:
    """What lets an auditor derive an alert of this stream again.

    The digest is of the settings that verdicts can depend on: two workers on different ports, or with another broker's address,
    say the same.
    """
    shaping = {name: section for name, section in as_dict(settings).items() if name not in _NOT_OF_VERDICTS}
    canonical = msgspec.json.encode(shaping, order="sorted")
    return Audit(build(), hashlib.blake2b(canonical, digest_size=8).hexdigest(), signature_text(stream.detector))


@dataclass
class Pipeline:
    """A worker put together and not yet started."""

    app: App
    watchers: dict[str, Watcher]
    metrics: Metrics
    executor: Executor
    tenures: dict[str, Tenures]
    progress: Progress

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Whether this worker has its partitions and folds them, for ``/readyz``; one that has joined and got none is ready, too."""
        folding = {name: sorted(watcher.partitions) for name, watcher in self.watchers.items()}
        parked = {
            each.stream: {str(number): str(why) for number, why in each.parked.items()} for each in self.tenures.values() if each.parked
        }
        takes_part = self.app.started and (any(folding.values()) or (self.app.settled and not self.app.assigned()))
        return takes_part and not parked, {"folding": folding, "parked": parked}

    def healthy(self) -> tuple[bool, dict[str, Any]]:
        """Whether the process does what it is for, for ``/healthz``: it has not crashed, its loop turns, its folds move."""
        crashed, stuck = self.app.crashed, self.progress.trouble()
        return not crashed and stuck is None, {"crashed": repr(self.app.crash_reason) if crashed else None, "stuck": stuck}


def create_topics(create: Callable[[str, int], None], settings: Settings, streams: Sequence[str]) -> None:
    """Create every topic that these streams need; what belongs together has the same number of partitions."""
    many, prefix = settings.streams.partitions, settings.kafka.prefix
    for stream in streams:
        for topic in (topics.source(stream), topics.alerts(stream), topics.scores(stream), topics.cuts(stream), topics.checkpoints(stream)):
            create(prefix + topic, many)
        if stream == "cards":
            create(prefix + topics.CARD_LABELS, many)
            if settings.cards.postings and "employees" not in streams:
                create(prefix + topics.source("employees"), many)
            create(prefix + topics.models(stream), 1)
            for reply in settings.cards.reply_topics:
                create(prefix + reply, many)
        if stream == "employees":
            create(prefix + topics.EMPLOYEE_LIMITS, many)
        create(prefix + topics.shared(stream), 1)
        create(prefix + topics.erasures(stream), 1)
    if streams:
        create(prefix + topics.ALERT_LABELS, many)
        create(prefix + topics.ALERT_SUPPRESSIONS, 1)
    create(prefix + topics.DEAD_LETTERS, 1)


def assemble(settings: Settings, *, broker_url: str, logs: Logs, metrics: Metrics | None = None) -> Pipeline:
    """Put a worker together: the agents of the enabled streams on one Faust app.

    Parameters
    ----------
    broker_url
        ``memory://name`` or ``kafka://host:port``.
    logs
        Reads checkpoints, cut logs and what partitions share, outside every consumer group.
    """
    from aiokafka.errors import KafkaError, MessageSizeTooLargeError
    from faust.exceptions import ProducerSendError
    from faust.types import TP

    from streams.engine import create_app
    from streams.transport.security import credentials

    prefix = settings.kafka.prefix
    metrics = metrics or Metrics()
    executor = ThreadPoolExecutor(BUILDS_AT_ONCE, thread_name_prefix="build")
    watch_list = WatchList(settings.metrics.watch, metrics, settings.log)
    watchers: dict[str, Watcher] = {}
    of_topic: dict[str, Watcher] = {}
    tenures: dict[str, Tenures] = {}
    pace = Pace(settings.checkpoint.bytes_per_second)
    undelivered = Undelivered(metrics)

    def position(tp: TP) -> int | None:
        if tp.topic not in of_topic:
            return None
        at = of_topic[tp.topic].position(tp.partition)
        # What is parked is not read; but it must be sought to somewhere, and its committed offset may be nowhere.
        return at if at is not None else app.consumer.highwater(tp)

    app = create_app(
        name=f"{prefix}nilometer",
        broker_url=broker_url,
        partitions=settings.streams.partitions,
        positions=position,
        broker_credentials=credentials(settings.kafka),
    )
    app.chunks.record_batches = settings.kafka.fetch == "record_batches"
    app.chunks.isolation_level = settings.kafka.isolation_level

    async def outlet(topic: str, key: bytes | None, value: bytes | None, *, partition: int | None = None, headers: Any = ()) -> Any:
        try:
            return undelivered.watch(prefix + topic, await app.producer.send(prefix + topic, key, value, partition, None, list(headers)))
        except ProducerSendError as problem:
            if isinstance(problem.__cause__, MessageSizeTooLargeError):
                raise  # it would never leave
            raise Unsent(str(problem)) from problem

    async def deliver(topic: str, records: Any) -> None:
        try:
            await app.producer.deliver(prefix + topic, records)  # type: ignore[attr-defined]  # both of our transports' have it
        except (KafkaError, ProducerSendError) as problem:
            metrics.undelivered.labels(prefix + topic).inc()
            raise Unsent(repr(problem)) from problem

    for name in settings.streams.enabled:
        stream = definition(name, settings)
        topic = prefix + topics.source(name)
        watchers[name] = of_topic[topic] = Watcher(
            definition=stream,
            audit=audit(settings, stream),
            metrics=metrics,
            outlet=outlet,
            deliver=deliver,
            executor=executor,
            prefix=prefix,
            end=lambda number, topic=topic: app.consumer.highwater(TP(topic, number)),  # type: ignore[misc]
            watch_list=watch_list,
        )
        metrics.begin(stream)
        _watch(app, topic, watchers[name])
        if stream.merges:
            _share(app, prefix + topics.shared(name), watchers[name], logs)
        records = Records(fetching(logs, prefix))
        _forget(app, prefix + topics.erasures(name), watchers[name], logs)
        if stream.train is not None:
            _train(app, settings, watchers[name], logs, records)
        tenures[topic] = _tenures(app, settings, watchers[name], logs, pace, records)
    metrics.identify(build(), next(iter(watchers.values())).audit.configuration)
    metrics.checkpoint_interval.set(settings.checkpoint.interval)
    app.task(lambda: keep_measuring(watchers))

    _keep_partitions(app, tenures)
    dog = watchdog(time.monotonic)
    _keep_awake(app, dog, tenures, of_topic, logs)

    def unreadable(tp: TP, lost: LostPosition) -> None:
        why = (
            f"{lost}. Bring the records back, or `nilometer state reset` the partition to go on from what there is "
            "(`--at` an offset behind what is damaged)"
        )
        tenures[tp.topic].park(tp.partition, Parked(Cause.SOURCE, why))

    app.chunks.unreadable = unreadable
    pipeline = Pipeline(app, watchers, metrics, executor, tenures, Progress(standing=lambda: dog.standing))
    metrics.ready.set_function(lambda: pipeline.ready()[0])
    return pipeline


def _tenures(app: App, settings: Settings, watcher: Watcher, logs: Logs, pace: Pace, records: Records) -> Tenures:
    """A stream's folds, each with its checkpoints and its cut log."""
    stream, prefix = watcher.definition, settings.kafka.prefix
    source, metrics = prefix + topics.source(stream.name), watcher.metrics
    from faust.types import TP

    from streams.durable.member_store import MemberStore

    states, log = MemberStore(app, logs, lambda: app.bulk_producer), MemberStore(app, logs, lambda: app.producer)

    def create(number: int) -> Tenure:
        place = (prefix + topics.checkpoints(stream.name), number)
        signatures = {"detector": signature_text(stream.detector)}
        many = app.consumer.topic_partitions(source) or settings.streams.partitions
        checkpoints = Checkpoints(states, place, (source, number), many, signatures, in_a_thread, pace)
        cuts = CutLog(log, (prefix + topics.cuts(stream.name), number), (source, number), number)
        return Tenure(stream.partition(number), checkpoints, cuts, lease, records)

    def lease() -> bool:
        clock = getattr(app.consumer, "clock", time.monotonic)
        return Lease(app.conf.broker_session_timeout, app.members.last_heartbeat_answered, clock)()

    def rejoin(why: str) -> None:
        ask = getattr(app.consumer, "rejoin", None)
        if ask is not None:
            ask()
        else:  # another worker, or the next life of this one, takes over
            app.add_future(app.crash(Dead(why)))

    def restored(number: int, seconds: float) -> None:
        metrics.restored(stream.name, number, seconds)
        outside.begin(number)

    def dropped(number: int) -> None:
        watcher.forget(number)
        outside.end(number)

    outside = _FromOutside(app, settings, watcher, logs)
    notes = Notes(
        restored, partial(metrics.waits, stream.name), partial(metrics.checkpoint, stream.name), partial(metrics.checkpointed, stream.name),
        dropped,
    )  # fmt: skip
    tenures = Tenures(
        stream.name, create, settings.checkpoint.interval,
        lambda generation: generation == app.consumer_generation_id and not app.members.given_back, rejoin, pace, notes,
        watcher.settle,
    )  # fmt: skip
    watcher.unwanted = lambda number: app.consumer.pause_partitions([TP(source, number)])
    watcher.tenures, watcher.died, watcher.park = tenures.held, tenures.died, tenures.park
    return tenures


class _FromOutside:
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


async def in_a_thread(work: Callable[..., T], *arguments: Any) -> T:
    """Run slow work beside the event loop, to its end even when cancelled: what it reads must not change under it."""
    running = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


def _keep_partitions(app: App, tenures: dict[str, Tenures]) -> None:
    """Restore, checkpoint and give back, as the group wants it."""

    async def assigned(partitions: set[TP], generation: int) -> None:
        await asyncio.gather(
            *(each.assign({tp.partition for tp in partitions if tp.topic == topic}, generation) for topic, each in tenures.items())
        )

    async def given_back(partitions: set[TP], generation: int) -> None:
        await asyncio.gather(*(each.revoke(0.5 * app.conf.broker_rebalance_timeout) for each in tenures.values()))

    app.when_assigned(assigned)
    app.when_revoked(given_back)
    app.when_stopping(given_back)
    for each in tenures.values():
        app.task(each.keep_checkpointing)


def watchdog(clock: Callable[[], float]) -> Watchdog:
    """What `_keep_awake` asks."""
    return Watchdog(clock=clock)


def _keep_awake(app: App, dog: Watchdog, tenures: dict[str, Tenures], watchers: dict[str, Watcher], logs: Logs) -> None:
    """Leave loudly where a partition stands still for no reason (`streams.watchdog`); both dictionaries by source topic."""

    async def standing(tp: TP) -> Standing:
        held, watcher = tenures[tp.topic], watchers[tp.topic]
        folded = watcher.position(tp.partition)
        fetched, handed = app.members.read_to(tp)
        waits = tp.partition in held.restoring or tp.partition in held.parked or watcher.building(tp.partition)
        if waits or folded is None:
            return Standing(folded, True, waits)
        try:
            # asked of the log itself: the consumer knows an end only of what it fetches
            end = await logs.end(*tp)
        except Exception:  # a broker that does not answer: nothing can move
            return Standing((folded, fetched, handed), True, True)
        return Standing((folded, fetched, handed), more_to_do(folded, fetched, handed, end))

    def hears() -> bool:
        clock = getattr(app.consumer, "clock", time.monotonic)
        heard = app.members.last_heartbeat_answered()
        return not app.members.given_back and heard is not None and clock() - heard < SILENCE

    async def look(dog: Watchdog) -> str | None:
        if why := app.members.broken():
            return why
        seen: dict[str, Standing] = {}
        if hears():
            tps = sorted(tp for tp in app.consumer.assignment() if tp.topic in tenures)
            found = await asyncio.gather(*(standing(tp) for tp in tps))
            seen = {f"{tenures[tp.topic].stream}/{tp.partition}": each for tp, each in zip(tps, found, strict=True)}
        stuck = dog.look(seen)
        if not stuck or not hears():
            return None
        where = "; ".join(f"{name} at {seen[name].place}" for name in stuck)
        return f"{where} stood still for {dog.limit:g} s though the log has more: another worker must take over"

    async def keep_awake() -> None:
        why: str | None = None
        while why is None:
            await asyncio.sleep(LOOK)
            try:
                why = await look(dog)
            except Exception as problem:  # the consumer is not there yet, or no longer
                logger.info("The watchdog could not look: %r", problem)
            if app.should_stop:
                return
        await app.crash(Deaf(why))

    app.task(keep_awake)


def _watch(app: App, topic: str, watcher: Watcher) -> None:
    """One actor, one queue, one fold a partition: one that waits or stumbles holds up no other."""

    async def watch(chunks: Any) -> None:
        async for chunk in chunks:
            await watcher.watch(chunk)

    app.agent(app.chunked_topic(topic), name=f"watch-{watcher.definition.name}", isolated_partitions=True)(watch)


def _share(app: App, topic: str, watcher: Watcher, logs: Logs) -> None:
    """Keep the inputs that a stream's partitions make together."""

    async def tell(value: bytes) -> Any:
        return await (await app.producer.send(topic, None, value, 0, None, []))

    async def share() -> None:
        detector, offer = watcher.definition.detector, watcher.offers.offer
        await _for_ever(app, keep_population(detector, values(logs, topic), tell, offer, lambda: 0 in watcher.partitions))

    app.task(share)


def _forget(app: App, topic: str, watcher: Watcher, logs: Logs) -> None:
    """Let our partitions adopt which keys are to be forgotten."""

    async def forget() -> None:
        await _for_ever(app, erasure.keep_reading(logs.tail(topic), watcher.offers.erasures))

    app.task(forget)


async def _for_ever(app: App, work: Coroutine[Any, Any, None]) -> None:
    """Do what must never end: without it no reference, model or verdict would ever be adopted again. If it fails, leave loudly."""
    try:
        await work
    except asyncio.CancelledError:
        raise
    except Exception as problem:
        if not app.should_stop:  # an app that is being taken down takes its producer along
            await app.crash(problem)


def _train(app: App, settings: Settings, watcher: Watcher, logs: Logs, records: Records) -> None:
    """Learn from the score log and late labels where we own partition 0, and let our partitions adopt what anybody has learned."""
    stream, prefix = watcher.definition, settings.kafka.prefix
    make = stream.train
    assert make is not None
    models = topics.models(stream.name)

    async def publish(value: bytes) -> Any:
        return await (await app.producer.send(prefix + models, None, value, 0, None, []))

    async def train() -> None:
        training = keep_training(
            make, logs, (prefix + topics.scores(stream.name), prefix + topics.CARD_LABELS, prefix + models),
            settings.streams.partitions, publish, watcher.refuse, lambda: 0 in watcher.partitions, settings.records.future_seconds,
            partial(watcher.metrics.trained, stream.name),
            lambda fraud: watcher.metrics.labels.labels(stream.name, "fraud" if fraud else "genuine").inc(),
        )  # fmt: skip
        await _for_ever(app, training)

    async def follow() -> None:
        await _for_ever(app, keep_models(logs, models, records, watcher.offers.offer, make().names, prefix))

    app.task(train)
    app.task(follow)
