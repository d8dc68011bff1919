"""`nilometer state export`, `import` and `repartition`: a stream's whole state as one file, and back."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import msgspec
import typer

from streams.cli.options import ConfigFile, StreamName, known, settings_of
from streams.errors import UserError

if TYPE_CHECKING:
    from streams.durable.manifest import Manifest
    from streams.savepoints.savepoint import Part

SavepointFile = Annotated[Path, typer.Argument(metavar="FILE", help="A savepoint.", show_default=False, exists=True, dir_okay=False)]
OutFile = Annotated[Path, typer.Option("--out", metavar="FILE", help="Where to write it.", show_default=False, dir_okay=False)]


def export(stream: StreamName, out: OutFile, config: ConfigFile = None) -> None:
    """Write a savepoint: the last checkpoint of every partition, and where each stands in its source and in its cut log.

    Workers may go on meanwhile. A backup, a point to go back to, and what a change of the number of partitions begins with.
    """
    known(stream)
    settings = settings_of(config)
    from streams import topics
    from streams.cli import brokers, outside
    from streams.configured import build
    from streams.savepoints import exports, savepoint

    places = exports.Places(stream, settings.kafka.prefix)
    with outside.store(settings) as store, tempfile.TemporaryFile(dir=out.resolve().parent) as bodies:
        brokers.there(store.client, places.source(0)[0])
        parts, signatures = outside.finish(_spool(exports.take(store, places), bodies))
        about = savepoint.Savepoint(
            stream=stream, topic=topics.source(stream), build=build(), made=datetime.now(UTC).isoformat(timespec="seconds"),
            partitions=len(parts), signatures=signatures, parts=parts,
        )  # fmt: skip
        bodies.seek(0)
        savepoint.write(out, about, _pieces(bodies))
    for part in parts:
        typer.echo(
            f"{places.source(part.partition)[0]}/{part.partition} at {part.offset}: checkpoint {part.checkpoint}, {part.length:,} bytes"
        )


def import_(
    stream: StreamName,
    file: SavepointFile,
    from_beginning: Annotated[bool, typer.Option("--from-beginning", help="The source was made anew: fold it from its beginning.")] = False,
    keyed_anew: Annotated[
        bool, typer.Option("--keyed-anew", help="What came behind a repartitioned savepoint was keyed for the new number of partitions.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Yes, the state may be replaced by that of the savepoint.")] = False,
    config: ConfigFile = None,
) -> None:
    """Put a savepoint in force: the workers go on from it when they are started.

    Every record behind it is folded again, with the cuts that were adopted then, so what was said is said again under the same ids.
    Stop every worker first, and use their configuration. Broken off, it can be done again.
    """
    known(stream)
    settings = settings_of(config)
    from streams.cli import brokers, cold, outside
    from streams.configured import definition
    from streams.savepoints import exports, savepoint

    about = savepoint.read(file)
    places, what = exports.Places(stream, settings.kafka.prefix), definition(stream, settings)
    with outside.store(settings, writes=True) as store:
        many = brokers.there(store.client, places.source(0)[0])
        exports.refuse_other(about, what, many)
        for topic in (places.cuts(0)[0], places.checkpoints(0)[0]):
            if brokers.there(store.client, topic) != many:
                raise UserError(f"{topic} has not as many partitions as {places.source(0)[0]}: nilometer topics check")
        for topic, _ in places.outside(0).values():
            brokers.there(store.client, topic)
        cold.refuse_members(store.client, settings)
        how = {"from_beginning": from_beginning, "keyed_anew": keyed_anew}
        for part, data in savepoint.states(file):  # all of them before the first is changed
            ready = outside.finish(exports.check(store, places, what, part, data, **how))
            if not yes:
                typer.echo(f"{places.source(0)[0]}/{part.partition} would go on at {ready.offset}")
        if not yes:
            raise UserError(f"the state of {stream} would be that of {about.made}: say so with --yes")
        for part, data in savepoint.states(file):
            ready = outside.finish(exports.check(store, places, what, part, data, **how))
            epoch, name = outside.finish(exports.put(store, places, ready, many, about.signatures))
            typer.echo(f"{places.source(0)[0]}/{part.partition} goes on at {ready.offset} (epoch {epoch}, checkpoint {name})")
    typer.echo("start the workers")


def repartition(
    stream: StreamName,
    file: SavepointFile,
    to: Annotated[int, typer.Option("--to", metavar="M", min=1, help="Partitions that the source has now.", show_default=False)],
    out: OutFile,
    config: ConfigFile = None,
) -> None:
    """Make a savepoint of another number of partitions: every key's state goes to where murmur2 now puts its records.

    From more to fewer, or where the topics were made anew, the import begins at the source's beginning. Where they have grown, it goes
    on behind what was folded: so let everything that was keyed for the old number be folded before the export. No broker is asked.
    """
    known(stream)
    settings = settings_of(config)
    from state.snapshot import SnapshotError
    from streams.configured import definition
    from streams.savepoints import exports, savepoint
    from streams.savepoints.repartition import SHARED_OUT, placed, repartitioned

    about, what = savepoint.read(file), definition(stream, settings)
    exports.refuse_other(about, what, about.partitions)
    if to == about.partitions:
        raise UserError(f"{file} has {to} partitions already")
    olds = []
    for part, data in savepoint.states(file):
        olds.append(what.partition(part.partition))
        try:
            olds[-1].thaw(data)
        except SnapshotError as problem:
            raise UserError(f"{file}, partition {part.partition}: {problem}") from problem
    grown, heads, bodies = to > about.partitions, [], []
    for made in repartitioned(what, olds, to):
        keys = len(made.state.keys)
        head, body = placed(made, about.parts[made.number] if made.number < len(about.parts) else None, grown)
        heads.append(head)
        bodies.append(body)
        typer.echo(f"partition {made.number}: {keys:,} keys, goes on at {'the beginning' if head.offset is None else head.offset}")
    savepoint.write(out, msgspec.structs.replace(about, partitions=to, parts=heads), bodies)
    typer.echo(f"{out}: {SHARED_OUT}")


async def _spool(parts: AsyncIterator[tuple[Part, bytes, Manifest]], bodies: BinaryIO) -> tuple[list[Part], dict[str, str]]:
    """Write parts one behind another; what is said of them, and the settings that they were all made with."""
    heads: list[Part] = []
    last: Manifest | None = None
    async for head, packed, manifest in parts:
        if last is not None and manifest.signatures != last.signatures:
            raise UserError("the partitions' states were made with different settings: let the workers make checkpoints of all of them")
        heads.append(head)
        bodies.write(packed)
        last = manifest
    return heads, {} if last is None else last.signatures


def _pieces(bodies: BinaryIO) -> Iterator[bytes]:
    while piece := bodies.read(1 << 20):
        yield piece
