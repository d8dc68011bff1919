"""Where an event was born, as a header: on what we write into a topic that we fold ourselves.

A record that a worker writes twice, before a crash and after it, carries the same origin twice; the fold that reads it skips what is
not above the highest origin that it has seen of that upstream partition. The state keeps one for each: so only the topic that we forward
from may be named, and partitions below 10,000, whatever somebody else writes there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from detectors.protocol import Ints
from streams import topics
from streams.decoding.refusals import Refusals, shown
from streams.partition import Origins
from streams.transport.chunk import Chunk, no_headers

HEADER = "nilometer-origin"
_UPSTREAM = topics.source("cards")
_WRITTEN = re.compile(rb"(%s)/(\d{1,4})/(\d{1,18})/(\d{1,9})\Z" % re.escape(_UPSTREAM.encode()))


def headers(born: Origins) -> Iterator[tuple[str, bytes]]:
    """Origins as headers: ``card.transactions/3/48213/0``, the topic without our prefix."""
    places = [f"{topic}/{partition}" for topic, partition in born.sources]
    for source, offset, index in zip(born.source.tolist(), born.offset.tolist(), born.index.tolist(), strict=True):
        yield HEADER, f"{places[source]}/{offset}/{index}".encode()


def of_chunk(chunk: Chunk, rows: Ints, refusals: Refusals) -> Origins:
    """Where the records at `rows` were born: where their header says, else where they stand; a header that says nothing is refused."""
    origins = Origins.of_record(chunk.topic, chunk.partition, chunk.offsets[rows], np.zeros(len(rows), np.int64))
    if chunk.headers is no_headers:
        return origins
    numbers = {origins.sources[0]: 0}
    for place, row in enumerate(rows.tolist()):
        for name, value in chunk.headers(row):
            if name != HEADER:
                continue
            told = _WRITTEN.match(value or b"")
            if told is None:
                refusals.add(place, f"header {HEADER} = {shown(value)}: wanted {_UPSTREAM}/partition/offset/index")
                break
            topic, partition, offset, index = told.groups()
            source = (topic.decode(), int(partition))
            origins.source[place] = numbers.setdefault(source, len(numbers))
            origins.offset[place], origins.index[place] = int(offset), int(index)
    origins.sources = list(numbers)
    return origins
