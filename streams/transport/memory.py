"""Faust on the embedded broker: ``faust.App(broker="memory://demo")`` once this module is imported.

Agents, assignor, rebalances and positions are Faust's own; only the wire is missing. Everything runs in the app's event loop:
there is no consumer thread, no long poll and no prefetch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Mapping
from typing import Any, ClassVar, cast

import aiokafka
from aiokafka.errors import IllegalGenerationError, KafkaError, KafkaTimeoutError, UnknownMemberIdError
from faust.exceptions import NotReady, ProducerSendError
from faust.transport import base
from faust.transport.drivers import TRANSPORTS
from faust.types import TP, ConsumerMessage, RecordMetadata
from faust.types.transports import ConsumerT, ProducerT
from mode import Service, get_logger

from streams.transport.broker import Appended, Broker
from streams.transport.chunked import ChunkedConsumer, StaleCommit, UnansweredCommit
from streams.transport.faults import Overtaken, Stragglers, line_of
from streams.transport.groups import Committed, Group, Joined
from streams.transport.log import Record

logger = get_logger("faust.transport.memory")  # beside Faust's own: quiet and loud together

# Records of an ordinary topic in one fetch: as many as Kafka's consumers take at a time.
FETCHED_RECORDS = 500


class Consumer(ChunkedConsumer):
    """A member of a consumer group of the embedded broker."""

    logger = logger

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.broker = cast("Transport", self.transport).broker
        self.group: Group = self.broker.group(self.app.conf.id)
        self.line = line_of(self.app)
        self.line.on_open.append(self._heard_again)
        self.member: str | None = None
        self._assigned: frozenset[TP] = frozenset()
        self._position: dict[TP, int] = {}
        self._must_join = asyncio.Event()
        self._news = asyncio.Event()  # records have come, or partitions may be read again

    async def on_stop(self) -> None:
        await super().on_stop()
        if self.member is not None and self.line.open:
            self.group.leave(self.member)
            self.line.members.pop(self.member, None)

    # Membership

    async def _subscribe(self, topics: frozenset[str]) -> None:
        if self.member is None:
            self._enter()
        else:
            self._must_join.set()

    def _enter(self) -> None:
        self.member = self.group.enter(self._in_loop(self._must_join.set))
        self.line.members[self.member] = self.group

    def _heard_again(self) -> None:
        """A member that was silent for a session learns at its next heartbeat that it is out."""
        if self.member is not None and self.member not in self.group.members:
            self._in_loop(self._must_join.set)()

    @Service.task
    async def _keep_membership(self) -> None:
        while not await self.wait_for_stopped(self._must_join.wait()):
            self._must_join.clear()
            await self.line.do("join", "", lambda: None)
            # An app that stops commits for the last time and leaves. The others wait for that: once it had joined again,
            # the commit would be one of an old generation.
            if not self.app.should_stop:
                await self._join()

    async def _join(self) -> None:
        """One rebalance as a member lives through it: give back, join, be assigned."""
        self.app.on_rebalance_start()
        await self.on_partitions_revoked(set(self._assigned))
        assignor: Any = self.app.assignor  # Faust's own; its interface leaves out what Kafka's protocol calls
        joined: asyncio.Future[Joined] = self.loop.create_future()
        try:
            self.group.join(
                str(self.member),
                assignor.metadata(set(self._subscribed)),
                lambda members: cast("Mapping[str, Any]", assignor.assign(self.broker, members)),
                self._in_loop(lambda answer: None if joined.done() else joined.set_result(answer)),
            )
        except UnknownMemberIdError:
            # The broker no longer knew this member: it comes back as a new one.
            self._enter()
            return
        outcome = await self.wait(joined)
        if outcome.stopped:
            return
        generation, assignment = await self.line.do("joined", "", lambda: outcome.result)
        tps = {TP(topic, partition) for topic, partitions in assignment.assignment for partition in partitions}
        self.app.consumer_generation_id = generation
        assignor.on_assignment(assignment)
        self._assigned = frozenset(tps)
        self._position = {tp: offset for tp, offset in self._position.items() if tp in tps}
        await self.on_partitions_assigned(tps, generation)

    def _in_loop(self, call: Any) -> Any:
        """`call`, to be made from any thread, in the loop of this consumer."""
        loop = self.loop

        def later(*args: Any) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(call, *args)

        return later

    def assignment(self) -> set[TP]:
        return set(self._assigned)

    # Reading

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> dict[TP, list[Any]]:
        wanted = self._assigned if active_partitions is None else self._assigned & active_partitions
        fetched = await self.line.do("fetch", "", lambda: self._fetch_now(wanted))
        if fetched or not timeout:
            return fetched
        self._news.clear()
        self.broker.wake_once(wanted, self._in_loop(self._news.set))
        fetched = self._fetch_now(wanted)
        if not fetched:
            await self.wait_first(self._news.wait(), self.suspend_flow.wait(), timeout=timeout)
        return fetched

    def _fetch_now(self, wanted: Iterable[TP]) -> dict[TP, list[Any]]:
        fetched: dict[TP, list[Any]] = {}
        limits = self.chunks.limits
        for tp in wanted:
            position = self._position[tp]
            if tp.topic in self.chunks.topics:
                chunk = self.broker.chunk(*tp, position, limits.records, limits.bytes)
                if chunk is not None:
                    fetched[tp] = [chunk]
                    self._position[tp] = chunk.next
            else:
                records = self.broker.read(*tp, position, FETCHED_RECORDS)
                if records:
                    fetched[tp] = records
                    self._position[tp] = records[-1].offset + 1
        return fetched

    def resume_partitions(self, tps: Iterable[TP]) -> None:
        super().resume_partitions(tps)
        self._news.set()

    def _to_message(self, tp: TP, record: Any) -> ConsumerMessage:
        if not isinstance(record, Record):
            return super()._to_message(tp, record)
        return ConsumerMessage(
            *tp,
            record.offset,
            timestamp=record.timestamp_ms / 1000.0,
            timestamp_type=0,
            headers=cast(Any, list(record.headers)),
            key=record.key,
            value=record.value,
            checksum=None,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )

    # Positions

    async def position(self, tp: TP) -> int | None:
        return self._position.get(tp)

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        for tp, offset in partitions.items():
            await self._seek(tp, offset)

    async def _seek(self, partition: TP, offset: int) -> None:
        await self.line.do("seek", partition.topic, lambda: None)
        self._position[partition] = offset
        self._read_offset[partition] = offset or None

    async def seek_to_committed(self) -> dict[TP, int]:
        found = {tp: await self._position_of(tp) for tp in self._assigned}
        where = {tp: self.broker.begin_offset(*tp) if offset is None else offset for tp, offset in found.items()}
        await self.seek_wait(where)
        return where

    async def earliest_offsets(self, *partitions: TP) -> dict[TP, int]:
        return {tp: self.broker.begin_offset(*tp) for tp in partitions}

    async def highwaters(self, *partitions: TP) -> dict[TP, int]:
        return {tp: self.highwater(tp) for tp in partitions}

    def highwater(self, tp: TP) -> int:
        return self.broker.end_offset(*tp)

    async def committed_position(self, tp: TP) -> Committed | None:
        return await self.line.do("committed", tp.topic, lambda: self.group.positions.get(tp))

    async def commit_position(self, tp: TP, offset: int, metadata: str = "", *, generation: int) -> None:
        member = str(self.member)
        position: dict[tuple[str, int], Committed] = {tp: Committed(offset, metadata)}
        try:
            await self.line.do("commit", tp.topic, lambda: self.group.commit(member, generation, position))
        except KafkaTimeoutError as silence:
            raise UnansweredCommit(f"no answer to the commit of {offset} for {tp.topic}/{tp.partition}") from silence
        except (IllegalGenerationError, UnknownMemberIdError) as stale:
            raise StaleCommit(str(stale)) from stale

    def last_heartbeat_answered(self) -> float | None:
        """When the last heartbeat that the group answered was sent, by the clock of `faults.Sessions`."""
        return self.line.last_heartbeat

    def clock(self) -> float:
        """The clock by which `last_heartbeat_answered` speaks."""
        return self.line.now()

    def rejoin(self) -> None:
        """Ask the group for a new generation."""
        self._must_join.set()

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        try:
            for tp, offset in offsets.items():
                await self.commit_position(tp, offset, generation=self.app.consumer_generation_id)
        except StaleCommit as stale:
            self.log.info("Nothing committed: %s", stale)
            return False
        return True

    # Topics

    def _new_topicpartition(self, topic: str, partition: int) -> TP:
        return TP(topic, partition)

    def topic_partitions(self, topic: str) -> int | None:
        found = self.broker.partitions_for_topic(topic)
        return None if found is None else len(found)

    def key_partition(self, topic: str, key: bytes | None, partition: int | None = None) -> int | None:
        if partition is not None or topic not in self.broker.topics:
            return partition
        return self.broker.partition_for(topic, key)

    async def create_topic(self, topic: str, partitions: int, replication: int, **settings: Any) -> None:
        create_topic(self.broker, topic, partitions, **settings)


class Producer(base.Producer):
    """Appends to the embedded broker; the future that `send` returns is done an instant later, as Kafka's is when it answers."""

    logger = logger
    running = False

    async def on_start(self) -> None:
        await super().on_start()
        self.broker = cast("Transport", self.transport).broker
        self.line = line_of(self.app)
        self._overtaken = Stragglers(self.line)
        self.running = True

    async def on_stop(self) -> None:
        await super().on_stop()
        self.running = False

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
        """Append a record; `timestamp` in seconds.

        Raises
        ------
        faust.exceptions.ProducerSendError
            The record is too large, or there is no such topic or partition.
        faust.exceptions.NotReady
            The producer is not running.
        """
        if not self.running:
            raise NotReady("The producer is not running")
        if isinstance(headers, Mapping):
            headers = list(headers.items())
        self.app.on_produce_message.send(key=key, value=value, partition=partition, timestamp=timestamp, headers=headers)
        stamp = None if timestamp is None else round(timestamp * 1000)
        sent: asyncio.Future[RecordMetadata] = self.loop.create_future()

        def append() -> Appended:
            return self.broker.produce(topic, key, value, headers or (), stamp, partition)

        try:
            at = await self.line.do("produce", topic, append, (key, value))
        except KafkaError as problem:
            raise ProducerSendError(f"Error while sending: {problem!r}") from problem
        except Overtaken as fault:
            self._overtaken.add(fault, sent, append)
            return sent
        metadata = RecordMetadata(at.topic, at.partition, TP(at.topic, at.partition), at.offset, at.timestamp_ms, 0)
        self.loop.call_soon(lambda: None if sent.done() else sent.set_result(metadata))
        self._overtaken.passed()
        return sent

    async def deliver(self, topic: str, records: Iterable[tuple[bytes, bytes, Any]]) -> None:
        """Append records of keys, one after another, and wait for each: none lies there without those before it."""
        for key, value, headers in records:
            await (await self.send(topic, key, value, None, None, headers))

    async def send_and_wait(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None,
        timestamp: float | None,
        headers: Any,
        *,
        transactional_id: str | None = None,
    ) -> RecordMetadata:
        return await (await self.send(topic, key, value, partition, timestamp, headers))

    async def flush(self) -> None:
        await self.buffer.flush()

    async def create_topic(self, topic: str, partitions: int, replication: int, **settings: Any) -> None:
        create_topic(self.broker, topic, partitions, **settings)

    def key_partition(self, topic: str, key: bytes) -> TP:
        return TP(topic, self.broker.partition_for(topic, key))

    def supports_headers(self) -> bool:
        return True


class Transport(base.Transport):
    """``memory://name``: the broker of that name in this process."""

    Consumer: ClassVar[type[ConsumerT]] = Consumer
    Producer: ClassVar[type[ProducerT]] = Producer
    driver_version = f"memory (aiokafka={aiokafka.__version__})"

    @property
    def broker(self) -> Broker:
        return Broker.named(self.url[0].host or "")


def create_topic(broker: Broker, topic: str, partitions: int, **settings: Any) -> None:
    """Make a topic as Faust asks for it; one that exists stays as it is, with whatever number of partitions."""
    if topic in broker.topics:
        return
    config = dict(settings.get("config") or {})
    if settings.get("compacting"):
        config.setdefault("cleanup.policy", "compact")
    broker.create_topic(topic, partitions, config)


TRANSPORTS.aliases["memory"] = f"{__name__}:Transport"
