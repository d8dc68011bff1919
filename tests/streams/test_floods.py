"""Floods of keys, and one key's flood: what is kept is bounded by settings, what leaves is counted, and others are judged as ever."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from state.keys import EVICTED_SHARE
from streams.partition import Origins
from streams.records import DECODERS
from streams.telemetry.measuring import bytes_of
from streams.transport.chunk import Chunk
from tests.fuzz.targets import settings
from tests.streams.chunks import chunk_of
from tests.streams.floods import BEGIN, SECTIONS, batch, partition

LIMIT = 400


@pytest.mark.parametrize("stream", SECTIONS)
def test_a_flood_of_keys_hits_a_stated_cap_and_those_untouched_longest_leave(stream):
    part = partition(stream, LIMIT)
    evicted, sizes = 0, []
    for first in range(0, 10_000, 1_000):
        outcome = batch(part, range(first, first + 1_000), 60)
        evicted += outcome.evicted
        sizes.append(bytes_of(part.state))
        assert LIMIT - LIMIT // EVICTED_SHARE <= len(part.state.keys) <= LIMIT
        assert len(outcome.verdicts) == 1_000  # each had its verdict, if only "not ready"
    assert evicted == 10_000 - len(part.state.keys)
    assert sizes[-1] <= sizes[1]
    kept = sorted(int(key.removeprefix(b"key ")) for key in part.state.keys.packed(part.state.keys.slots()).tolist())
    assert kept == list(range(10_000 - len(kept), 10_000))


@pytest.mark.parametrize("stream", SECTIONS)
def test_a_key_that_is_seen_among_a_flood_stays(stream):
    part = partition(stream, LIMIT)
    for first in range(1, 8_000, 100):
        batch(part, [0, *range(first, first + 100)], 60)
    assert part.state.keys.find(b"key 0") >= 0


@pytest.mark.parametrize("stream", SECTIONS)
def test_the_state_of_one_key_does_not_grow_with_its_events(stream):
    part, sizes = partition(stream, LIMIT), []
    for _ in range(2):
        for _ in range(5):
            batch(part, [0] * 5_000, 1_000)  # all within one window of a card, one day of an employee
        sizes.append(bytes_of(part.state))
    assert sizes[1] <= sizes[0] * 1.01


@pytest.mark.parametrize("stream", ["sensors", "errors"])  # what cards and employees are held against is their whole partition
def test_what_is_said_of_others_is_what_would_be_said_without_the_flood(stream):
    quiet, loud = partition(stream, LIMIT), partition(stream, LIMIT)
    said: list[tuple[np.ndarray, np.ndarray]] = []
    for turn in range(40):
        values = np.random.default_rng(turn).exponential(size=500)
        at = BEGIN + 60_000 * np.arange(500 * turn, 500 * (turn + 1), dtype=np.int64)
        without = batch(quiet, [*range(1, 6)] * 100, 0, values, at).verdicts
        loudly, then = np.concatenate([values, np.ones(4_500)]), np.concatenate([at, np.repeat(at[-9:], 500)])
        within = batch(loud, [*range(1, 6)] * 100 + [0] * 4_500, 0, loudly, then).verdicts
        said.append((without.score, within.score[:500]))
        np.testing.assert_array_equal(without.not_ready, within.not_ready[:500])
    reference, computed = (np.concatenate(part) for part in zip(*said, strict=True))
    np.testing.assert_array_equal(reference, computed)
    assert np.count_nonzero(~np.isnan(reference)) > 1_000


def with_origin(origin: bytes) -> Chunk:
    chunk = chunk_of([(b"e", b'{"employee_id":"e","at":1000,"amount":12.5}')])
    return replace(chunk, headers=lambda row: (("nilometer-origin", origin),))


@pytest.mark.parametrize(
    "origin", [b"x/0/1/0", b"card.transactions/10000/1/0", b"card.transactions/0/-1/0", b"card.transactions.x/0/1/0", b""]
)
def test_nobody_can_make_up_partitions_that_a_state_would_remember(origin):
    (letter,) = DECODERS["employees"](with_origin(origin), settings()).dead
    assert "wanted card.transactions/partition/offset/index" in letter.reason


def test_the_origin_that_we_write_is_read():
    origins = DECODERS["employees"](with_origin(b"card.transactions/9999/17/0"), settings()).origins
    assert isinstance(origins, Origins)
    assert origins[0].partition == 9999
    assert np.array_equal(origins.offset, [17])
