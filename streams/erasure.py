"""One card's, employee's, sensor's or source's state is forgotten: asked for once, adopted by every partition at a cut.

A request names the key by its digest, so that neither the topic of requests nor a cut log bears what is to be forgotten. (Who knows all
the keys there may be can find it by trying: a digest hides a name from readers, not from searchers.) A cut says
``{"erase": {"through": 3, "keys": ["9f…"]}}``: everything below offset 3 of `nilometer.erasures.<stream>` has been adopted. So a replay
forgets at the same event, and a state from before the cut, restored or imported, forgets again.
"""

from __future__ import annotations

import hashlib
import logging
from bisect import bisect_left
from collections.abc import AsyncIterator, Collection, Iterator
from typing import Any

import msgspec
import numpy as np

from detectors.protocol import Ints
from state.keys import KeyIndex
from streams.transport.log import Record

logger = logging.getLogger("streams.erasure")
SEPARATOR = b"\x1f"  # between the parts of a key of the state; the first is the one that people know
AT_ONCE = 10_000  # requests in one cut: it stays below a broker's largest record


class Request(msgspec.Struct, frozen=True):
    """One key to forget; `asked` is RFC 3339, for people."""

    key: str
    asked: str


_decode = msgspec.json.Decoder(Request).decode


def digest(key: bytes) -> str:
    """What stands for a key in requests and cuts.

    >>> digest(b"card 17")
    '5017ec89e227dcbfa4f32ca05905cfcd'
    """
    return hashlib.blake2b(key, digest_size=16, person=b"nilometer erase").hexdigest()


def slots_of(keys: KeyIndex, digests: Collection[str]) -> Ints:
    """The slots of the keys that are meant, and of those that are one of them with more behind a separator; looks at every key."""
    wanted = frozenset(digests)
    slots = keys.slots()
    return slots[np.flatnonzero([meant(wanted, name) for name in keys.packed(slots).tolist()])]


def meant(digests: Collection[str], key: bytes) -> bool:
    """Whether a key, or what of it stands before a separator, is among those with these digests."""
    return any(digest(head) in digests for head in _heads(key))


def _heads(name: bytes) -> Iterator[bytes]:
    """A key, and what of it stands before each separator."""
    yield name
    while (end := name.rfind(SEPARATOR)) >= 0:
        name = name[:end]
        yield name


class Asked:
    """The requests of a stream, as far as they have been read: each partition adopts those that its state has not."""

    def __init__(self) -> None:
        self._asked: list[tuple[int, str]] = []

    def add(self, offset: int, key: str | None) -> None:
        """Note what stands at an offset of the topic; None where it is no request."""
        if key is not None:
            self._asked.append((offset, key))

    def due(self, through: int) -> dict[str, Any] | None:
        """What a state that has adopted everything below `through` has still to adopt; None if nothing."""
        first = bisect_left(self._asked, (through, ""))
        if first == len(self._asked):
            return None
        waiting = self._asked[first : first + AT_ONCE]
        return {"through": waiting[-1][0] + 1, "keys": sorted({key for _, key in waiting})}


async def keep_reading(records: AsyncIterator[Record], asked: Asked) -> None:
    """Read the topic of requests for ever."""
    async for record in records:
        try:
            asked.add(record.offset, _decode(record.value or b"").key)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
            logger.warning("%s at %d is no request to forget a key: %s", record.topic, record.offset, problem)
            asked.add(record.offset, None)
