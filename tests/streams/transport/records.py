"""Records as hypothesis draws them, and logs filled with them."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import strategies as st

from streams.transport.log import Log, Record


class Drawn(NamedTuple):
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    timestamp_ms: int


contents = st.none() | st.just(b"") | st.binary(max_size=20)
headers = st.just(()) | st.lists(st.tuples(st.text(max_size=5), contents), max_size=3).map(tuple)
drawn_records = st.lists(st.builds(Drawn, contents, contents, headers, st.integers(-1, 2**41)), max_size=40)


def filled(drawn: list[Drawn], hole: frozenset[int] = frozenset()) -> tuple[Log, list[Record]]:
    """A log of these records (the offsets in `hole` stay empty, as after a transaction), and what must be read from it."""
    log, expected = Log("topic", 3), []
    for record in drawn:
        while log.end in hole:
            log.end += 1
        offset = log.append(*record)
        expected.append(Record("topic", 3, offset, record.timestamp_ms, record.key, record.value, record.headers))
    while log.end in hole:
        log.end += 1
    return log, expected


def rows(chunk) -> list[Record]:
    """A chunk's records, cell by cell."""
    return [
        Record(
            chunk.topic,
            chunk.partition,
            int(chunk.offsets[row]),
            int(chunk.timestamps[row]),
            chunk.key(row),
            chunk.value(row),
            tuple(chunk.headers(row)),
        )
        for row in range(len(chunk))
    ]
