"""An embedded broker: topics, partitions and consumer groups in one process, found by name.

It is what `nilometer demo` and most tests run on. Tests and the command line may speak to it directly and without waiting:

>>> broker = Broker.named("doctest")
>>> broker.create_topic("sensor.readings", partitions=4)
>>> broker.produce("sensor.readings", b"s-1", b"{}", timestamp_ms=0).offset
0
>>> Broker.forget("doctest")
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import lru_cache
from itertools import count
from threading import Lock
from typing import ClassVar, NamedTuple

from aiokafka.errors import MessageSizeTooLargeError, UnknownTopicOrPartitionError
from aiokafka.partitioner import murmur2
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from streams.transport.chunk import Chunk, Headers
from streams.transport.groups import Group
from streams.transport.log import Log, Record

# Kafka's default for a producer's request; a broker's `message.max.bytes` is 12 bytes (an old header) more.
MAX_RECORD_BYTES = 1_048_576


COMPACTED_EVERY = 64  # records of a partition, where its topic is compacted


class Appended(NamedTuple):
    """Where a record landed."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int


@lru_cache(maxsize=1 << 16)  # murmur2 is written in Python: some microseconds a key
def hash_of_key(key: bytes) -> int:
    """Kafka's hash of a key, a non-negative number of 31 bits."""
    return int(murmur2(key)) & 0x7FFFFFFF


def partition_of_key(key: bytes, partitions: int) -> int:
    """The partition in which Kafka's clients (Java, kafka-python, aiokafka) put a key."""
    return hash_of_key(key) % partitions


class Topic:
    """A topic's partitions, its settings, and whose turn it is when a record has no key (Kafka draws; here they take turns)."""

    def __init__(self, name: str, partitions: int, config: Mapping[str, str]) -> None:
        self.name = name
        self.compacts = config.get("cleanup.policy") == "compact"
        self.delete_retention_ms = int(config.get("delete.retention.ms", 86_400_000))
        retention = int(config["retention.bytes"]) if "retention.bytes" in config and not self.compacts else None
        self.logs = [Log(name, partition, retention) for partition in range(partitions)]
        self.config = dict(config)
        self.turn = count()


class Broker:
    """One embedded broker. All methods return at once and may be called from any thread."""

    _named: ClassVar[dict[str, Broker]] = {}

    def __init__(self, name: str, clock: Callable[[], float] = time.time) -> None:
        self.name = name
        self.clock = clock
        self.topics: dict[str, Topic] = {}
        self.groups: dict[str, Group] = {}
        self._waiting: dict[tuple[str, int], set[Callable[[], object]]] = {}
        self._lock = Lock()

    @classmethod
    def named(cls, name: str) -> Broker:
        """The broker behind ``memory://name`` (URLs know no capital letters); made when first asked for."""
        name = name.lower()
        return cls._named.setdefault(name, cls(name))

    @classmethod
    def forget(cls, name: str) -> None:
        """Let a broker go, with all it holds."""
        cls._named.pop(name.lower(), None)

    def create_topic(self, name: str, partitions: int = 1, config: Mapping[str, str] | None = None) -> None:
        """Make a topic; one that exists already with as many partitions is left as it is.

        Of Kafka's settings `retention.bytes` (of a partition) is heeded: between once and twice as much is kept.

        Raises
        ------
        ValueError
            It exists with another number of partitions, or that number is not positive.
        """
        if partitions < 1:
            raise ValueError(f"topic {name}: partitions = {partitions}: wanted at least 1")
        with self._lock:
            topic = self.topics.setdefault(name, Topic(name, partitions, config or {}))
        if len(topic.logs) != partitions:
            raise ValueError(f"topic {name} exists with {len(topic.logs)} partitions, wanted {partitions}")

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has."""
        return len(self._topic(topic).logs)

    def partition_for(self, topic: str, key: bytes | None) -> int:
        """Where a record with this key goes; without one, the partition whose turn it is."""
        found = self._topic(topic)
        return next(found.turn) % len(found.logs) if key is None else partition_of_key(key, len(found.logs))

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        """What Faust's assignor asks: a topic's partitions, None for an unknown one."""
        found = self.topics.get(topic)
        return None if found is None else set(range(len(found.logs)))

    def produce(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Iterable[tuple[str, bytes | None]] = (),
        timestamp_ms: int | None = None,
        partition: int | None = None,
    ) -> Appended:
        """Append a record: to `partition`, else where its key belongs, else to the partition whose turn it is.

        Raises
        ------
        aiokafka.errors.UnknownTopicOrPartitionError
            There is no such place.
        aiokafka.errors.MessageSizeTooLargeError
            The record alone would be larger than a producer may send.
        """
        kept: Headers = tuple(headers)
        check_size(topic, key, value, kept)
        if partition is None:
            partition = self.partition_for(topic, key)
        if timestamp_ms is None:
            timestamp_ms = int(self.clock() * 1000)
        offset = self._log(topic, partition).append(key, value, kept, timestamp_ms)
        if self.topics[topic].compacts and offset % COMPACTED_EVERY == COMPACTED_EVERY - 1:
            self.compact(topic, partition, tombstones_before_ms=timestamp_ms - self.topics[topic].delete_retention_ms)
        if (topic, partition) in self._waiting:
            with self._lock:
                waiting = self._waiting.pop((topic, partition), set())
            for wake in waiting:
                wake()
        return Appended(topic, partition, offset, timestamp_ms)

    def read(self, topic: str, partition: int, offset: int | None = None, limit: int = 1 << 62) -> list[Record]:
        """At most `limit` records from `offset` on (from the beginning, if None)."""
        log = self._log(topic, partition)
        return log.records(log.begin if offset is None else offset, limit)

    def chunk(self, topic: str, partition: int, offset: int, max_records: int, max_bytes: int) -> Chunk | None:
        """The records from `offset` on as a chunk, None at the end (see `Log.chunk`)."""
        return self._log(topic, partition).chunk(offset, max_records, max_bytes)

    def begin_offset(self, topic: str, partition: int) -> int:
        """The first offset that the log still holds."""
        return self._log(topic, partition).begin

    def end_offset(self, topic: str, partition: int) -> int:
        """The offset that the next record gets."""
        return self._log(topic, partition).end

    def skip(self, topic: str, partition: int, offsets: int = 2) -> None:
        """Leave a hole of so many offsets at the end of a partition (a transaction's markers take two)."""
        self._log(topic, partition).skip(offsets)

    def remove(self, topic: str, partition: int, offsets: Collection[int]) -> None:
        """Take records out of a partition (see `streams.transport.faults.compact`)."""
        self._log(topic, partition).remove(offsets)

    def compact(self, topic: str, partition: int, *, upto: int | None = None, tombstones_before_ms: int | None = None) -> None:
        """Compact a partition as Kafka's cleaner does: of each key the last record stays, and offsets stay as they are.

        It happens by itself, now and then, where a topic's `cleanup.policy` is `compact`.

        Parameters
        ----------
        upto
            Offsets from here on are not touched (Kafka leaves its newest segment alone); None for all.
        tombstones_before_ms
            Older tombstones go, too; None: no tombstone goes.

        >>> broker = Broker("doctest")
        >>> broker.create_topic("states")
        >>> for key, value in [(b"a", b"1"), (b"b", b"1"), (b"a", b"2"), (b"b", None)]:
        ...     offset = broker.produce("states", key, value, timestamp_ms=0).offset
        >>> broker.compact("states", 0, tombstones_before_ms=1)
        >>> [(record.offset, record.key, record.value) for record in broker.read("states", 0)]
        [(2, b'a', b'2')]
        """
        log = self._log(topic, partition)
        records = self.read(topic, partition)
        last = {record.key: record.offset for record in records}
        gone = []
        for record in records:
            old = record.value is None and tombstones_before_ms is not None and record.timestamp_ms < tombstones_before_ms
            if (upto is None or record.offset < upto) and (last[record.key] > record.offset or old):
                gone.append(record.offset)
        log.remove(gone)

    def delete_before(self, topic: str, partition: int, offset: int) -> None:
        """Delete a partition's records below an offset."""
        self._log(topic, partition).delete_before(offset)

    def group(self, name: str) -> Group:
        """The consumer group of this name; made when first asked for."""
        return self.groups.setdefault(name, Group(name))

    def wake_once(self, places: Iterable[tuple[str, int]], wake: Callable[[], object]) -> None:
        """Call `wake` when a record next comes to one of these partitions, in the thread that produces it.

        Look once more after calling this: a record may have come in between.
        """
        with self._lock:
            for place in places:
                self._waiting.setdefault(place, set()).add(wake)

    def _topic(self, topic: str) -> Topic:
        try:
            return self.topics[topic]
        except KeyError:
            raise UnknownTopicOrPartitionError(f"the embedded broker {self.name!r} has no topic {topic!r}: create it first") from None

    def _log(self, topic: str, partition: int) -> Log:
        logs = self._topic(topic).logs
        if not 0 <= partition < len(logs):
            raise UnknownTopicOrPartitionError(f"topic {topic} has partitions 0 to {len(logs) - 1}, not {partition}")
        return logs[partition]


def check_size(topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> None:
    """Refuse what a Kafka producer would refuse, by the same estimate of the serialised size.

    Raises
    ------
    aiokafka.errors.MessageSizeTooLargeError
        The record alone would be larger than a request may be.
    """
    if not headers and (len(key) if key else 0) + (len(value) if value else 0) < MAX_RECORD_BYTES // 2:
        return
    size = DefaultRecordBatchBuilder.estimate_size_in_bytes(key, value, list(headers))
    if size > MAX_RECORD_BYTES:
        raise MessageSizeTooLargeError(f"a record of {size} bytes for {topic}: at most {MAX_RECORD_BYTES} bytes may be sent")
