"""Bytes made from sound ones: flipped, cut, spliced, doubled, and of JSON also field by field."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

EDGES = [0, 1, 0x0A, 0x22, 0x2C, 0x5B, 0x5C, 0x7B, 0x7D, 0x7F, 0x80, 0xC0, 0xED, 0xFF]
LONGEST = 20_000  # bytes; what is larger only costs time

# What stands in the place of a value: the ends of every range that a decoder believes in, and some beyond.
STRANGE: list[Any] = [
    None, True, False, 0, 1, -1, 0.0, -0.0, 5e-324, 1e15, 1.0000001e15, 1e300, -1e300, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 10**40,
    1e9, 1.7e9, -62135596801, 253402300800, 9e18, "", " ", "0", "1e400", "NaN", "-Infinity", "0x10", "1_0", "12.345", "1e-9",
    "9" * 400, "k", "\x00", "\x1f", "\ud800", "é" * 300, "k" * 5000,
    "1970-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00Z",
    "2024-02-30T00:00:00Z", "2024-01-01T00:00:60Z", "2024-01-01", [], [[]], {}, [1, None, "x"], [0.5] * 50, {"a": {"a": {}}},
]  # fmt: skip


def mutated(random: random.Random, seeds: Sequence[bytes]) -> bytes:
    """A sound record, changed once to a few times."""
    data = random.choice(seeds)
    if data[:1] in b"{[" and random.random() < 0.5:
        data = _fields(random, data)
        if random.random() < 0.7:
            return data[:LONGEST]
    out = bytearray(data)
    for _ in range(random.randint(1, 4)):
        _change(random, out, seeds)
    return bytes(out[:LONGEST])


def _change(random: random.Random, out: bytearray, seeds: Sequence[bytes]) -> None:
    at = random.randint(0, len(out))
    size = random.choice([1, 1, 1, 2, 4, 8, random.randint(1, 64)])
    what = random.randrange(8)
    if what == 0 and at < len(out):
        out[at] ^= 1 << random.randrange(8)
    elif what == 1 and at < len(out):
        out[at] = random.choice([*EDGES, random.randrange(256)])
    elif what == 2:
        del out[at:]
    elif what == 3:
        del out[at : at + size]
    elif what == 4:
        out[at:at] = bytes(random.choice(EDGES) for _ in range(size))
    elif what == 5:
        out[at:at] = out[max(0, at - size) : at] * random.choice([1, 2, 100])
    elif what == 6:
        other = random.choice(seeds)
        begin = random.randint(0, len(other))
        out[at : at + random.choice([0, size])] = other[begin : begin + random.choice([size, len(other)])]
    else:
        out[at : at + 8] = random.choice([2**31 - 1, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1, 0, 1]).to_bytes(
            8, random.choice(["big", "little"])
        )


def _fields(random: random.Random, data: bytes) -> bytes:
    """A JSON record with one value changed, left out, given twice or nested."""
    try:
        record = json.loads(data)
    except ValueError:
        return data
    holder: Any = record
    while isinstance(holder, dict | list) and holder:
        place = random.choice(sorted(holder)) if isinstance(holder, dict) else random.randrange(len(holder))
        if isinstance(holder[place], dict | list) and holder[place] and random.random() < 0.7:
            holder = holder[place]
            continue
        what = random.randrange(6)
        if what == 0:
            del holder[place]
        elif what == 1:
            holder[place] = [holder[place]] * random.choice([1, 2, 500])
        elif what == 2 and isinstance(holder[place], int | float):
            holder[place] = holder[place] * random.choice([-1, 0, 10, 0.5, 1e-3, 1e6, 1e12])
        else:
            holder[place] = random.choice(STRANGE)
        break
    text = json.dumps(record, ensure_ascii=random.random() < 0.5).encode("utf-8", "surrogatepass")
    return text.replace(b"Infinity", b"1e999") if random.random() < 0.5 else text
