"""Reading topics to their present end by kafka-python, for commands that look and leave."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from streams.errors import UserError

if TYPE_CHECKING:
    from config.settings import Settings

SILENCE_SECONDS = 20.0  # without a record or a step forward
POLL_MS = 500


@contextmanager
def reader(settings: Settings) -> Iterator[Any]:
    """kafka-python's consumer outside every group; it reads what is committed.

    Call it inside `brokers.admin`, which turns Kafka's errors into words.
    """
    from kafka import KafkaConsumer

    from streams.cli import brokers
    from streams.transport.security import client_options

    consumer = KafkaConsumer(
        **client_options(settings.kafka),
        bootstrap_timeout_ms=brokers.PATIENCE_MS,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    try:
        yield consumer
    finally:
        consumer.close()


def to_end(consumer: Any, topic: str, partition: int, start: int = 0) -> Iterator[Any]:
    """The records of a partition from `start` (or from what is still held) to where it ends now.

    Raises
    ------
    UserError
        The broker has fallen silent.
    """
    from kafka import TopicPartition

    tp = TopicPartition(topic, partition)
    begin, end = consumer.beginning_offsets([tp])[tp], consumer.end_offsets([tp])[tp]
    consumer.assign([tp])
    at = max(begin, start)
    if at >= end:
        return
    consumer.seek(tp, at)
    moved = time.monotonic()
    while at < end:  # behind the last record may stand what is no record: the position says when it is passed
        for record in consumer.poll(timeout_ms=POLL_MS).get(tp, []):
            if record.offset < end:
                yield record
        before, at = at, consumer.position(tp)
        now = time.monotonic()
        if at > before:
            moved = now
        elif now - moved > SILENCE_SECONDS:
            raise UserError(f"{topic}/{partition}: nothing comes from offset {at} on, though it reaches to {end}; is its broker up?")
