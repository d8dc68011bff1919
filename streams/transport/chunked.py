"""What both transports share: source topics come to their agents as chunks, and the fold's position is the only one.

A driver's consumer mixes in `ChunkedConsumer` and returns chunks from `_getmany` for the topics that `app.chunks` lists;
all other topics go Faust's usual way.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from faust import Schema
from faust.transport.consumer import Consumer
from faust.types import TP, AppT, ConsumerMessage, Message
from mode import ServiceT

from streams.transport.chunk import Chunk
from streams.transport.cutting import ChunkLimits, LostPosition, cut, from_position
from streams.transport.groups import Committed, StaleCommit, UnansweredCommit

# Chunks that may wait in an agent's queue: one to go on with while the next is fetched. More would only make memory grow.
QUEUED_CHUNKS = 2
# How soon a partition whose queue was full is looked at again, in seconds; its queue then still holds work.
FULL_QUEUE_PAUSE = 0.002
# How soon an app without a partition to read looks again, in seconds.
IDLE_PAUSE = 0.05
# How long a fetch may wait for records, in seconds; a stop, a rebalance or a resumed partition does not wait for it.
FETCH_WAIT = 1.0
# The share of the broker's request timeout that seeking all partitions may take: a third of half a minute.
SEEK_SHARE = 1 / 3


@dataclass(slots=True)
class ChunkedTopics:
    """Which topics come as chunks, how large, from where, and how Apache Kafka is asked for them.

    Attributes
    ----------
    topics
        The source topics.
    limits
        The size of a chunk.
    positions
        The next offset that a partition's fold wants; None where there is no fold: then the group's committed
        offset counts, else the log's beginning.
    unreadable
        Told of a partition that cannot be read on (its log no longer holds the position, or is damaged there), which is then
        paused until the next rebalance. None: such a partition is an error, and the app crashes.
    isolation_level
        "read_committed": records of transactions come when these are committed, aborted ones never. "read_uncommitted": all do.
    record_batches
        Read record batches as columns; else make chunks of aiokafka's records.
    """

    topics: set[str] = field(default_factory=set)
    limits: ChunkLimits = field(default_factory=ChunkLimits)
    positions: Callable[[TP], int | None] = lambda tp: None
    unreadable: Callable[[TP, LostPosition], None] | None = None
    isolation_level: str = "read_committed"
    record_batches: bool = True


def chunked_topics(app: AppT) -> ChunkedTopics:
    """The settings that `streams.engine.App` carries; none in an ordinary Faust app, which then gets ordinary messages."""
    return getattr(app, "chunks", None) or ChunkedTopics()


class ChunkSchema(Schema):  # type: ignore[type-arg]  # faust's Schema is generic in what it decodes to: here nothing is decoded
    """A topic's schema that hands agents the chunk as it is."""

    def compile(self, app: AppT, **handlers: Any) -> Any:
        """A decoder that decodes nothing."""
        create_event = app.create_event

        async def decode(message: Message, *, propagate: bool = False) -> Any:
            return create_event(None, message.value, None, message)

        return decode


class ChunkedConsumer(Consumer):
    """The part of a consumer that knows no broker. It goes before the driver's consumer in the list of bases."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.chunks = chunked_topics(self.app)
        self._wanted: dict[TP, int] = {}  # the next offset to fetch, of every chunked partition
        self._told: dict[TP, int] = {}  # where the last chunk that was handed over, or cut for it, ended
        self._cut: dict[TP, deque[Chunk]] = {}  # fetched, cut, not yet handed over
        self._subscribed: frozenset[str] = frozenset()
        self.given_back = True  # no partition is ours: before the first assignment, and from a revocation to the next
        self._settled: int | None = None  # the generation in which folds have been restored
        self._sought: int | None = None  # the generation in which every partition has been sought
        self._late = False  # they were not sought in time when we tried last
        self.app.on_rebalance_complete.connect(self._settle)

    @abstractmethod
    async def committed_position(self, tp: TP) -> Committed | None:
        """What the group last committed for a partition, with its metadata."""

    @abstractmethod
    def last_heartbeat_answered(self) -> float | None:
        """When the last heartbeat that the group answered well had been sent; None before the first."""

    @abstractmethod
    async def commit_position(self, tp: TP, offset: int, metadata: str = "", *, generation: int) -> None:
        """Commit the next offset to read, if the group is still at `generation`.

        Raises
        ------
        StaleCommit
            It is not: another member may own the partition.
        """

    @abstractmethod
    def rejoin(self) -> None:
        """Ask the group for a new generation."""

    @abstractmethod
    async def _subscribe(self, topics: frozenset[str]) -> None:
        """Join the group with these topics."""

    async def subscribe(self, topics: Iterable[str]) -> None:
        # Faust subscribes again, 45 s after an isolated actor has stopped, to the very same topics: a needless rebalance.
        wanted = frozenset(topics)
        if wanted != self._subscribed:
            self._subscribed = wanted
            await self._subscribe(wanted)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        self.given_back, self._settled, self._sought = True, None, None
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        self.given_back = False
        await super().on_partitions_assigned(assigned, generation_id)

    @property
    def settled(self) -> bool:
        """Whether the group has told us what is ours, if anything, and the folds of that are restored."""
        return not self.given_back and self._settled is not None and self._settled == self.app.consumer_generation_id

    async def _settle(self, *_: Any, **__: Any) -> None:
        if not self.given_back:
            self._settled = self.app.consumer_generation_id

    def resume_flow(self) -> None:
        """Let records flow, if the partitions are still ours and their folds are restored.

        Where a rebalance begins while the one before it settles, Faust resumes the flow of partitions that have been given
        back: it asks only whether the new generation is known already.
        """
        if self.app.crashed or self.app.should_stop:
            return  # on the way out there may be no client left to ask
        generation = self.app.consumer_generation_id
        if self.chunks.topics and (self.given_back or self._settled != generation or (self.assignment() and self._sought != generation)):
            return
        super().resume_flow()

    async def perform_seek(self) -> None:
        """Seek every assigned partition to where its fold stands.

        An exception that left this method would end the task that resumes partitions, and the worker would heartbeat, hold
        its partitions and fold nothing. So it crashes the app instead, and another worker takes over; unless a rebalance has begun
        meanwhile, after which every partition is sought anew. Where it only takes too long (nobody answers, or nobody has a
        processor for us), we ask for such a rebalance ourselves, once.
        """
        generation, late, self._late = self.app.consumer_generation_id, self._late, False
        try:
            # Faust waits no longer than the request timeout, and then lets records flow.
            async with asyncio.timeout(SEEK_SHARE * self.app.conf.broker_request_timeout):
                await self._seek_to_positions()
            if not self.given_back and generation == self.app.consumer_generation_id:
                self._sought = generation
        except asyncio.CancelledError as cancelled:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            await self.app.crash(cancelled)
        except Exception as problem:
            if self.given_back or generation != self.app.consumer_generation_id:
                self.log.info("The partitions were given back while they were sought: %r", problem)
            elif isinstance(problem, TimeoutError) and not late:
                self.log.warning("The partitions were not sought in time: asking for them anew")
                self._late = True
                self.rejoin()
            else:
                await self.app.crash(problem)

    async def _seek_to_positions(self) -> None:
        found = {tp: await self._position_of(tp) for tp in sorted(self.assignment())}
        earliest = [tp for tp, offset in found.items() if offset is None]
        begins = await self.earliest_offsets(*earliest) if earliest else {}
        where = {tp: begins[tp] if offset is None else offset for tp, offset in found.items()}
        await self.seek_wait(where)
        self._cut.clear()
        self._wanted = {tp: offset for tp, offset in where.items() if tp.topic in self.chunks.topics}
        self._told = dict(self._wanted)

    async def _position_of(self, tp: TP) -> int | None:
        if tp.topic in self.chunks.topics:
            wanted = self.chunks.positions(tp)
            if wanted is not None:
                return wanted
        committed = await self.committed_position(tp)
        return None if committed is None else committed.offset

    async def seek(self, partition: TP, offset: int) -> None:
        await super().seek(partition, offset)
        if partition.topic in self.chunks.topics:
            self._cut.pop(partition, None)
            self._wanted[partition] = self._told[partition] = offset

    def unread(self, tp: TP) -> int | None:
        """How many offsets of a partition are still to be fetched; holes behind the last record do not count. None: not known yet."""
        end, wanted = self.highwater(tp), self._wanted.get(tp)
        return None if end is None or wanted is None else max(0, end - wanted)

    def read_to(self, tp: TP) -> tuple[int | None, int | None]:
        """Up to where a partition has been fetched, and up to where its records were handed over or are cut for it; None: not sought."""
        return self._wanted.get(tp), self._told.get(tp)

    def broken(self) -> str | None:
        """Why nothing will ever be fetched again; None as long as all is well."""
        return None

    def _to_message(self, tp: TP, record: Any) -> ConsumerMessage:
        if not isinstance(record, Chunk):
            return super()._to_message(tp, record)  # type: ignore[safe-super]  # the driver's, next in the list of bases
        seconds = int(record.timestamps[-1]) / 1000.0
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            record.first,
            timestamp=seconds,
            timestamp_type=0,
            headers=None,
            key=None,
            value=record,  # type: ignore[arg-type]  # faust says bytes; ChunkSchema hands on whatever it is
            checksum=None,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )

    def _has_room(self, tp: TP) -> bool:
        """Whether a partition may be fetched: its agents exist and have worked off what they were given."""
        if tp.topic not in self.chunks.topics:
            return True  # Faust's own back-pressure takes such a partition out of the active ones
        listeners = self.app.topics._tp_index.get(tp)  # type: ignore[attr-defined]  # of Conductor
        return bool(listeners) and all(channel.queue.qsize() < QUEUED_CHUNKS for channel in listeners)

    async def _drain_messages(self, fetcher: ServiceT) -> None:
        """Fetch and hand over until the consumer or its fetcher stops.

        Faust's own loop spends two tasks on every message, and waits in a full queue while every other partition waits with it.
        """
        try:
            while not (self.should_stop or fetcher.should_stop):
                if not self.flow_active:
                    await self.wait(self.can_resume_flow)  # type: ignore[arg-type]  # mode waits for asyncio's events, too
                    continue
                await asyncio.sleep(0)
                active = set(self._get_active_partitions())
                ready = {tp for tp in active if self._has_room(tp)}
                if not ready:
                    await self.sleep(FULL_QUEUE_PAUSE if active else IDLE_PAUSE)
                    continue
                kept = {tp: self._cut[tp] for tp in ready if self._cut.get(tp)}
                await self._hand_over_next(kept)
                hungry = ready - kept.keys()
                if hungry:
                    await self._fetch(hungry, FETCH_WAIT if hungry == active else 0.0 if kept else FULL_QUEUE_PAUSE)
        except self.consumer_stopped_errors:
            if not self.app.should_stop:
                raise
        except asyncio.CancelledError:
            if not self.app.should_stop:
                raise
        except Exception as problem:
            self.log.exception("The consumer cannot go on: %r", problem)
            raise

    async def _fetch(self, ready: set[TP], timeout: float) -> None:
        generation = self.app.consumer_generation_id
        fetched = await self._getmany(ready, timeout)
        if not self.flow_active or generation != self.app.consumer_generation_id:
            return  # a rebalance has begun: before the flow resumes, every partition is sought anew
        ordinary = {}
        for tp, records in fetched.items():
            end = self.highwater(tp)
            if end is not None:
                self.app.monitor.track_tp_end_offset(tp, end)
            if tp.topic in self.chunks.topics:
                self._cut[tp] = deque(piece for chunk in records for piece in self._cut_up(tp, chunk))
            else:
                ordinary[tp] = records
        await self._hand_over_next({tp: self._cut[tp] for tp in fetched if self._cut.get(tp)})
        await self._hand_over_messages(ordinary, generation)

    def _cut_up(self, tp: TP, chunk: Chunk) -> Iterable[Chunk]:
        """A fetched chunk, begun where it is wanted and cut within the limits; nothing if all of it is known already.

        A chunk without records is not handed over: the next one decides its offsets, too.
        """
        rest = from_position(chunk, self._wanted[tp])
        if rest is None:
            return ()
        self._wanted[tp] = rest.next
        if not len(rest):
            return ()
        rest, self._told[tp] = replace(rest, first=self._told[tp]), rest.next
        return cut(rest, self.chunks.limits)

    async def _hand_over_next(self, pieces: Mapping[TP, deque[Chunk]]) -> None:
        """One chunk a partition, in turn."""
        for tp, waiting in pieces.items():
            if not self.flow_active:
                return
            # There is room in the queue, so this does not wait for the agent.
            await self.callback(self._to_message(tp, waiting.popleft()))

    async def _hand_over_messages(self, fetched: Mapping[TP, list[Any]], generation: int) -> None:
        """The records of ordinary topics, as Faust does it: the end of the flow ends the wait in a full queue."""
        for tp, record in self.scheduler.iterate(fetched):
            if not self.flow_active or generation != self.app.consumer_generation_id:
                return
            message = self._to_message(tp, record)
            read = self._read_offset[tp]
            if read is None or message.offset >= read:
                await self.wait_first(self.callback(message), self.suspend_flow.wait())
                self._read_offset[tp] = message.offset


__all__ = ["ChunkSchema", "ChunkedConsumer", "ChunkedTopics", "StaleCommit", "UnansweredCommit", "chunked_topics"]
