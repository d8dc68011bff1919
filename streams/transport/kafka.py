"""Faust on Apache Kafka: ``faust.App(broker="kafka://host:port")`` once this module is imported.

Faust's driver for aiokafka, with another way to read, to commit and to leave:

- Source topics come as chunks (`chunked.ChunkedConsumer`); all other topics go the driver's way.
- A fetch is drained and its position read in one step of the consumer's thread, under the assignment that it was asked for. A chunk
  therefore says itself from where to where it decides, holes of transactions and compaction included.
- Transactions are read when they are committed: aborted records are never folded.
- Nothing is reset: every assigned partition is sought to the fold's position, or to the log's begin where there is none. A position
  that the log no longer holds is an error, or `ChunkedTopics.unreadable` parks the partition; it is never a silent jump.
- Each call into the consumer's thread has a time limit, and none waits behind another. A connection that has fallen silent is given up
  (`silence`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, ClassVar, NamedTuple, cast

import aiokafka
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import (
    ConsumerStoppedError,
    CorruptRecordException,
    IllegalGenerationError,
    KafkaError,
    OffsetOutOfRangeError,
    RebalanceInProgressError,
    UnknownMemberIdError,
    UnsupportedCodecError,
    for_code,
)
from aiokafka.protocol.group import HeartbeatRequest, SyncGroupRequest
from aiokafka.structs import OffsetAndMetadata
from faust.exceptions import ConsumerNotStarted, ProducerSendError
from faust.transport.drivers import TRANSPORTS
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, RecordMetadata
from faust.types.transports import ConsumerT, ProducerT
from mode import get_logger
from mode.utils.futures import maybe_async

from streams.transport import fetcher_seam, record_batches
from streams.transport.broker import partition_of_key
from streams.transport.chunk import Chunk
from streams.transport.chunked import ChunkedConsumer, StaleCommit, UnansweredCommit
from streams.transport.cutting import LostPosition
from streams.transport.groups import Committed
from streams.transport.record_chunks import chunk_of_records
from streams.transport.silence import ImpatientClient

logger = get_logger("faust.transport.kafka")  # beside Faust's own: quiet and loud together

# How long the broker may keep a fetch waiting for records, in milliseconds. One fetch a broker is under way at a time, so this is
# also how long a partition with records may wait for the others' silence. Faust's driver has 1,500.
FETCH_MAX_WAIT_MS = 50
# How long the consumer's thread may take to stop, in seconds: a broker that is away must not keep us.
STOP_LIMIT = 10.0
# Between two attempts to commit, in seconds.
COMMIT_BACKOFF = 0.1

Fetched = dict[TP, list[Any]]


class Trouble(NamedTuple):
    """What a partition's next record cannot be read for."""

    tp: TP
    problem: KafkaError


class Coordinator(GroupCoordinator):  # type: ignore[misc]  # aiokafka ships no types
    """A member's side of the group protocol, which remembers when it was last heard and does not come back once it is leaving."""

    heard: float | None = None  # when the last request was sent that the group answered well and counts its session from
    leaving: Callable[[], bool] = staticmethod(lambda: False)

    async def _send_req(self, request: Any) -> Any:
        sent = time.monotonic()
        response = await super()._send_req(request)
        if isinstance(request, HeartbeatRequest | SyncGroupRequest):
            answer = for_code(response.error_code)
            if not response.error_code or answer is RebalanceInProgressError:
                self.heard = sent
            elif answer in (IllegalGenerationError, UnknownMemberIdError):
                self.heard = None
        return response

    async def ensure_active_group(self, subscription: Any, prev_assignment: Any) -> Any:
        # An app that stops commits for the last time. The others wait for that as long as it has not joined again.
        if self.leaving():
            await asyncio.wait([self._closing])
            return None
        return await super().ensure_active_group(subscription, prev_assignment)


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread with aiokafka's consumer; its methods are called from the app's thread unless said otherwise."""

    logger = logger
    consumer: Consumer

    async def on_start(self) -> None:
        await super().on_start()
        coordinator = self._ensure_consumer()._coordinator
        coordinator.__class__ = Coordinator  # its consumer names the class itself: there is no other way in
        coordinator.leaving = lambda: self.app.should_stop

    async def on_thread_stop(self) -> None:
        if self._method_queue is not None:
            await self._method_queue.stop()
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            try:
                await asyncio.wait_for(consumer.stop(), STOP_LIMIT)
            except (TimeoutError, asyncio.CancelledError, KafkaError) as problem:
                self.log.warning("The consumer did not leave its group in order: %r", problem)

    def on_crash(self, msg: str, *fmt: Any, **kwargs: Any) -> None:
        """Leave it to the app, whose crash this becomes, to tell of it."""

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        conf, chunks = self.app.conf, self.consumer.chunks
        if chunks.record_batches:
            fetcher_seam.install(chunks.topics)
        self._assignor = self.app.assignor
        consumer = AIOKafkaConsumer(
            client_id=conf.broker_client_id,
            group_id=conf.id,
            group_instance_id=conf.consumer_group_instance_id,
            bootstrap_servers=driver.server_list(transport.url, transport.default_port),
            partition_assignment_strategy=[self._assignor],
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level=chunks.isolation_level,
            max_poll_records=None,
            max_poll_interval_ms=int((conf.broker_max_poll_interval or 0) * 1000.0),
            max_partition_fetch_bytes=conf.consumer_max_fetch_size,
            fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
            request_timeout_ms=int(conf.broker_request_timeout * 1000.0),
            check_crcs=conf.broker_check_crcs,
            session_timeout_ms=int(conf.broker_session_timeout * 1000.0),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000.0),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000.0),
            metadata_max_age_ms=conf.consumer_metadata_max_age_ms,
            connections_max_idle_ms=conf.consumer_connections_max_idle_ms,
            **driver.credentials_to_aiokafka_auth(conf.broker_credentials, conf.ssl_context),
        )
        consumer._client.__class__ = ImpatientClient  # the consumer names the class itself: there is no other way in
        return consumer

    async def call_thread(self, fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a function in the thread and wait for its result.

        Faust has two workers for such calls: two that hang would block all others. Here each is a task of its own.

        Raises
        ------
        TimeoutError
            No answer came within the broker's request timeout: the call was cancelled.
        aiokafka.errors.ConsumerStoppedError
            The thread stopped before it answered.
        """
        limit = self.app.conf.broker_request_timeout

        async def call() -> Any:
            return await asyncio.wait_for(maybe_async(fun(*args, **kwargs)), limit)

        made = call()
        try:
            asked = asyncio.run_coroutine_threadsafe(made, self.thread_loop)
        except RuntimeError as closed:
            made.close()
            raise ConsumerStoppedError from closed
        try:
            # Twice the limit: only a thread that has died lets this one pass.
            return await asyncio.wait_for(asyncio.wrap_future(asked), 2 * limit)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise ConsumerStoppedError from None  # the thread's end cancels what is under way in it

    # Reading

    async def fetch(self, partitions: set[TP], timeout: float, generation: int) -> tuple[Fetched, list[Trouble]]:
        """What has been fetched of some partitions; waits up to `timeout` seconds for the first of it."""
        return cast("tuple[Fetched, list[Trouble]]", await self.call_thread(self._fetch, partitions, timeout, generation))

    async def _fetch(self, partitions: set[TP], timeout: float, generation: int) -> tuple[Fetched, list[Trouble]]:
        """In the thread."""
        consumer = self._ensure_consumer()
        fetcher, subscriptions = consumer._fetcher, consumer._subscription
        deadline = time.monotonic() + timeout
        while True:
            if consumer._closed or fetcher._closed:
                raise ConsumerStoppedError
            if fetcher._fetch_task.done():
                raise fetcher._fetch_task.exception() or ConsumerStoppedError  # it would fetch nothing, for ever
            if (
                not self.consumer.flow_active
                or subscriptions.reassignment_in_progress
                or consumer._coordinator.generation != generation
                or subscriptions.subscription.assignment is None
            ):
                return {}, []
            assignment = subscriptions.subscription.assignment
            with subscriptions.fetch_context():
                fetched, troubles = await self._drain(fetcher, assignment, partitions)
                rest = deadline - time.monotonic()
                if fetched or troubles or rest <= 0.0:
                    return fetched, troubles
                news = fetcher._create_fetch_waiter()
                try:
                    await asyncio.wait([news, assignment.unassign_future], timeout=rest, return_when=asyncio.FIRST_COMPLETED)
                    if news.done():
                        news.result()  # an error of the group's
                finally:
                    news.cancel()

    async def _drain(self, fetcher: Any, assignment: Any, partitions: set[TP]) -> tuple[Fetched, list[Trouble]]:
        """Take what is buffered, partition by partition. Nothing in here waits, so nothing can be sought or assigned meanwhile."""
        fetched: Fetched = {}
        troubles: list[Trouble] = []
        chunked = self.consumer.chunks.topics
        for tp in [tp for tp in fetcher._records if tp in partitions]:
            state = assignment.state_value(tp)
            if state is None or not state.has_valid_position:
                continue
            ours, before = TP(tp.topic, tp.partition), state.position
            try:
                records = (await fetcher.fetched_records({tp}, timeout=0)).get(tp, [])
            except (OffsetOutOfRangeError, CorruptRecordException, UnsupportedCodecError) as problem:
                troubles.append(Trouble(ours, problem))
                continue
            if tp.topic not in chunked:
                if records:
                    fetched[ours] = records
            elif state.position > before:
                fetched[ours] = _chunks(tp.topic, tp.partition, before, state.position, records)
        return fetched, troubles

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        await self.call_thread(self._seek_all, partitions)

    async def _seek_all(self, partitions: Mapping[TP, int]) -> None:
        """In the thread: what aiokafka has fetched or is fetching from elsewhere is dropped."""
        consumer = self._ensure_consumer()
        for tp, offset in partitions.items():
            consumer.seek(driver.ensure_aiokafka_TP(tp), offset)

    def highwater(self, tp: TP) -> int | None:  # type: ignore[override]  # Faust says int and would fail for want of one
        """The offset up to which a partition could be read at its last fetch; None if it is not ours, or not fetched yet."""
        consumer = self._consumer
        subscription = consumer._subscription.subscription if consumer is not None else None
        if subscription is None or subscription.assignment is None:
            return None
        state = subscription.assignment.state_value(driver.ensure_aiokafka_TP(tp))
        if state is None:
            return None
        known = state.lso if self.consumer.chunks.isolation_level == "read_committed" else state.highwater
        return cast("int | None", state.highwater if known is None else known)

    # Committing

    async def committed(self, tp: TP) -> Committed | None:
        found = await self.call_thread(self._coordinator().fetch_committed_offsets, [driver.ensure_aiokafka_TP(tp)])
        at = found.get(driver.ensure_aiokafka_TP(tp))
        return None if at is None else Committed(at.offset, at.metadata)

    async def commit_position(self, tp: TP, offset: int, metadata: str, generation: int) -> None:
        try:
            await self.call_thread(self._commit_position, driver.ensure_aiokafka_TP(tp), OffsetAndMetadata(offset, metadata), generation)
        except TimeoutError as silence:
            raise UnansweredCommit(f"no answer to the commit of {offset} for {tp.topic}/{tp.partition}") from silence
        except ConsumerStoppedError as stopped:
            raise UnansweredCommit(f"stopped before the commit of {offset} for {tp.topic}/{tp.partition} was answered") from stopped

    async def _commit_position(self, tp: TopicPartition, position: OffsetAndMetadata, generation: int) -> None:
        """In the thread.

        aiokafka commits under whatever generation it is in when it sends, at its own repeats too, and the coordinator takes any
        partition from a member of the present generation. So the generation is compared right before each sending: between the
        comparison and the request's making nothing waits.
        """
        coordinator = self._coordinator()
        while True:
            await coordinator.ensure_coordinator_known()
            async with coordinator._commit_lock:
                if coordinator.generation != generation:
                    raise StaleCommit(f"the group is at generation {coordinator.generation}, the commit is of {generation}")
                try:
                    await coordinator._do_commit_offsets(None, {tp: position})
                    return
                except (UnknownMemberIdError, IllegalGenerationError, RebalanceInProgressError) as stale:
                    raise StaleCommit(str(stale)) from stale
                except KafkaError as problem:
                    if not problem.retriable:
                        raise
                    self.log.warning("Will commit again: %r", problem)
            await asyncio.sleep(COMMIT_BACKOFF)

    def rejoin(self) -> None:
        self.thread_loop.call_soon_threadsafe(self._coordinator().request_rejoin)

    def last_heard(self) -> float | None:
        consumer = self._consumer
        return None if consumer is None or not isinstance(consumer._coordinator, Coordinator) else consumer._coordinator.heard

    def broken(self) -> str | None:
        consumer = self._consumer  # none before the start, and once it stops
        if consumer is None or consumer._closed or not consumer._fetcher._fetch_task.done():
            return None
        return f"the client fetches no more: {consumer._fetcher._fetch_task}"

    def _coordinator(self) -> Any:
        return self._ensure_consumer()._coordinator


class Consumer(ChunkedConsumer, driver.Consumer):
    """A member of a consumer group of Apache Kafka."""

    logger = logger
    consumer_stopped_errors: ClassVar[tuple[type[BaseException], ...]] = (ConsumerStoppedError, ConsumerNotStarted)
    _thread: ConsumerThread

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def on_first_start(self) -> None:
        await super().on_first_start()
        if self.chunks.topics and self.chunks.record_batches:
            await asyncio.to_thread(record_batches.warm)  # before the group is joined: a first compilation takes seconds

    def close(self) -> None:
        """Do nothing: the thread closes its consumer when it stops. Faust would do it from here, in another loop."""

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Do nothing: Faust would complain of partitions without acks. Our own watchdog looks at positions."""

    async def _subscribe(self, topics: frozenset[str]) -> None:
        await self._thread.subscribe(topics)

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Fetched:
        wanted = self.assignment() if active_partitions is None else active_partitions
        fetched, troubles = await self._thread.fetch(wanted, timeout, self.app.consumer_generation_id)
        for tp, problem in troubles:
            self._set_aside(tp, problem)
        return fetched

    def _set_aside(self, tp: TP, problem: KafkaError) -> None:
        """Pause a partition that cannot be read on, if somebody takes care of it; without it the worker would read nothing at all."""
        words = "the log no longer holds it" if isinstance(problem, OffsetOutOfRangeError) else "what stands there is damaged"
        lost = LostPosition(f"{tp.topic}/{tp.partition}: cannot read on at offset {self._wanted.get(tp)}: {words} ({problem!r})")
        lost.__cause__ = problem
        if self.chunks.unreadable is None:
            raise lost
        self.pause_partitions([tp])
        self.chunks.unreadable(tp, lost)

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        await self._thread.seek_wait(partitions)
        self._read_offset.update({tp: offset or None for tp, offset in partitions.items()})

    async def _seek(self, partition: TP, offset: int) -> None:
        await self.seek_wait({partition: offset})

    def highwater(self, tp: TP) -> int | None:  # type: ignore[override]
        return self._thread.highwater(tp)

    async def committed_position(self, tp: TP) -> Committed | None:
        return await self._thread.committed(tp)

    async def commit_position(self, tp: TP, offset: int, metadata: str = "", *, generation: int) -> None:
        await self._thread.commit_position(tp, offset, metadata, generation)

    def broken(self) -> str | None:
        return self._thread.broken()

    def rejoin(self) -> None:
        """Ask the group for a new generation."""
        self._thread.rejoin()

    def last_heartbeat_answered(self) -> float | None:
        """When the last heartbeat (or joining) that the group answered well was *sent*, by `time.monotonic`.

        The group cannot have put this member out before a whole session has passed since. None before the first, and once the
        group has said that it does not know us.
        """
        return self._thread.last_heard()


class Producer(driver.Producer):
    """Faust's producer; timestamps are rounded to milliseconds, where Faust cuts them off (and 1.001 s becomes 1,000 ms)."""

    logger = logger

    def _new_producer(self, transactional_id: str | None = None) -> aiokafka.AIOKafkaProducer:
        """Faust's, with two limits where aiokafka has one.

        A record waits for a broker that is away as long as `producer_request_timeout` says. But a connection that answers nothing
        is given up, and another made, after the time of any request, or when it has been silent for too long: until then it would
        hold up all that is to be said.
        """
        producer = super()._new_producer(transactional_id)
        producer.client.__class__ = ImpatientClient
        producer.client._request_timeout_ms = min(int(self.app.conf.broker_request_timeout * 1000.0), producer.client._request_timeout_ms)
        return producer

    async def deliver(self, topic: str, records: Iterable[tuple[bytes, bytes, Any]]) -> None:
        """Append records of keys, and wait until all are there. In a partition none is there without those before it.

        So they go in whole batches, the next when the one before was taken. Records that are sent one by one are in batches of
        which a later one may be taken though an earlier one was not: its time was up, the other's not yet.

        Raises
        ------
        aiokafka.errors.KafkaError
            Not all were taken.
        """
        producer = self._ensure_producer()
        many = len(await producer.partitions_for(topic))
        of_partition: dict[int, list[tuple[bytes, bytes, Any]]] = {}
        for record in records:
            of_partition.setdefault(partition_of_key(record[0], many), []).append(record)

        async def in_turn(number: int, own: list[tuple[bytes, bytes, Any]]) -> None:
            batch = producer.create_batch()
            for key, value, headers in own:
                if batch.append(key=key, value=value, timestamp=None, headers=list(headers)) is None:
                    await (await producer.send_batch(batch, topic, partition=number))
                    batch = producer.create_batch()
                    batch.append(key=key, value=value, timestamp=None, headers=list(headers))
            batch.close()  # the producer would wait for more of it; full ones are closed
            await (await producer.send_batch(batch, topic, partition=number))

        await asyncio.gather(*(in_turn(number, own) for number, own in of_partition.items()))

    async def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None,
        timestamp: float | None,
        headers: Any,
        *,
        transactional_id: str | None = None,
    ) -> Awaitable[RecordMetadata]:
        """Append a record; `timestamp` in seconds. Returns when the record has been taken, with the future of its delivery.

        Raises
        ------
        faust.exceptions.ProducerSendError
            The record is too large, or there is no such topic or partition.
        """
        if transactional_id is not None:
            return await super().send(topic, key, value, partition, timestamp, headers, transactional_id=transactional_id)
        kept = list(headers.items()) if isinstance(headers, Mapping) else list(headers or ())
        self._send_on_produce_message(key=key, value=value, partition=partition, timestamp=timestamp, headers=kept)
        stamp = None if timestamp is None else round(timestamp * 1000)
        try:
            return cast(
                Awaitable[RecordMetadata],
                await self._ensure_producer().send(topic, value, key=key, partition=partition, timestamp_ms=stamp, headers=kept),
            )
        except KafkaError as problem:
            raise ProducerSendError(f"Error while sending: {problem!r}") from problem


class Transport(driver.Transport):
    """``kafka://host:port``, or several with semicolons between (see `url`)."""

    Consumer: ClassVar[type[ConsumerT]] = Consumer
    Producer: ClassVar[type[ProducerT]] = Producer
    driver_version = f"aiokafka={aiokafka.__version__}"


def url(bootstrap_servers: str) -> str:
    """A Faust URL of ``host:port,host:port``.

    >>> url("one:9092, two:9093")
    'kafka://one:9092;kafka://two:9093'
    """
    return ";".join(f"kafka://{server.strip()}" for server in bootstrap_servers.split(","))


def _chunks(topic: str, partition: int, first: int, after: int, items: list[Any]) -> list[Chunk]:
    """What a partition's fetches turned into, as chunks that together decide the offsets [first, after)."""
    if items and isinstance(items[0], Chunk):
        return items
    return [chunk_of_records(topic, partition, first, after, items)]


TRANSPORTS.aliases["kafka"] = f"{__name__}:Transport"
