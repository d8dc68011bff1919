"""`nilometer explain`: why there is an alert, from its own evidence."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.options import ConfigFile, settings_of
from streams.errors import UserError

if TYPE_CHECKING:
    from config.settings import Settings


def explain(
    alert: Annotated[str, typer.Argument(metavar="ALERT", help="Its id or how that begins; -: one from stdin.", show_default=False)],
    alerts: Annotated[
        Path | None, typer.Option("--alerts", metavar="FILE", help="Look in these JSON lines (a backtest's alerts.jsonl).")
    ] = None,
    plot: Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="Draw it into a file, too: out.png, .svg, .pdf.")] = None,
    config: ConfigFile = None,
) -> None:
    """Say why there is an alert: reasons, numbers, the readings against their normal model, the digits against their reference.

    Everything comes from the alert: the stream is not asked. Without --alerts it is looked for in the alert topics.
    """
    from rich.console import Console

    from streams.explained import words

    found = _found(alert, alerts, config)
    console = Console(soft_wrap=True, highlight=False)
    for line in words.explained(found, console.width):
        console.print(line)
    if plot is not None:
        from streams.explained.plot import save

        save(found, plot)
        typer.echo(f"drawn into {plot}", err=True)


def _found(alert: str, alerts: Path | None, config: Path | None) -> Mapping[str, Any]:
    from streams.explained.find import find, read

    if alert == "-":
        text = sys.stdin.buffer.read()
        said = read(text) or read(text.strip().split(b"\n")[0])
        if said is None:
            raise UserError("stdin holds no alert: wanted one as it stands in an alert topic or in a line of alerts.jsonl")
        return said
    if alerts is not None:
        with alerts.open("rb") as lines:
            return find(alert, lines, str(alerts))
    settings = settings_of(config)
    where = ", ".join(f"{settings.kafka.prefix}alerts.{name}" for name in settings.streams.enabled)
    return find(alert, _in_topics(settings), f"{where}: is it older than they are kept for?")


def _in_topics(settings: Settings) -> Iterator[bytes]:
    from streams import topics
    from streams.cli import brokers, reading

    names = [settings.kafka.prefix + topics.alerts(name) for name in settings.streams.enabled]
    with brokers.admin(settings) as client, reading.reader(settings) as consumer:
        for topic, many in brokers.partitions_of(client, dict.fromkeys(names)).items():
            for partition in range(many or 0):
                for record in reading.to_end(consumer, topic, partition):
                    if record.value is not None:
                        yield record.value
