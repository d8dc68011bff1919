"""What `nilometer state reset` does on Kafka, in this order: a `begin` in the cut log, a checkpoint, the group's commit.

With `--keep` the checkpoint is the last one that there is. Broken off before the commit, nothing has changed but the epoch.
The group takes the commit only while it has no members.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streams.errors import UserError

if TYPE_CHECKING:
    from config.settings import Settings
    from streams.durable.cut_log import Generation
    from streams.durable.store import Place


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

    from streams import topics
    from streams.configured import definition
    from streams.durable.manifest import CutPosition, Names
    from streams.savepoints.cold_start import checkpoint

    prefix = settings.kafka.prefix
    source = TopicPartition(prefix + topics.source(stream), partition)
    mine, begun = _begin(consumer, settings, stream, source, keeps=False)
    name = Names().next()
    records = checkpoint(definition(stream, settings), partition, partitions, start, CutPosition(begun + 1, mine, 0), name)
    _append(settings, prefix + topics.checkpoints(stream), partition, records)
    _commit(client, settings, source, start, name)
    return mine.epoch, name


def keep(client: Any, consumer: Any, settings: Settings, stream: str, partition: int) -> tuple[int, str, int]:
    """Begin a new epoch with the checkpoint that the group names, or else the last one; the epoch, its name and its offset.

    Raises
    ------
    UserError
        There is no checkpoint that can be read, something was not taken, or somebody else is at it.
    """
    from kafka import TopicPartition

    from streams import topics
    from streams.cli import brokers, reading
    from streams.durable.manifest import Shelf
    from streams.durable.parked import Parked
    from streams.durable.store import Stored
    from streams.savepoints.cold_start import latest

    prefix, group = settings.kafka.prefix, group_of(settings)
    source, shelves = TopicPartition(prefix + topics.source(stream), partition), prefix + topics.checkpoints(stream)
    log = [(record.offset, record.value or b"") for record in reading.to_end(consumer, prefix + topics.cuts(stream), partition)]
    shelf = Shelf(Stored(record.offset, record.key, record.value) for record in reading.to_end(consumer, shelves, partition))
    committed = brokers.patiently(lambda: client.list_group_offsets(group)).get(group, {}).get(source)
    named = committed.metadata if committed is not None and committed.offset >= 0 else None
    try:
        manifest = shelf.manifest(named) if named else None
        found = (named, manifest) if named and manifest is not None and shelf.data(named, manifest) is not None else latest(shelf, log)
    except Parked as problem:
        raise UserError(f"{shelves}/{partition}: {problem}") from problem
    if found is None:
        raise UserError(f"{shelves}/{partition} holds no checkpoint that can be gone on from: begin anew, without --keep")
    name, manifest = found
    mine, _ = _begin(consumer, settings, stream, source, keeps=True)
    _commit(client, settings, source, manifest.offset, name)
    return mine.epoch, name, manifest.offset


def _begin(consumer: Any, settings: Settings, stream: str, source: Any, *, keeps: bool) -> tuple[Generation, int]:
    """A new epoch in the cut log, and the offset of its record."""
    from streams import topics
    from streams.cli import reading
    from streams.durable.cut_log import Begin, encode
    from streams.savepoints.cold_start import in_force, next_epoch

    cuts, partition = settings.kafka.prefix + topics.cuts(stream), source.partition

    def generation() -> Generation | None:
        return in_force((record.offset, record.value or b"") for record in reading.to_end(consumer, cuts, partition))

    mine = next_epoch(generation())
    (begun,) = _append(settings, cuts, partition, [(None, encode(Begin(mine, consumer.end_offsets([source])[source], keeps)))])
    if generation() != mine:
        raise UserError(f"somebody else has begun in {cuts}/{partition} meanwhile: stop every worker, and try again")
    return mine, begun


def _commit(client: Any, settings: Settings, source: Any, offset: int, name: str) -> None:
    from kafka.structs import OffsetAndMetadata

    from streams.cli import brokers

    group = group_of(settings)
    taken = brokers.patiently(lambda: client.alter_group_offsets(group, {source: OffsetAndMetadata(offset, name, -1)}))
    problem = taken[source]
    if problem.errno != 0:
        raise UserError(f"the group {group} does not take the commit ({problem.__name__}): stop every worker, and try again")


def _append(settings: Settings, topic: str, partition: int, records: Any) -> list[int]:
    """Append (key, value) one after another; their offsets, when all of them are durable."""
    from streams.cli import brokers

    with brokers.producer(settings, acks="all") as producer:
        sent = [producer.send(topic, value, key=key, partition=partition) for key, value in records]
        producer.flush(brokers.DELIVERY_SECONDS)
        return [int(delivery.get(timeout=brokers.DELIVERY_SECONDS).offset) for delivery in sent]
