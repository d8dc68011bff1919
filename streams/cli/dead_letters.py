"""`nilometer dead-letters`: what could not be read, looked at and sent once more."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.options import ConfigFile, settings_of
from streams.dead_letters import LETTER_FOR
from streams.errors import UserError

if TYPE_CHECKING:
    from config.settings import Settings

SHOWN_BYTES = 60

commands = typer.Typer(no_args_is_help=True, help="Look at records that could not be read and alerts that nobody took; send them again.")
Stream = Annotated[str | None, typer.Option("--stream", metavar="NAME", help="Only letters from this stream's source: sensors, cards, …")]


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter as it lies in its topic at `at`: where it came from, why, and the bytes; `whole` unless they were cut off.

    `headers` go with it when it is sent once more: for which of the relay's destinations it is meant.
    """

    at: int
    topic: str
    partition: int
    offset: int
    reason: str
    key: bytes | None
    value: bytes | None
    whole: bool
    headers: tuple[tuple[str, bytes], ...] = ()

    def line(self) -> str:
        """As it is listed."""
        shown = "null" if self.value is None else self.value[:SHOWN_BYTES].decode("utf-8", "backslashreplace")
        words = " ".join(shown.split()) + ("…" if self.value is not None and len(self.value) > SHOWN_BYTES else "")
        return f"{self.at}  {self.topic}/{self.partition}@{self.offset}  {self.reason}  {words}"


@commands.command("list")
def list_(
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="The newest N.")] = 20,
    stream: Stream = None,
    config: ConfigFile = None,
) -> None:
    """List letters, the newest last: its own offset, topic/partition@offset it came from, the reason, its first bytes."""
    settings = settings_of(config)
    found = deque(wanted(letters(settings), settings, stream), maxlen=limit)
    for letter in found:
        typer.echo(letter.line())
    if not found:
        typer.echo("no dead letters", err=True)


@commands.command()
def redrive(
    stream: Stream = None,
    reason: Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Only where the reason holds this text.")] = None,
    start: Annotated[int, typer.Option("--from", metavar="OFFSET", min=0, help="Only letters from this offset (see list) on.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent, and send nothing.")] = False,
    config: ConfigFile = None,
) -> None:
    """Send letters, bytes and key as they came, back to the topic and partition they came from, stamped with now.

    One that a destination of the relay did not take goes to that destination alone: a webhook gets it as it came, Alertmanager is told
    how its episode stands now. Letters stay where they are: the last line says from which offset to go on next time, so that none is
    sent twice. What still cannot be read comes back as a new letter. A letter that was too large to be kept whole is left out.
    """
    settings = settings_of(config)
    chosen = [each for each in wanted(letters(settings, start), settings, stream) if reason is None or reason in each.reason]
    whole = [letter for letter in chosen if letter.whole]
    if len(whole) < len(chosen):
        typer.echo(f"{len(chosen) - len(whole)} left out: only their beginning was kept", err=True)
    if dry_run:
        for letter in whole:
            typer.echo(letter.line())
        typer.echo(f"{len(whole)} would be sent")
        return
    _send(settings, whole)
    on = f"; go on with --from {chosen[-1].at + 1}" if chosen else ""
    typer.echo(f"{len(whole)} sent{on}")


def letters(settings: Settings, start: int = 0) -> Iterator[Letter]:
    """All letters from an offset on; what lies in the topic without our headers is passed over.

    Raises
    ------
    UserError
        No broker answers, or there is no such topic.
    """
    from streams.cli import brokers, reading
    from streams.topics import DEAD_LETTERS

    topic = settings.kafka.prefix + DEAD_LETTERS
    with brokers.admin(settings) as client:
        many = brokers.partitions_of(client, {topic: None})[topic]
        if many is None:
            raise UserError(f"topic {topic} is missing: nilometer topics create")
        with reading.reader(settings) as consumer:
            for number in range(many):
                for record in reading.to_end(consumer, topic, number, start):
                    letter = read(record.offset, record.headers, record.key, record.value)
                    if letter is not None:
                        yield letter


def read(at: int, headers: Iterable[tuple[str, bytes]], key: bytes | None, value: bytes | None) -> Letter | None:
    """A record of the topic as a letter; None if it is none of ours."""
    said = {name: content.decode("utf-8", "replace") for name, content in headers if content is not None}
    try:
        return Letter(
            at,
            said["nilometer-topic"],
            int(said["nilometer-partition"]),
            int(said["nilometer-offset"]),
            said["nilometer-reason"],
            key,
            value,
            "nilometer-cut-from" not in said,
            ((LETTER_FOR, said[LETTER_FOR].encode()),) if LETTER_FOR in said else (),
        )
    except (KeyError, ValueError):
        return None


def wanted(found: Iterable[Letter], settings: Settings, stream: str | None) -> Iterator[Letter]:
    """Those of a stream; of all, without one.

    Raises
    ------
    UserError
        There is no such stream.
    """
    from streams.topics import SOURCES

    if stream is not None and stream not in SOURCES:
        raise UserError(f"--stream {stream}: wanted one of {', '.join(SOURCES)}")
    topic = None if stream is None else settings.kafka.prefix + SOURCES[stream]
    return (letter for letter in found if topic is None or letter.topic == topic)


def _send(settings: Settings, whole: list[Letter]) -> None:
    from kafka.errors import KafkaError

    from streams.cli import brokers

    if not whole:
        return
    with brokers.admin(settings) as client:
        there = brokers.partitions_of(client, dict.fromkeys(letter.topic for letter in whole))
        for letter in whole:  # a producer would wait for a topic that is not there
            if letter.partition >= (there[letter.topic] or 0):
                raise UserError(f"{letter.topic}/{letter.partition} is not there any more; nothing was sent")
        with brokers.producer(settings) as producer:
            sent: list[Any] = [
                producer.send(each.topic, each.value, key=each.key, partition=each.partition, headers=list(each.headers)) for each in whole
            ]
            producer.flush(brokers.DELIVERY_SECONDS)
            for number, delivery in enumerate(sent):
                try:
                    delivery.get(timeout=brokers.DELIVERY_SECONDS)
                except KafkaError as problem:
                    raise UserError(f"the letter at {whole[number].at} was not taken, {number} before it were: {problem}") from problem
