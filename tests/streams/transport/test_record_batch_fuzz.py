"""Pitfall 8: bytes changed at random under a right checksum. No crash, no foreign exception; where aiokafka reads them too, alike."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiokafka.errors import KafkaError

from tests.streams.transport.batches import (
    CONTROL,
    PACKED,
    TRANSACTIONAL,
    Record,
    Shown,
    aiokafka_reads,
    batch,
    encoded,
    marker,
    read,
    sealed,
    with_crc,
)
from tests.streams.transport.test_record_batches import corrupted

EXAMPLES = 4000
ROOT = Path(__file__).resolve().parents[3]


def small_batch(rng: np.random.Generator, base: int) -> bytes:
    records = [
        Record(
            i,
            [None, b"", b"key"][rng.integers(3)],
            [None, b"", b"value" * 3][rng.integers(3)],
            int(rng.integers(-300, 300)),
            [(b"h", b"x")] * int(rng.integers(0, 3)),
        )
        for i in range(rng.integers(1, 5))
    ]
    kind = [0, 0, 0, TRANSACTIONAL, CONTROL | TRANSACTIONAL][rng.integers(5)]
    return batch(records, base, attributes=kind, producer=int(rng.integers(0, 2)))


def changed(rng: np.random.Generator, content: bytes, low: int) -> bytearray:
    """A few bytes from `low` on replaced, put in or left out."""
    out = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(low, len(out) + 1))
        byte = int(rng.choice([0, 1, 2, 0x7F, 0x80, 0xFF, int(rng.integers(256))]))
        what = rng.integers(4)
        if what == 0:
            out.insert(at, byte)
        elif what == 1 and len(out) > low + 1:
            del out[min(at, len(out) - 1)]
        elif at < len(out):
            out[at] = byte
    return out


def outcome(how: Any, data: bytes, **settings: Any) -> tuple[list[Shown], int] | None:
    try:
        return how(data, **settings)
    except KafkaError:
        return None


def theirs(data: bytes, **settings: Any) -> tuple[list[Shown], int] | None:
    try:
        return aiokafka_reads(data, **settings)
    except Exception:
        return None


@pytest.mark.parametrize("seed", range(4))
def test_changed_records_are_refused_or_read_as_aiokafka_reads_them(seed: int) -> None:
    rng = np.random.default_rng(seed)
    both = 0
    for _ in range(EXAMPLES // 4):
        original = small_batch(rng, 10)
        codec = int(rng.choice([0, 0, 2, 3, 4]))
        records = changed(rng, original[61:], 0)
        data = with_crc(original[:22] + bytes([original[22] | codec]) + original[23:61] + PACKED[codec](bytes(records)))
        committed = bool(rng.integers(2))
        ours = outcome(read, data, committed=committed, aborted=[(1, 3)])
        reference = theirs(data, committed=committed, aborted=[(1, 3)])
        if ours is not None and reference is not None:
            both += 1
            assert ours == reference
    assert both > EXAMPLES // 40


def test_changed_headers_and_payloads_are_refused_or_read_as_aiokafka_reads_them() -> None:
    rng = np.random.default_rng(5)
    both = 0
    for _ in range(EXAMPLES // 2):
        codec = int(rng.choice([0, 1, 2, 3, 4]))
        data = bytearray(small_batch(rng, 10))
        if codec:
            data = bytearray(sealed(bytes(data[61:]), 10, codec, last_delta=struct.unpack_from(">i", data, 23)[0], count=data[60]))
        for _ in range(rng.integers(1, 3)):
            data[rng.integers(21, len(data))] = rng.integers(256)
        ours, reference = outcome(read, with_crc(bytes(data))), theirs(with_crc(bytes(data)))
        if ours is not None and reference is not None:
            both += 1
            assert ours == reference
    assert both > EXAMPLES // 40


def test_a_changed_fetch_never_crashes_and_its_sound_beginning_is_read() -> None:
    rng = np.random.default_rng(6)
    for _ in range(EXAMPLES // 2):
        batches = [small_batch(rng, 10 * i) for i in range(4)] + [marker(40, 1, b"\0\0\0\0")]
        which = int(rng.integers(5))
        bad = changed(rng, batches[which], 21 if rng.integers(2) else 0)
        sound = b"".join(batches[:which])
        data = sound + (with_crc(bytes(bad)) if len(bad) > 61 and rng.integers(4) else bytes(bad)) + b"".join(batches[which + 1 :])
        ours = outcome(read, data)
        if ours is None:
            assert read(sound) == ([], 0)
        else:
            reference = read(sound)[0]
            assert ours[0][: len(reference)] == reference


def test_noise_is_refused_quietly_or_by_a_kafka_error() -> None:
    rng = np.random.default_rng(7)
    for _ in range(500):
        noise = bytearray(rng.integers(0, 256, int(rng.integers(0, 200)), np.uint8).tobytes())
        if len(noise) > 17:
            noise[16] = rng.integers(0, 4)
            noise[8:12] = struct.pack(">i", int(rng.integers(-20, 200)))
        for settings in ({}, {"check_crcs": False, "committed": True, "aborted": [(0, 0)]}):
            outcome(read, bytes(noise), **settings)
    assert read(b"") == ([], 0)
    assert encoded(Record(0))[0] >> 1 == len(encoded(Record(0))) - 1


def test_corrupt_bytes_never_lead_outside_of_the_buffer(tmp_path: Path) -> None:
    """A kernel has no checks of its own; here it is compiled with them, and a read past the end is an IndexError."""
    checked = {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", "from tests.streams.transport import test_record_batch_fuzz as fuzz; fuzz.under_bounds_checks()"],
        env=os.environ | checked,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "every read lay within\n", done.stderr


def under_bounds_checks() -> None:
    """Every bound that `corrupted` breaks, and bytes changed at random, at the very end of a buffer."""
    for bad in corrupted().values():
        outcome(read, bad)
        outcome(read, bad, check_crcs=False, committed=True)
    test_a_changed_fetch_never_crashes_and_its_sound_beginning_is_read()
    test_noise_is_refused_quietly_or_by_a_kafka_error()
    print("every read lay within")
