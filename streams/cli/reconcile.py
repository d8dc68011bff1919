"""`nilometer reconcile`: every reading that came in, and where it is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import typer

from streams.cli.options import ConfigFile, settings_of
from streams.cli.topics import Streams, enabled
from streams.errors import UserError

if TYPE_CHECKING:
    from config.settings import Settings
    from streams.definitions import Definition
    from streams.durable.store import Place
    from streams.reconciliation import Account
    from streams.transport.kafka_logs import KafkaLogs

COLUMNS = ("partition", "from", "to", "came in", "judged", "warming up", "late", "repeated", "not judged", "dead letters", "difference")


def reconcile(config: ConfigFile = None, streams: Streams = None) -> None:
    """Count the readings in each partition's log, up to its last checkpoint, and say where they are: judged, late, dead-lettered, …

    The log is decoded once more, as workers do it, and held against what the fold has counted and what lies among the dead letters.
    The exit code is 1 where something is missing. Workers may be running.
    """
    settings = settings_of(config, enabled(streams))
    from streams.cli import brokers
    from streams.configured import definition

    with brokers.admin(settings) as client:
        there = {name: _committed(client, settings, name) for name in settings.streams.enabled}
    definitions = {name: definition(name, settings) for name in there}
    accounts = asyncio.run(_accounts(settings, definitions, there))
    wrong = 0
    for name in there:
        own = [account for account in accounts if account.stream == name]
        typer.echo(f"{name}: {len(own)} of {len(there[name])} partitions have a checkpoint")
        for line in table([COLUMNS, *map(row, own)]):
            typer.echo(line)
        for account in own:
            for line in words(account):
                typer.echo(line)
        wrong += sum(account.difference not in (0, None) for account in own)
    if wrong:
        raise typer.Exit(1)


def row(account: Account) -> tuple[str, ...]:
    """An account's line."""
    counts, difference = account.counts, account.difference
    numbers = (
        account.first, account.through, account.came, account.judged, counts.not_ready, counts.late, account.repeated, account.passed,
        account.letters,
    )  # fmt: skip
    return (str(account.partition), *(f"{number:,}" for number in numbers), "-" if difference is None else f"{difference:,}")


def words(account: Account) -> list[str]:
    """What is to be said of an account below its line."""
    where = f"  partition {account.partition}: "
    if account.difference is None:
        return [where + f"the log begins at {account.begin:,}, the fold at {account.first:,}: what is gone cannot be counted again"]
    said = []
    if account.refused != account.letters:
        said.append(where + f"{account.refused:,} readings cannot be read, {account.letters:,} are among the dead letters (retention?)")
    if account.came - account.refused != account.counts.events + account.counts.skipped:
        came, folded = account.came - account.refused, account.counts.events + account.counts.skipped
        said.append(where + f"{came:,} readings can be read, {folded:,} were folded")
    return said


def table(rows: list[tuple[str, ...]]) -> list[str]:
    """Lines with columns under each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  " + "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in rows]


def _committed(client: Any, settings: Settings, name: str) -> dict[int, Any]:
    """The group's position in each partition of a stream's source, by number; None where it has none."""
    from kafka import TopicPartition

    from streams import topics
    from streams.cli import brokers
    from streams.cli.cold import group_of

    topic, group = settings.kafka.prefix + topics.source(name), group_of(settings)
    many = brokers.partitions_of(client, {topic: None})[topic]
    if many is None:
        raise UserError(f"topic {topic} is missing: nilometer topics create")
    committed = brokers.patiently(lambda: client.list_group_offsets(group)).get(group, {})
    return {number: committed.get(TopicPartition(topic, number)) for number in range(many)}


async def _accounts(settings: Settings, definitions: dict[str, Definition], there: dict[str, dict[int, Any]]) -> list[Account]:
    from aiokafka.errors import KafkaError

    from streams import topics
    from streams.cli.brokers import unreachable
    from streams.reconciliation import count, credit
    from streams.transport.kafka_logs import KafkaLogs
    from streams.transport.security import client_options

    prefix, accounts = settings.kafka.prefix, []
    try:
        async with KafkaLogs(client_options(settings.kafka)) as logs:
            for name, commits in there.items():
                for number, commit in commits.items():
                    if commit is None or commit.offset < 0 or not commit.metadata:
                        continue
                    place = prefix + topics.source(name), number
                    account = await _account(logs, definitions[name], place, prefix + topics.checkpoints(name), commit)
                    await count(account, logs.chunks(*place, max(account.begin, account.first), account.through), definitions[name].decode)
                    accounts.append(account)
            letters = await logs.read_to_end(prefix + topics.DEAD_LETTERS, 0)
            credit(accounts, {name: prefix + topics.source(name) for name in there}, (record.headers for record in letters.records))
    except (KafkaError, TimeoutError) as problem:
        raise UserError(unreachable(settings, problem)) from problem
    return accounts


async def _account(logs: KafkaLogs, stream: Definition, source: Place, shelves: str, commit: Any) -> Account:
    """An account with what the last checkpoint says, and nothing counted yet."""
    from streams.durable.manifest import Shelf
    from streams.durable.store import Stored
    from streams.reconciliation import Account

    there = await logs.read_to_end(shelves, source[1])
    shelf = Shelf(Stored(record.offset, record.key, record.value) for record in there.records)
    manifest = shelf.manifest(commit.metadata)
    data = None if manifest is None else shelf.data(commit.metadata, manifest)
    if data is None:
        raise UserError(f"{shelves}/{source[1]}: checkpoint {commit.metadata} is not there; a worker may just have replaced it: try again")
    part = stream.partition(source[1])
    part.thaw(data)
    return Account(stream.name, source[1], part.first, await logs.begin(*source), part.next, part.counts)
