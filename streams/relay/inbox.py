"""The alert topics as one destination's courier reads them: a consumer group of its own, by kafka-python."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

from config.settings import Settings
from streams import topics
from streams.dead_letters import LETTER_FOR, DeadLetter
from streams.telemetry import logs
from streams.transport.log import Record

Place = tuple[str, int]  # topic and partition

LONGEST_WORK_MS = 900_000  # between two polls: what stands in the topics is read again meanwhile
AT_ONCE = 200  # records a poll
STILL_SECONDS = 60.0  # a source that has got something within these is not silent, whatever its records' times say
NOTHING_SECONDS = 10.0  # a group's first assignment may come before its topics are known: an empty one is believed after these
# kafka-python forgets an assignment that comes after the poll which asked for it has ended, and its heartbeats with it, for ever: who has
# not been told what is his after so many seconds asks anew.
REJOIN_SECONDS = 30.0
TOPICS_LOOKED_UP_MS = 5_000  # and kafka-python would look for them again after five minutes only
DELIVERY_SECONDS = 60.0


class Reassigned(Exception):
    """What this courier has to serve has changed: it begins again from what has been committed."""


class Inbox(Protocol):
    """Where a courier's records come from, and where it says how far it is."""

    def joined(self) -> bool:
        """Whether it is known what is ours, be it nothing."""

    def begin(self) -> dict[Place, int]:
        """Make a fresh start: what is ours, and the offset from which each is read."""

    def history(self, place: Place, end: int) -> Iterator[Record]:
        """What is still held below an offset."""

    def poll(self, seconds: float, *, paused: bool = False) -> list[Record]:
        """The next records, none while paused; raises `Reassigned`."""

    def commit(self, ends: dict[Place, int]) -> None:
        """Say that all below these offsets is done; raises `Reassigned`."""

    def bury(self, letter: DeadLetter, destination: str) -> None:
        """Send to dead-letters, and wait until it is there."""

    def silent(self, stream: str, partition: int, seconds: float) -> bool:
        """Whether a partition of a stream's source has got nothing for so long."""

    def lag(self) -> int:
        """How many records are not committed yet."""


class KafkaInbox:
    """An `Inbox` on Kafka; made, used and closed by one thread.

    Where the group has no offset yet, what is there already has been said to others: it begins at the end, and commits that at once.
    Kafka does not tell that from a group that it has forgotten, so it says from where on nothing is delivered, and what to do if it
    should be; unless it knows itself how far it was.
    """

    def __init__(self, settings: Settings, group: str) -> None:
        from kafka import KafkaConsumer, KafkaProducer

        from streams.transport.security import client_options

        self._prefix = settings.kafka.prefix
        options = client_options(settings.kafka)
        readers = {"enable_auto_commit": False, "auto_offset_reset": "earliest", "isolation_level": settings.kafka.isolation_level}
        self._producer: Any = None
        self._make_producer: Any = lambda: KafkaProducer(**options, acks="all", delivery_timeout_ms=int(1000 * DELIVERY_SECONDS))
        self._consumer = KafkaConsumer(
            **options, **readers, group_id=f"{self._prefix}{group}", session_timeout_ms=10_000, heartbeat_interval_ms=3_000,
            max_poll_interval_ms=LONGEST_WORK_MS, max_poll_records=AT_ONCE, metadata_max_age_ms=TOPICS_LOOKED_UP_MS,
        )  # fmt: skip
        self._reader = KafkaConsumer(**options, **readers, group_id=None)
        self._changed = self._paused = False
        self._assigned_at = math.inf
        self._revoked_at = math.inf  # while we wait for an assignment
        self._committed: dict[Place, int] = {}
        self._reached: dict[Place, int] = {}  # what we have ever committed, of partitions that others may have now, too
        self._group = f"{self._prefix}{group}"
        self._seen: dict[Any, tuple[int, float]] = {}  # of a source's partition: its end, and when that was new
        self._topics = [self._prefix + topics.alerts(name) for name in settings.streams.enabled]
        self._consumer.subscribe(self._topics, listener=_listener(self._note))

    def close(self) -> None:
        """Leave the group."""
        for each in (self._consumer, self._reader, self._producer):
            if each is not None:
                each.close()

    def joined(self) -> bool:
        return bool(self._consumer.assignment()) or time.monotonic() - self._assigned_at > NOTHING_SECONDS

    def begin(self) -> dict[Place, int]:
        from kafka.errors import IllegalStateError

        self._changed = False
        try:
            return self._begin()
        except (IllegalStateError, KeyError, ValueError) as problem:  # given away meanwhile
            raise Reassigned from problem

    def _begin(self) -> dict[Place, int]:
        from kafka.structs import OffsetAndMetadata

        self._committed = {}
        for tp in sorted(self._consumer.assignment()):
            offset = self._consumer.committed(tp)
            first, end = self._consumer.beginning_offsets([tp])[tp], self._consumer.end_offsets([tp])[tp]
            if offset is None or offset < 0:
                offset = self._unknown(tp, first, end)
                self._settle({tp: OffsetAndMetadata(offset, "", -1)})
            elif not first <= offset <= end:  # retention was faster, or the topic has been made anew: nothing in it has been dealt with
                if offset < first:
                    logs.say(f"{tp.topic}/{tp.partition}: {first - offset:,} records from {offset} on are gone before they were delivered")
                offset = first
            self._consumer.seek(tp, offset)
            self._committed[tp.topic.removeprefix(self._prefix), tp.partition] = offset
        self._reached |= self._committed
        self._consumer.resume(*self._consumer.assignment())
        self._paused = False
        return dict(self._committed)

    def _unknown(self, tp: Any, first: int, end: int) -> int:
        """Where to begin in a partition of which the group has no offset."""
        reached = self._reached.get((tp.topic.removeprefix(self._prefix), tp.partition))
        if reached is not None:
            offset = min(max(reached, first), end)
            logs.say(
                f"Kafka has forgotten how far group {self._group} is in {tp.topic}/{tp.partition}: goes on from {offset}, as we remember"
            )
            return offset
        if end > first:
            logs.say(
                f"group {self._group} has no offset in {tp.topic}/{tp.partition}: begins at its end, {end}; of the {end - first:,} records "
                "before it nothing is delivered. So it is to be at a first start. If this relay has delivered before, Kafka has forgotten "
                "the group (offsets.retention.minutes): stop the relay, `kafka-consumer-groups.sh --reset-offsets --to-datetime` the group "
                "to when it was last seen, and start it"
            )
        return end

    def history(self, place: Place, end: int) -> Iterator[Record]:
        from streams.cli import reading

        for record in reading.to_end(self._reader, self._prefix + place[0], place[1]):
            if record.offset >= end:
                return
            yield self._record(record)

    def poll(self, seconds: float, *, paused: bool = False) -> list[Record]:
        if paused != self._paused:
            try:
                (self._consumer.pause if paused else self._consumer.resume)(*self._consumer.assignment())
            except KeyError as problem:  # given away meanwhile
                raise Reassigned from problem
            self._paused = paused
        if time.monotonic() - self._revoked_at > REJOIN_SECONDS:
            self._revoked_at = math.inf
            self._consumer.unsubscribe()
            self._consumer.subscribe(self._topics, listener=_listener(self._note))
        found = self._consumer.poll(timeout_ms=int(1000 * seconds))
        if self._changed:
            raise Reassigned
        return [self._record(record) for records in found.values() for record in records]

    def commit(self, ends: dict[Place, int]) -> None:
        from kafka import TopicPartition
        from kafka.structs import OffsetAndMetadata

        self._settle(
            {TopicPartition(self._prefix + topic, number): OffsetAndMetadata(end, "", -1) for (topic, number), end in ends.items()}
        )
        self._committed |= ends
        self._reached |= ends

    def bury(self, letter: DeadLetter, destination: str) -> None:
        if self._producer is None:
            self._producer = self._make_producer()
        letter = replace(letter, topic=self._prefix + letter.topic)
        headers = [*letter.headers(), (LETTER_FOR, destination.encode())]
        sent = self._producer.send(self._prefix + topics.DEAD_LETTERS, letter.body(), key=letter.key, headers=headers)
        sent.get(timeout=DELIVERY_SECONDS)

    def silent(self, stream: str, partition: int, seconds: float) -> bool:
        from kafka import TopicPartition

        tp, now = TopicPartition(self._prefix + topics.source(stream), partition), time.time()
        if tp.partition not in (self._consumer.partitions_for_topic(tp.topic) or ()):
            return False
        begin, end = self._consumer.beginning_offsets([tp])[tp], self._consumer.end_offsets([tp])[tp]
        if tp not in self._seen:
            self._seen[tp] = (end, now if begin == end else -math.inf)
        elif self._seen[tp][0] != end:
            self._seen[tp] = (end, now)
        still = now - self._seen[tp][1]
        if begin == end:  # nothing is held of it that could tell: what was seen of it here counts
            return still >= seconds
        return still >= STILL_SECONDS and self._consumer.offsets_for_times({tp: int(1000 * (now - seconds))})[tp] is None

    def lag(self) -> int:
        from kafka import TopicPartition

        places = {TopicPartition(self._prefix + topic, number): end for (topic, number), end in self._committed.items()}
        ends = self._consumer.end_offsets(list(places)) if places else {}
        return sum(max(0, ends[tp] - committed) for tp, committed in places.items())

    def _settle(self, offsets: dict[Any, Any]) -> None:
        from kafka.errors import CommitFailedError, IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError

        try:
            self._consumer.commit(offsets, timeout_ms=int(1000 * DELIVERY_SECONDS))
        except (CommitFailedError, IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError) as problem:
            self._changed = True
            raise Reassigned from problem

    def _note(self, assigned: bool) -> None:
        self._changed = True
        self._assigned_at = time.monotonic() if assigned else math.inf
        self._revoked_at = math.inf if assigned else time.monotonic()

    def _record(self, record: Any) -> Record:
        topic = record.topic.removeprefix(self._prefix)
        return Record(topic, record.partition, record.offset, record.timestamp, record.key, record.value, record.headers)


def _listener(changed: Any) -> Any:
    from kafka import ConsumerRebalanceListener

    class Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python is imported late
        def on_partitions_revoked(self, revoked: Sequence[Any]) -> None:
            """Whatever stays comes back by the next assignment."""
            changed(False)

        def on_partitions_assigned(self, assigned: Sequence[Any]) -> None:
            changed(True)

    return Listener()
