"""What is fuzzed: sound inputs of each decoder, and what must hold of any others.

A target is called with bytes and returns; what its decoder may raise by its own word it catches, anything else is a finding. What the
four streams' decoders take is folded, too, by a partition with a small limit of keys, so that a hostile number meets the kernels.
"""

from __future__ import annotations

import io
import json
import struct
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import fastavro
import numpy as np
from aiokafka.errors import KafkaError

from config.load import ConfigError, in_toml, load
from config.settings import Settings
from state import snapshot
from state.snapshot import Section, SnapshotError
from streams import cuts
from streams.agents import labels, limits, verdicts
from streams.cli import dead_letters
from streams.configured import definition
from streams.decoding.avro import Reader
from streams.decoding.registry import NoSchema
from streams.durable import cut_log, manifest
from streams.durable.cut_log import Adoption, Begin, Generation
from streams.durable.manifest import CutPosition, Manifest, Shelf
from streams.durable.parked import Parked
from streams.durable.store import Stored
from streams.errors import UserError
from streams.partition import Partition, run
from streams.records import DECODERS
from streams.relay import alert
from streams.savepoints import savepoint
from streams.transport import batch_scan
from streams.transport.chunk import Chunk
from streams.transport.log import Record as LogRecord
from tests.fuzz.samples import ALERT, EVENTS, LETTER, OUTCOMES, PHRASES, READING, TOML
from tests.streams.chunks import STAMP, chunk_of
from tests.streams.transport import batches

MOST_KEYS = 40  # of a partition
KEYS = {"sensors": "sensor_id", "cards": "card_id", "employees": "employee_id", "errors": "source_id"}


@dataclass
class Target:
    """One decoder: what it is called, sound inputs, and a call of it."""

    name: str
    seeds: list[bytes]
    feed: Callable[[bytes], None]


def settings() -> Settings:
    """Defaults, but for the few keys that each partition keeps."""
    few = dict.fromkeys(("sensors", "cards", "benford", "calibration"), MOST_KEYS)
    return load(None, overrides={f"{section}.key_limit": limit for section, limit in few.items()}, environment={})


def all_targets() -> list[Target]:
    """Every decoder."""
    told = settings()
    streams = [_stream(name, told) for name in DECODERS]
    return [*streams, _avro(told), *_outcomes(), *_logs(), *_states(), *_batches(), *_others()]


class Folding:
    """A stream's decoder and a partition behind it; what is good must come through whatever stands beside it."""

    def __init__(self, stream: str, told: Settings) -> None:
        self.stream, self.settings, self.made = stream, told, definition(stream, told)
        self.part: Partition = self.made.partition(0)
        self._next = 100

    def __call__(self, value: bytes) -> None:
        sound = EVENTS[self.stream][0]
        self.chunk(chunk_of([(key_of(sound, self.stream), sound), (key_of(value, self.stream), value)], self._next), good={0})

    def chunk(self, chunk: Chunk, good: set[int] | None = None) -> None:
        """Decode and fold; every record becomes events or a letter."""
        decoded = self.made.decode(chunk)
        rows, letters = set(decoded.record.tolist()), {letter.offset - chunk.first for letter in decoded.dead}
        assert rows | letters == set(range(len(chunk))), "a record is neither an event nor a letter"
        assert not letters & (good or set()), "a sound record is refused"
        for letter in decoded.dead:
            dead_letters.read(0, letter.headers(), letter.key, letter.body())
        outcome = run(self.part.fold(decoded.columns, decoded.origins, chunk.next))
        assert len(outcome.verdicts) + outcome.skipped == len(decoded)
        assert len(self.part.state.keys) <= MOST_KEYS
        self._next = chunk.next


def key_of(value: bytes, stream: str) -> bytes:
    """The Kafka key that goes with a record, so that it is not refused for its key alone."""
    try:
        found = json.loads(value)[KEYS[stream]]
        return found.encode("utf-8", "surrogatepass") if isinstance(found, str) and found else b"k"
    except (ValueError, TypeError, KeyError, RecursionError):
        return b"k"


def _stream(name: str, told: Settings) -> Target:
    return Target(name, EVENTS[name], Folding(name, told))


class Known:
    """A registry that has one schema and answers at once."""

    def __contains__(self, number: int) -> bool:
        return True

    def schema(self, number: int) -> object:
        if number == 1:
            return fastavro.parse_schema(READING)
        raise NoSchema(f"no schema {number}")


def _avro(told: Settings) -> Target:
    folding = Folding("sensors", told)
    reader = Reader("sensors", Known(), folding.made.decode)  # type: ignore[arg-type]
    folding.made = folding.made.__class__(**{
        name: getattr(folding.made, name) for name in folding.made.__dataclass_fields__ if name != "decode"
    }, decode=reader.decode)  # fmt: skip
    seeds = []
    for reading in (
        {"sensor_id": "k", "at": 1.0, "value": 2.5, "values": None},
        {"sensor_id": "k", "at": 3.0, "value": None, "values": [1.0]},
    ):
        body = io.BytesIO()
        fastavro.schemaless_writer(body, READING, reading)
        seeds.append(b"\0" + struct.pack(">I", 1) + body.getvalue())

    def feed(value: bytes) -> None:
        folding.chunk(chunk_of([(b"k", b"\0\0\0\0\1" + value[5:]), (b"k", value)]))

    return Target("avro", seeds, feed)


def _outcomes() -> Iterator[Target]:
    def label(value: bytes) -> None:
        try:
            labels.read(value, STAMP * 1000)
        except labels.Unreadable:
            return

    def verdict(value: bytes) -> None:
        try:
            verdicts.read(LogRecord("alert.labels", 0, 7, STAMP, b"k", value, ()), "cards", 60.0)
        except ValueError:
            return

    def limit(value: bytes) -> None:
        try:
            limits.read(LogRecord("employee.limits", 0, 7, STAMP, value[:8], value, ()), 2, 60.0)
        except ValueError:
            return

    for name, feed in (("card.labels", label), ("alert.labels", verdict), ("employee.limits", limit)):
        yield Target(name, OUTCOMES[name], feed)


def _logs() -> Iterator[Target]:
    entries = [cut_log.encode(Begin(Generation(0, 3), 700)), cut_log.encode(Adoption(Generation(0, 3), 1, 900, {"population": {"n": 3}}))]

    def entry(value: bytes) -> None:
        try:
            list(cut_log.counting(0, [(0, entries[0]), (1, value), (2, value)]))
        except Parked:
            return

    yield Target("cut log", entries, entry)

    def lines(value: bytes) -> None:
        try:
            cuts.load(value.splitlines())
        except cuts.CutError:
            return

    yield Target("cuts file", [b"\n".join(cuts.dump(cuts.Cut(0, n, {"model": {"version": n}})) for n in range(3))], lines)


def _states() -> Iterator[Target]:
    arrays = {"a": np.arange(24, dtype=np.float64).reshape(2, 3, 4), "b": np.arange(5, dtype=np.int64), "c": np.zeros(0, np.uint8)}
    sections = {"one": Section(1, arrays, {"n": 3, "text": "x"}), "two": Section(2, {}, {"list": [1, [2]]})}
    packed = snapshot.pack(sections)

    def unpack(value: bytes) -> None:
        try:
            snapshot.unpack(value)
        except SnapshotError:
            return

    yield Target("snapshot", [packed, b"NILO" + struct.pack("<HI", 1, 1) + b"\x90"], unpack)
    squeezed = manifest.pack([memoryview(packed)])
    about = Manifest(
        offset=9, chunks=1, bytes=squeezed.bytes, digest=squeezed.digest, partitions=1, cuts=CutPosition(2, (0, 1), 1), before=None,
        signatures={"x": "y"},
    )  # fmt: skip

    def shelf(value: bytes) -> None:
        for told, chunk in ((value, squeezed.chunks[0]), (manifest.encode(about), value)):
            found = Shelf([Stored(0, b"t/0/m", told), Stored(1, b"t/0/0", chunk), Stored(2, value[:40], value)])
            try:
                written = found.manifest("t/0")
            except Parked:
                continue
            if written is not None and written.bytes <= 1 << 24 and written.chunks <= 1000:
                found.data("t/0", written)

    yield Target("checkpoint", [manifest.encode(about), squeezed.chunks[0]], shelf)
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    file = folder / "savepoint"
    head, body = savepoint.part(0, packed, offset=3, cuts=None, checkpoint="t/0")
    savepoint.write(
        file,
        savepoint.Savepoint(stream="cards", topic="card.transactions", build="b", made="m", partitions=1, signatures={}, parts=[head]),
        [body],
    )

    def read(value: bytes) -> None:
        rest = value.partition(b"\n")[2]
        line, newline, bodies = rest.partition(b"\n")
        # Under a right digest: what a damaged line says is believed by nobody, what a wrong one says must do no harm.
        sealed = b"nilometer savepoint 1 " + snapshot.digest(line).encode() + b"\n" + line + newline + bodies
        for whole in (value, sealed):
            file.write_bytes(whole)
            try:
                for _ in savepoint.states(file):
                    pass
            except UserError:
                continue

    yield Target("savepoint", [file.read_bytes()], read)


def _batches() -> Iterator[Target]:
    records = [batches.Record(n, [None, b"", b"k"][n % 3], b'{"a":1}' * n, 5 * n, [(b"h", b"x")] * (n % 3)) for n in range(6)]
    seeds = [batches.batch(records, codec=codec) for codec in range(5)]
    seeds += [batches.batch(records, attributes=batches.TRANSACTIONAL, producer=7) + batches.marker(6, 7, batches.ABORT)]
    seeds += [seeds[0] + batches.batch(records, 6), batches.batch([batches.Record(0, value=bytes(100_000))], codec=4)]

    def feed(value: bytes) -> None:
        sealed = batches.with_crc(value) if len(value) > batch_scan.HEADER else value
        for data in (value, sealed, seeds[0] + sealed):
            for committed in (False, True):
                try:
                    shown, _ = batches.read(data, aborted=[(7, 0)], committed=committed, largest=1 << 20, budget=1 << 20)
                except KafkaError:
                    continue
                assert len(shown) <= len(data) + (2 << 20), "more records than there can be"

    yield Target("record batches", seeds, feed)


def _others() -> Iterator[Target]:
    def header(value: bytes) -> None:
        names = ["nilometer-topic", "nilometer-partition", "nilometer-offset", "nilometer-reason", dead_letters.LETTER_FOR]
        parts = (value.split(b"\n") + [b""] * len(names))[: len(names)]
        found = dead_letters.read(1, list(zip(names, parts, strict=True)), value, value)
        if found is not None:
            found.line()

    yield Target("dead letters", [LETTER], header)

    def read(value: bytes) -> None:
        try:
            alert.read(LogRecord("alerts.cards", 0, 0, STAMP, b"k", value, ()))
        except ValueError:
            return
        alert.without_evidence(value)
        alert.ended_by_silence(alert.without_evidence(value), 60.0)

    yield Target("alerts", [ALERT], read)
    file = Path(tempfile.mkdtemp(prefix="fuzz-")) / "nilometer.toml"

    def config(value: bytes) -> None:
        file.write_bytes(value)
        try:
            in_toml(load(file, environment={}))
        except ConfigError:
            return

    yield Target("configuration", [TOML, *PHRASES], config)
