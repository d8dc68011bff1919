"""Floods: events straight into a partition's fold, of new keys or nearly all of one; `python -m tests.streams.floods` measures them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from config.load import load
from detectors.protocol import Columns, Floats, Ints
from state.keys import PackedKeys
from streams.configured import definition
from streams.partition import Origins, Outcome, Partition, run
from streams.telemetry.measuring import bytes_of

SECTIONS = {"sensors": "sensors", "cards": "cards", "employees": "benford", "errors": "calibration"}
BEGIN = 1_700_000_000_000_000  # microseconds
BATCH = 5_000


def partition(stream: str, key_limit: int, **overrides: Any) -> Partition:
    """A partition that keeps so many keys."""
    limit = {f"{SECTIONS[stream]}.key_limit": key_limit}
    return definition(stream, load(None, overrides=limit | overrides, environment={})).partition(0)


def batch(part: Partition, keys: Sequence[int], between: int, values: Floats | None = None, at: Ints | None = None) -> Outcome:
    """Fold one event of each key, in order, so many microseconds apart; `values` (of sensors, errors) and `at` where they matter."""
    first, n = part.counts.events, len(keys)
    chance = np.random.default_rng(first)
    fields: dict[str, Any] = {
        "sensors": lambda: {"value": chance.normal(size=n) if values is None else values, "class": np.full(n, -1)},
        "cards": lambda: {
            "amount": chance.integers(1, 10_000, n), "mode": np.zeros(n, np.int64), "address_match": np.full(n, -1),
            "credit_limit": np.full(n, -1), "merchant": chance.integers(0, 1_000, n), "transaction": chance.integers(0, 2**62, n),
        },
        "employees": lambda: {
            "amount": chance.integers(1, 100_000, n), "limit": np.full(n, -1), "approval_limit": np.full(n, -1),
        },
        "errors": lambda: {
            "error": chance.exponential(size=n) if values is None else values,
            "hardness": chance.exponential(size=n) if values is None else values + 1.0,
        },
    }[part.stream]()  # fmt: skip
    at = BEGIN + between * np.arange(first, first + n, dtype=np.int64) if at is None else at
    columns = Columns(PackedKeys.pack([b"key %d" % key for key in keys]), at, fields)
    offsets = np.arange(first, first + n)
    return run(part.fold(columns, Origins.of_record(part.topic, 0, offsets, np.zeros(n, np.int64)), first + n))


def resident() -> int:
    """Bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def new_keys(stream: str, many: int, key_limit: int) -> str:
    """So many keys that nobody has seen, one event each: what is held, how fast, and what memory that took after the first fifth."""
    part, evicted, warm, began = partition(stream, key_limit), 0, 0, time.perf_counter()
    for first in range(0, many, BATCH):
        evicted += batch(part, range(first, first + BATCH), 60).evicted
        if not warm and 5 * first >= many:
            warm = resident()
    rate = many / (time.perf_counter() - began)
    assert len(part.state.keys) <= key_limit
    assert evicted == many - len(part.state.keys)
    more = (resident() - warm) / 2**20
    held, size = len(part.state.keys), bytes_of(part.state) >> 20
    return f"{held:,} held, {evicted:,} evicted, {60 * rate:,.0f} a minute, {size} MiB, {more:+.1f} MiB later"


def poison(stream: str, many: int, others: int = 20) -> str:
    """Events a CPU-second where one key has nine in ten, and where all have as many; and what the one key's state takes."""
    rates = []
    for share in (0.9, 0.0, 0.9, 0.0):  # the first two warm up
        part, chance, seconds = partition(stream, 1_000), np.random.default_rng(1), 0.0
        for _ in range(0, many, BATCH):
            keys = chance.integers(1, others + 1, BATCH)
            keys[chance.random(BATCH) < share] = 0
            began = time.thread_time()
            batch(part, keys.tolist(), 60_000)
            seconds += time.thread_time() - began
        rates.append(many / seconds)
    part, sizes = partition(stream, 1_000), []
    for end in (many // 2, many):
        while part.counts.events < end:
            batch(part, [0] * BATCH, 60_000)
        sizes.append(bytes_of(part.state) >> 10)
    ratio = rates[2] / rates[3]
    return f"{rates[2]:,.0f} events/s of nine in ten, {rates[3]:,.0f} even: {ratio:.2f}; alone {sizes[0]} KiB, later {sizes[1]} KiB"


def main() -> None:
    for stream in SECTIONS:
        print(f"{stream:10} new keys: {new_keys(stream, 1_000_000, 20_000)}", flush=True)
        print(f"{stream:10} poison:   {poison(stream, 1_000_000)}", flush=True)


if __name__ == "__main__":
    main()
