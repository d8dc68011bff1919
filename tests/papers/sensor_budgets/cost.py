"""What block maxima take of a reading: the ring's part of the fold alone, on full rings, sensors in turn."""

from __future__ import annotations

import numpy as np
from numba import njit

from detectors.normal_model import layout
from detectors.normal_model.blocks import BLOCK_HEAD, MAXIMUM, MOST_BLOCKS, block_level, describe_ring, enter
from detectors.normal_model.fold import AMPLITUDE, SHAPE, by_blocks, end_block
from detectors.normal_model.pool import MOST_POOLED, Pools
from tests.papers.normal_model_rolling.cost import best

BLOCK, READINGS = 225, 100_000
RING = 2 * MOST_BLOCKS
MOST_BYTES, MOST_MICROSECONDS = 16_384, 0.5
BUDGETS = {"39 blocks": 0.05, "769 blocks": 2.0 / 770, "the class": 1e-4, "the tail": 2e-4}


@njit
def blocks_only(scores, data, whole, where, false_alarms, ring, ordered, counts, names):  # type: ignore[no-untyped-def]
    """Everything that the fold does with a reading for the sake of budgets: a sensor's whole block, then the next sensor's."""
    alerts = 0
    for i in range(len(scores)):
        turn = i // BLOCK
        mine, its = whole[turn % len(whole)], where[turn % len(whole)]
        head, number = its[layout.LIVE], MOST_BLOCKS + turn
        if i % BLOCK == 0:
            its[layout.SINCE] = -1
            data[head + MAXIMUM] = data[head + MAXIMUM + 1] = 0.0
        level = block_level(false_alarms, BLOCK, mine[layout.INTERVAL])
        for channel in (SHAPE, AMPLITUDE):
            data[head + MAXIMUM + channel] = max(data[head + MAXIMUM + channel], scores[i])
            said = by_blocks(
                data, mine, its, head, level / 2.0, 0.0, channel, scores[i], ordered[channel], counts[0, 0], np.uint64(turn), number
            )
            alerts += said[2] <= level / 2.0
        if i % BLOCK == BLOCK - 1:
            end_block(data, mine, its, head, 0.0, number, ring, ordered, counts, names, np.uint64(turn))
    return alerts


def measured(sensors: int) -> dict[str, float]:
    """Microseconds a reading, of rings of 1,024 blocks, by what decides."""
    generator = np.random.default_rng(0)
    size = BLOCK_HEAD + RING
    data = np.zeros(sensors * size)
    whole, where = np.zeros((sensors, layout.WHOLE), np.int64), np.zeros((sensors, layout.WHERE), np.int64)
    whole[:, layout.BLOCKS], whole[:, layout.INTERVAL] = MOST_BLOCKS, 1_000_000
    for sensor in range(sensors):
        head = sensor * size
        where[sensor, layout.LIVE], where[sensor, layout.RING], where[sensor, layout.RING_ROOM] = head, head + BLOCK_HEAD, MOST_BLOCKS
        for number in range(MOST_BLOCKS):
            data[head : head + 2] = generator.gumbel(size=2)
            enter(data, head + BLOCK_HEAD, MOST_BLOCKS, number, number, head)
        describe_ring(data, head + BLOCK_HEAD, MOST_BLOCKS, MOST_BLOCKS, head)
    scores = generator.gumbel(size=READINGS) - np.log(BLOCK)
    found = {}
    for name, level in BUDGETS.items():
        false_alarms = -np.log1p(-level) * 86_400 / BLOCK
        pools = Pools(1)
        pools.counts[0] = (MOST_POOLED, 0) if name == "the class" else (0, 0)
        pool = pools.ring[0], pools.ordered[0], pools.counts[0], pools.names[0]
        if name == "the class":
            pools.ring[0] = generator.gumbel(size=pools.ring[0].shape)
            pools.ordered[0] = np.sort(pools.ring[0], axis=1)
        blocks_only(scores[:BLOCK], data, whole, where, false_alarms, *pool)
        found[name] = best(lambda budget=false_alarms, pool=pool: blocks_only(scores, data, whole, where, budget, *pool), READINGS)
    return found


def report() -> tuple[list[str], dict[str, bool]]:
    """The table and the bars."""
    few, many = measured(1), measured(2_000)
    lines = ["| decided by | one sensor, µs a reading | 2,000 sensors in turn |", "|---|---|---|"]
    lines += [f"| {name} | {few[name]:.3f} | {many[name]:.3f} |" for name in BUDGETS]
    return lines, {
        "block maxima ≤ 0.5 µs a reading": max(*few.values(), *many.values()) <= MOST_MICROSECONDS,
        "a ring ≤ 16 KiB": 8 * RING <= MOST_BYTES,
    }
