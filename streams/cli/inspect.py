"""`nilometer inspect`: what is kept of one key, from its partition's last checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.options import ConfigFile, StreamName, known, settings_of
from streams.errors import UserError

if TYPE_CHECKING:
    from streams.definitions import Definition
    from streams.savepoints.exports import Current


def inspect(
    stream: StreamName,
    key: Annotated[str, typer.Argument(metavar="KEY", help="The sensor, card, employee or source.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line for each key, to be read by a program.")] = False,
    config: ConfigFile = None,
) -> None:
    """Show what is kept of a key, from the last checkpoint of its partition: workers are ahead of it by an interval.

    Of `errors` there may be several: one for each class, segment and version of the source.
    """
    known(stream)
    settings = settings_of(config)
    import msgspec

    from streams.cli import brokers, outside
    from streams.configured import definition
    from streams.savepoints import exports
    from streams.transport.broker import partition_of_key

    places, what = exports.Places(stream, settings.kafka.prefix), definition(stream, settings)
    with outside.store(settings) as store:
        number = partition_of_key(key.encode(), brokers.there(store.client, places.source(0)[0]))
        current = outside.finish(exports.current(store, places, number))
    found = seen(what, number, current, key)
    if not found:
        where = f"{places.source(0)[0]}/{number} at {current.manifest.offset}"
        raise UserError(f"nothing is kept of {stream}/{key} in checkpoint {current.name} of {where}: never seen, forgotten, or evicted")
    for each in found:
        if as_json:
            typer.echo(msgspec.json.encode(each).decode())
        else:
            show(each)


def seen(stream: Definition, number: int, current: Current, key: str) -> list[dict[str, Any]]:
    """What a checkpoint holds of a key, and of those that are it with more behind a separator.

    Raises
    ------
    UserError
        The state is of other settings, or of a newer build.
    """
    from state import snapshot
    from streams.described import DESCRIBE, episodes_of
    from streams.savepoints.by_key import cut_out, lengths

    part = stream.partition(number)
    try:
        part.thaw(current.data)
    except snapshot.SnapshotError as problem:
        raise UserError(f"checkpoint {current.name}: {problem}") from problem
    sections = snapshot.unpack(part.freeze())
    order = part.state.keys.order().tolist()
    where = {
        "partition": number, "offset": current.manifest.offset, "checkpoint": current.name,
        "event_time": _when(part.episodes.event_time), "last_cut": part.last_cut,
    }  # fmt: skip
    extents = lengths(stream.detector, sections)
    found = []
    for slot in part.state.keys.beginning(key.encode(), b"\x1f"):
        own = cut_out(sections, extents, order.index(slot))
        told = DESCRIBE[stream.detector.name](stream.detector, own)
        episodes = episodes_of(stream.detector, own["episodes"].arrays)
        found.append({"stream": stream.name, **stream.parts(part.state.keys.key(slot)), **told, "episodes": episodes, "from": where})
    return found


def show(told: Mapping[str, Any]) -> None:
    """Print what is known of a key as a table, with what belongs together under its own heading."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None)
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    for name, value in told.items():
        for label, text in _lines(name.replace("_", " "), value):
            table.add_row(label, text)
    console.print(table)


def _lines(name: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, Mapping):
        lines = [line for label, each in value.items() for line in _lines(str(label).replace("_", " "), each)]
        return [(name, "")] + [(f"  {label}", text) for label, text in lines]
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        return [line for i, each in enumerate(value, 1) for line in _lines(f"{name} {i}", each)]
    if isinstance(value, list):
        return [(name, ", ".join(_text(each) for each in value) or "none")]
    return [(name, _text(value))]


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}" if isinstance(value, float) else str(value)


def _when(at: int) -> str | None:
    from streams.described import when

    return when(at)
