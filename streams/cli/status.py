"""`nilometer status`: topics, how far each partition is folded and checkpointed, and who works."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import typer

from streams.cli.options import ConfigFile, settings_of
from streams.cli.topics import Streams, enabled

if TYPE_CHECKING:
    from config.settings import Settings

COLUMNS = ("partition", "end", "committed", "lag", "age", "checkpoint")
WINDOW = 64  # records at the end of a checkpoint topic that are looked at first for a manifest


def status(config: ConfigFile = None, streams: Streams = None) -> None:
    """Say what is there: topics, per partition the log's end, the last checkpoint's offset, the lag behind it, its age, its name; what
    budgets need before they decide; workers.

    The lag is counted from the checkpoint, which is made every `checkpoint.interval` if there was something to fold: a worker is
    ahead of it.
    """
    settings = settings_of(config, enabled(streams))
    from streams.cli import brokers, reading
    from streams.notices import notices
    from streams.topic_settings import wanted_topics

    wanted = wanted_topics(settings, settings.streams.enabled)
    with brokers.admin(settings) as client, reading.reader(settings) as consumer:
        there = brokers.partitions_of(client, wanted)
        missing = [topic for topic, many in there.items() if many is None]
        typer.echo(f"topics: {len(there) - len(missing)} of {len(there)} are there")
        for topic in missing:
            typer.echo(f"  missing: {topic}")
        if missing:
            typer.echo("  make them: nilometer topics create")
        group = f"{settings.kafka.prefix}nilometer"
        committed = brokers.patiently(lambda: client.list_group_offsets(group)).get(group, {})
        for name in settings.streams.enabled:
            for line in _stream(name, settings, there, consumer, committed):
                typer.echo(line)
        for line in notices(settings, settings.streams.enabled):
            typer.echo(line)
        for line in workers(brokers.patiently(lambda: client.describe_groups([group])).get(group, {}), settings.kafka.prefix):
            typer.echo(line)


def _stream(name: str, settings: Settings, there: dict[str, int | None], consumer: Any, committed: dict[Any, Any]) -> list[str]:
    from kafka import TopicPartition

    from streams import topics

    topic = settings.kafka.prefix + topics.source(name)
    many = there[topic]
    if many is None:
        return [f"{name}: no source topic"]
    places = [TopicPartition(topic, number) for number in range(many)]
    ends = consumer.end_offsets(places)
    shelves = settings.kafka.prefix + topics.checkpoints(name)
    rows = []
    for place in places:
        at = committed.get(place)
        named = at.metadata if at is not None and at.offset >= 0 else ""
        made = made_at(consumer, shelves, place.partition, named) if named and there[shelves] else None
        rows.append(row(place.partition, ends[place], at, None if made is None else max(0.0, time.time() - made)))
    return [f"{name}: {topic}", *table(rows)]


def made_at(consumer: Any, topic: str, partition: int, name: str) -> float | None:
    """When a checkpoint's manifest was written, in epoch seconds; None if it is not there.

    Behind it stand no more than the tombstones of an older one and the chunks of the next: the topic is read from behind.
    """
    from kafka import TopicPartition

    from streams.cli import reading
    from streams.durable.manifest import MANIFEST, chunk_key

    tp, key, window = TopicPartition(topic, partition), chunk_key(name, MANIFEST), WINDOW
    begin, end = consumer.beginning_offsets([tp])[tp], consumer.end_offsets([tp])[tp]
    while end > begin:
        start = max(begin, end - window)
        for record in reading.to_end(consumer, topic, partition, start):
            if record.key == key and record.value is not None:
                return float(record.timestamp) / 1000.0
        if start == begin:
            break
        window *= 4
    return None


def row(number: int, end: int, committed: Any, age: float | None = None) -> tuple[str, ...]:
    """A partition's line: what is not known is a dash."""
    if committed is None or committed.offset < 0:
        return (str(number), str(end), "-", str(end), "-", "-")
    lag, named = max(0, end - committed.offset), committed.metadata or "none named: somebody moved it"
    return (str(number), str(end), str(committed.offset), str(lag), "-" if age is None else f"{age:.0f}s", named)


def table(rows: list[tuple[str, ...]]) -> list[str]:
    """Lines with columns under each other, numbers to the right."""
    lines = [COLUMNS, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(COLUMNS) - 1)]
    return ["  " + "  ".join([*(cell.rjust(width) for cell, width in zip(line[:-1], widths, strict=True)), line[-1]]) for line in lines]


def workers(group: dict[str, Any], prefix: str) -> list[str]:
    """The group's members, and the source partitions that each has."""
    from streams.topics import SOURCES

    members = group.get("members", [])
    lines = [f"workers: {len(members)}" + (f" (the group is {group['group_state']})" if members else "")]
    sources = {prefix + source: name for name, source in SOURCES.items()}
    for member in members:
        assignment = member.get("member_assignment")
        assigned = assignment.get("assigned_partitions", []) if isinstance(assignment, dict) else []
        held = [
            f"{sources[each['topic']]} {','.join(map(str, sorted(each['partitions'])))}" for each in assigned if each["topic"] in sources
        ]
        lines.append(f"  {member['member_id']} at {member['client_host'].lstrip('/')}: {'; '.join(held) or 'no partition'}")
    return lines
