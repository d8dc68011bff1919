"""`nilometer replay`: a file's rows into a topic, as gateways would send them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.options import ConfigFile, settings_of
from streams.errors import UserError

if TYPE_CHECKING:
    from config.settings import Settings
    from streams.layouts import TableBatch

DELIVERY_SECONDS = 60.0  # how long a broker that is away is waited for


def replay(
    file: Annotated[Path, typer.Argument(help="CSV, Parquet or JSON lines.", exists=True, dir_okay=False, show_default=False)],
    topic: Annotated[str, typer.Option("--topic", metavar="T", help="The source topic, without the prefix: sensor.readings, …")],
    speed: Annotated[
        float | None, typer.Option(min=0, help="Event time over time: 1 as it happened, 3600 an hour a second. Without: flat out.")
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Send a file's rows to a source topic, keyed and dealt to partitions as Kafka's clients do (murmur2), stamped with now.

    Rows that cannot be read are sent as they are: the worker's dead letters say why. Event times may be years back: the records
    themselves are stamped with the present, or the topic's retention would delete them.
    """
    settings = settings_of(config)
    from streams.topics import SOURCES

    stream = {source: name for name, source in SOURCES.items()}.get(topic)
    if stream is None:
        raise UserError(f"--topic {topic}: wanted one of {', '.join(SOURCES.values())}")
    if speed == 0:
        raise UserError("--speed 0: wanted more; leave it out to send flat out")
    started = time.monotonic()
    sent = _send(stream, file, settings, settings.kafka.prefix + topic, speed)
    seconds = time.monotonic() - started
    typer.echo(f"{sent:,} records to {settings.kafka.prefix}{topic} in {seconds:.1f} s ({sent / max(seconds, 1e-9):,.0f} a second)")


def _send(stream: str, file: Path, settings: Settings, topic: str, speed: float | None) -> int:
    from kafka import KafkaProducer
    from kafka.errors import KafkaError
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from streams.cli import brokers
    from streams.tabular import count_rows, read
    from streams.transport.security import client_options

    with brokers.admin(settings) as client:  # a producer would wait for the topic
        if brokers.partitions_of(client, {topic: None})[topic] is None:
            raise UserError(f"topic {topic} is missing: nilometer topics create")
    try:
        producer = KafkaProducer(
            **client_options(settings.kafka),
            bootstrap_timeout_ms=brokers.PATIENCE_MS,
            max_block_ms=int(DELIVERY_SECONDS * 1000),
            delivery_timeout_ms=int(DELIVERY_SECONDS * 1000),
            request_timeout_ms=int(DELIVERY_SECONDS * 500),
            linger_ms=20,
            batch_size=1 << 18,
        )
    except KafkaError as problem:
        raise UserError(brokers.unreachable(settings, problem)) from problem
    failures: list[BaseException] = []
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    sent = 0
    try:
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task(f"sending to {topic}", total=count_rows(file))
            for key, value in _paced(read(stream, file, settings), speed, lambda: producer.flush(DELIVERY_SECONDS)):
                # A row without a key goes where `backtest` puts it.
                producer.send(topic, value, key=key, partition=None if key is not None else 0).add_errback(failures.append)
                sent += 1
                if sent % 1_000 == 0:
                    progress.update(task, completed=sent)
                    _raise(failures, sent)
            producer.flush(DELIVERY_SECONDS)
        _raise(failures, sent)
    except KafkaError as problem:
        raise UserError(f"after {sent:,} records: {problem}") from problem
    finally:
        producer.close(timeout=5)
    return sent


def _paced(batches: Iterator[TableBatch], speed: float | None, before_sleep: Any) -> Iterator[tuple[bytes | None, bytes]]:
    """The rows' records, each when its event time has come; a row without a time goes with the one before it."""
    begin: tuple[float, int] | None = None  # the clock and the event time (µs) of the first row
    for batch in batches:
        at = dict(zip(batch.rows.tolist(), batch.columns.at.tolist(), strict=True)) if speed else {}
        for place in range(len(batch)):
            if speed and place in at:
                begin = begin or (time.monotonic(), at[place])
                ahead = begin[0] + (at[place] - begin[1]) / 1e6 / speed - time.monotonic()
                if ahead > 0.05:
                    before_sleep()
                if ahead > 0.001:
                    time.sleep(ahead)
            yield batch.record(place)


def _raise(failures: list[BaseException], sent: int) -> None:
    if failures:
        raise UserError(f"a record was not taken, among the first {sent:,}: {failures[0]}") from failures[0]
