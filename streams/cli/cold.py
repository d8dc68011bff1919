"""What `nilometer state reset` does on Kafka, in this order: a `begin` in the cut log, a checkpoint, the group's commit.

Broken off before the commit, nothing has changed but the epoch. The group takes the commit only while it has no members.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streams.errors import UserError

if TYPE_CHECKING:
    from config.settings import Settings
    from streams.store import Place

DELIVERY_SECONDS = 30.0


def group_of(settings: Settings) -> str:
    """The name of the workers' group."""
    return f"{settings.kafka.prefix}nilometer"


def refuse_members(client: Any, settings: Settings) -> None:
    """Raise a `UserError` while workers are there."""
    from streams.cli import brokers

    group = group_of(settings)
    members = brokers.patiently(lambda: client.describe_groups([group])).get(group, {}).get("members", [])
    if members:
        raise UserError(
            f"the group {group} has {len(members)} members: stop every worker first (one that was killed leaves after its session)"
        )


def start(client: Any, consumer: Any, settings: Settings, source: Place, at: int | None) -> int:
    """Where the partition will begin.

    Raises
    ------
    UserError
        The source does not hold the offset that was asked for.
    """
    from kafka import TopicPartition

    from streams.cli import brokers

    tp, group = TopicPartition(*source), group_of(settings)
    begin, end = consumer.beginning_offsets([tp])[tp], consumer.end_offsets([tp])[tp]
    if at is not None:
        if not begin <= at <= end:
            raise UserError(f"--at {at}: {source[0]}/{source[1]} holds {begin} to {end}")
        return at
    committed = brokers.patiently(lambda: client.list_group_offsets(group)).get(group, {}).get(tp)
    return int(committed.offset) if committed is not None and begin <= committed.offset <= end else int(begin)


def reset(client: Any, consumer: Any, settings: Settings, stream: str, partition: int, partitions: int, start: int) -> tuple[int, str]:
    """Begin anew; the epoch, and the checkpoint that is now the current one.

    Raises
    ------
    UserError
        Something was not taken, or somebody else is at it.
    """
    from kafka import TopicPartition
    from kafka.structs import OffsetAndMetadata

    from streams import topics
    from streams.app import definition
    from streams.cli import brokers, reading
    from streams.cold_start import checkpoint, in_force, next_epoch
    from streams.cut_log import Begin, encode
    from streams.manifest import CutPosition, Names

    prefix, group = settings.kafka.prefix, group_of(settings)
    source, cuts = TopicPartition(prefix + topics.source(stream), partition), prefix + topics.cuts(stream)

    def generation() -> Any:
        return in_force((record.offset, record.value or b"") for record in reading.to_end(consumer, cuts, partition))

    mine = next_epoch(generation())
    (begun,) = _append(settings, cuts, partition, [(None, encode(Begin(mine, consumer.end_offsets([source])[source])))])
    if generation() != mine:
        raise UserError(f"somebody else has begun in {cuts}/{partition} meanwhile: stop every worker, and try again")
    name = Names().next()
    records = checkpoint(definition(stream, settings), partition, partitions, start, CutPosition(begun + 1, mine, 0), name)
    _append(settings, prefix + topics.checkpoints(stream), partition, records)
    taken = brokers.patiently(lambda: client.alter_group_offsets(group, {source: OffsetAndMetadata(start, name, -1)}))
    problem = taken[source]
    if problem.errno != 0:
        raise UserError(f"the group {group} does not take the commit ({problem.__name__}): stop every worker, and try again")
    return mine.epoch, name


def _append(settings: Settings, topic: str, partition: int, records: Any) -> list[int]:
    """Append (key, value) one after another; their offsets, when all of them are durable."""
    from kafka import KafkaProducer

    from streams.cli import brokers
    from streams.transport.security import client_options

    producer = KafkaProducer(
        **client_options(settings.kafka),
        bootstrap_timeout_ms=brokers.PATIENCE_MS,
        max_block_ms=int(DELIVERY_SECONDS * 1000),
        delivery_timeout_ms=int(DELIVERY_SECONDS * 1000),
        request_timeout_ms=int(DELIVERY_SECONDS * 500),
        acks="all",
    )
    try:
        sent = [producer.send(topic, value, key=key, partition=partition) for key, value in records]
        producer.flush(DELIVERY_SECONDS)
        return [int(delivery.get(timeout=DELIVERY_SECONDS).offset) for delivery in sent]
    finally:
        producer.close(timeout=5)
