"""`nilometer replay`: a file's rows into a topic, as gateways would send them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.options import ConfigFile, settings_of
from streams.errors import UserError

if TYPE_CHECKING:
    from config.settings import Settings
    from streams.decoding.layouts import TableBatch

Speed = Annotated[
    float | None, typer.Option("--speed", min=0, help="Event time over time: 1 as it happened, 3600 an hour a second. Without: flat out.")
]
LabelDelay = Annotated[
    str, typer.Option("--label-delay", metavar="TIME", help="How late labels come: 7d, 12h, 30m, 10s (only for card.labels).")
]


def replay(
    file: Annotated[Path, typer.Argument(help="CSV, Parquet or JSON lines.", exists=True, dir_okay=False, show_default=False)],
    topic: Annotated[
        str, typer.Option("--topic", metavar="T", help="The topic, without the prefix: sensor.readings, … or card.labels (column label).")
    ],
    speed: Speed = None,
    label_delay: LabelDelay = "7d",
    config: ConfigFile = None,
) -> None:
    """Send a file's rows to a source topic, keyed and dealt to partitions as Kafka's clients do (murmur2), stamped with now.

    Rows that cannot be read are sent as they are: the worker's dead letters say why. Event times may be years back: the records
    themselves are stamped with the present, or the topic's retention would delete them.
    """
    send(file, topic, speed, label_delay, settings_of(config))


def stream_of(topic: str) -> str:
    """The stream whose rows, or whose rows' labels, a topic takes."""
    from streams.topics import CARD_LABELS, SOURCES

    streams = {source: name for name, source in SOURCES.items()} | {CARD_LABELS: "cards"}
    if topic not in streams:
        raise UserError(f"--topic {topic}: wanted one of {', '.join(streams)}")
    return streams[topic]


def send(file: Path, topic: str, speed: float | None, label_delay: str, settings: Settings) -> None:
    """Send a file's rows to a topic (its name without the prefix), and say how many and how fast."""
    from streams.topics import CARD_LABELS

    stream = stream_of(topic)
    delay = _duration(label_delay) if topic == CARD_LABELS else None
    if speed == 0:
        raise UserError("--speed 0: wanted more; leave it out to send flat out")
    started = time.monotonic()
    sent = _send(stream, file, settings, settings.kafka.prefix + topic, speed, delay)
    seconds = time.monotonic() - started
    typer.echo(f"{sent:,} records to {settings.kafka.prefix}{topic} in {seconds:.1f} s ({sent / max(seconds, 1e-9):,.0f} a second)")


def _send(stream: str, file: Path, settings: Settings, topic: str, speed: float | None, label_delay: int | None) -> int:
    from kafka.errors import KafkaError
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from streams.cli import brokers
    from streams.decoding.tabular import count_rows, read

    with brokers.admin(settings) as client:  # a producer would wait for the topic
        if brokers.partitions_of(client, {topic: None})[topic] is None:
            raise UserError(f"topic {topic} is missing: nilometer topics create")
    failures: list[BaseException] = []
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    sent = 0
    try:
        with (
            brokers.producer(settings, linger_ms=20, batch_size=1 << 18) as producer,
            Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress,
        ):
            task = progress.add_task(f"sending to {topic}", total=count_rows(file))
            flush = partial(producer.flush, brokers.DELIVERY_SECONDS)
            for key, value in paced(read(stream, file, settings), speed, flush, label_delay):
                # A row without a key goes where `backtest` puts it.
                producer.send(topic, value, key=key, partition=None if key is not None else 0).add_errback(failures.append)
                sent += 1
                if sent % 1_000 == 0:
                    progress.update(task, completed=sent)
                    _raise(failures, sent)
            flush()
            _raise(failures, sent)
    except KafkaError as problem:
        raise UserError(f"after {sent:,} records: {problem}") from problem
    return sent


def paced(
    batches: Iterator[TableBatch], speed: float | None, before_sleep: Any, label_delay: int | None = None
) -> Iterator[tuple[bytes | None, bytes]]:
    """The rows' records, each when its event time has come; a row without a time goes with the one before it.

    With a delay (microseconds) they are the rows' labels instead, each so much later than its transaction; rows that cannot be
    read or have no label have none.
    """
    begin: tuple[float, int] | None = None  # the clock and the event time (µs) of the first row
    for batch in batches:
        at = dict(zip(batch.rows.tolist(), batch.columns.at.tolist(), strict=True)) if speed or label_delay is not None else {}
        labels = _labels(batch, at, label_delay) if label_delay is not None else {}
        for place in range(len(batch)):
            if speed and place in at:
                begin = begin or (time.monotonic(), at[place])
                ahead = begin[0] + (at[place] + (label_delay or 0) - begin[1]) / 1e6 / speed - time.monotonic()
                if ahead > 0.05:
                    before_sleep()
                if ahead > 0.001:
                    time.sleep(ahead)
            if label_delay is None:
                yield batch.record(place)
            elif place in labels:
                yield batch.keys[place], labels[place]


def _labels(batch: TableBatch, at: dict[int, int], delay: int) -> dict[int, bytes]:
    """Label records by the place of their transaction."""
    import msgspec

    from streams.decoding.times import written

    if batch.label is None:
        raise UserError("the file has no column label")
    made = {}
    for row, place in enumerate(batch.rows.tolist()):
        label, key = batch.label[place], batch.keys[place]
        if label == label and key is not None:
            made[place] = msgspec.json.encode(
                {
                    "card_id": key.decode(),
                    "transaction_id": batch.texts["transaction_id"][row],
                    "label": int(label > 0),
                    "at": written(at[place] + delay),
                }
            )
    return made


def _duration(text: str) -> int:
    """A duration such as 7d in microseconds."""
    units = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
    number, unit = text[:-1], text[-1:]
    if unit not in units or not number.isdecimal():
        raise UserError(f"--label-delay {text}: wanted a whole number of days, hours, minutes or seconds: 7d, 12h, 30m, 10s")
    return int(number) * units[unit] * 1_000_000


def _raise(failures: list[BaseException], sent: int) -> None:
    if failures:
        raise UserError(f"a record was not taken, among the first {sent:,}: {failures[0]}") from failures[0]
