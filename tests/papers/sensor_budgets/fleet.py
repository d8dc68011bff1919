"""A hundred simulated sensors under a budget that no ring serves: the pool of their class, and the tail of each alone.

Each sends a noisy wave of its own size and noise, a reading a minute; ℓ = 12, blocks of 36 readings. At the end a fault: one block of
noise in the place of the wave. No drift, and no sensor of another kind among them: what is held is the rule, not the world.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from detectors.normal_model.blocks import TAIL_BLOCKS
from detectors.normal_model.detector import NormalModelDetector
from detectors.normal_model.fold import AMPLITUDE
from detectors.normal_model.kinds import Kind
from detectors.protocol import E_VALUE, ROW, TEST, UNIT, Columns, fold
from state.keys import PackedKeys

SENSORS, LENGTH, BLOCK, MINUTE = 100, 12, 36, 60_000_000
POOLED, TAILED = 1e-4, 1e-3  # ε_b of either
BLOCKS, BLOCKS_ALONE = 4_000, 1_000
AT_ONCE = 20  # blocks of every sensor that are folded together
RATIO, WITHIN = (0.5, 1.6), 3.0  # of the target
FOUND = 0.9  # of the faults
SMALL = {"length": LENGTH, "warm_up": 200, "rebuilds": (), "calibration": 60, "hand_over_lag": 20, "hand_over_spread": 5}


@dataclass
class Count:
    """Blocks that the rule judged before the fault, those that alarmed by sensor, and of how many sensors the fault was found."""

    judged: int
    alarmed: np.ndarray
    found: int
    faults: int

    def ratio(self, level: float) -> float:
        return float(self.alarmed.sum()) / (self.judged * level)


def waves(sensors: int, blocks: int, seed: int) -> Iterator[np.ndarray]:
    """Readings of every sensor, shape (readings, sensors), some blocks at a time; the last block is the fault."""
    rng = np.random.default_rng(seed)
    noise, size = np.exp(rng.uniform(-3.0, -1.0, sensors)), np.exp(2.0 * rng.normal(size=sensors))
    for first in range(0, blocks, AT_ONCE):
        many = min(AT_ONCE, blocks - first) * BLOCK
        phase = first * BLOCK + np.arange(many)[:, None]
        wave = np.sin(2.0 * np.pi * phase / LENGTH) * np.exp(0.05 * rng.normal(size=(many, sensors)))
        wave += noise * rng.normal(size=wave.shape)
        if first + AT_ONCE >= blocks:
            wave[-BLOCK:] = rng.normal(size=(BLOCK, sensors))
        yield size * wave


def counted(level: float, sensors: int, blocks: int, least: int, seed: int) -> Count:
    """Fold the sensors of one partition; a block counts once the pool holds `least` blocks, or each ring where that is a tail's number."""
    budget = -np.log1p(-level) * 86_400e6 / (BLOCK * MINUTE)
    detector = NormalModelDetector(**SMALL, false_alarms_per_sensor_day=budget)  # type: ignore[arg-type]
    state, events, judged, hit = detector.new_state(), 0, 0, set()
    keys = [f"sensor {i}" for i in range(sensors)]
    for values in waves(sensors, blocks, seed):
        readings = len(values)
        at = np.repeat(events // sensors + np.arange(readings, dtype=np.int64), sensors) * MINUTE
        columns = Columns(PackedKeys.pack(keys * readings), at, {"value": values.ravel()})
        columns.first_event, row = events, 0
        events += len(columns)
        done = int(state.pools.counts[0, 0, 0]) if sensors > 1 else events // BLOCK
        if done >= least:
            judged += readings // BLOCK * sensors
        for part, verdicts in fold(detector, state, columns):
            alarms = verdicts.alarms
            told = (alarms.places[:, TEST] <= AMPLITUDE) & ~np.isnan(alarms.numbers[:, E_VALUE]) & (done >= least)
            hit |= {(int((row + place[ROW]) % sensors), int(place[UNIT])) for place in alarms.places[told]}
            row += len(part)
    alarmed = np.bincount([sensor for sensor, unit in hit if unit < blocks - 1], minlength=sensors)
    return Count(judged - sensors, alarmed, sum(unit == blocks - 1 for _, unit in hit), sensors)


def alone(seed: int = 0) -> Count:
    """Each sensor in a partition of its own: nothing but its tail."""
    parts = [counted(TAILED, 1, BLOCKS_ALONE, TAIL_BLOCKS + AT_ONCE, seed + i) for i in range(SENSORS)]
    return Count(
        sum(part.judged for part in parts), np.concatenate([part.alarmed for part in parts]), sum(part.found for part in parts), SENSORS
    )


def at_random(count: Count, level: float, seed: int = 0) -> Count:
    """The control: alarms at the right rate, whatever comes."""
    rng = np.random.default_rng(seed)
    return Count(count.judged, rng.binomial(count.judged // SENSORS, level, SENSORS), int(rng.binomial(count.faults, level)), count.faults)


def bars(pooled: Count, tail: Count) -> dict[str, bool]:
    """What either is held to."""
    return {
        f"fleet of {SENSORS}, ε_b = {POOLED:g}: realised/target in .5–1.6": RATIO[0] <= pooled.ratio(POOLED) <= RATIO[1],
        f"fleet of {SENSORS}: ≥ .9 of the faults found": pooled.found >= FOUND * pooled.faults,
        f"tail at ε_b = {TAILED:g}: within 3 × of the target": 1.0 / WITHIN <= tail.ratio(TAILED) <= WITHIN,
    }


def report(blocks: int = BLOCKS) -> tuple[list[str], dict[str, bool]]:
    """A line a rule; the control must miss a bar."""
    assert Kind(length=LENGTH).normal_length == BLOCK
    pooled, tail = counted(POOLED, SENSORS, blocks, round(2.0 / POOLED), 1), alone()
    control = at_random(pooled, POOLED), at_random(tail, TAILED)
    lines = ["| | ε_b | blocks judged | alarmed | of the target | most of one sensor | faults found |", "|---|---|---|---|---|---|---|"]
    for name, level, count in (
        ("the class's pool", POOLED, pooled), ("each sensor's own tail", TAILED, tail),
        ("at random", POOLED, control[0]), ("at random", TAILED, control[1]),
    ):  # fmt: skip
        lines.append(
            f"| {name} | {level:g} | {count.judged:,} | {count.alarmed.sum()} | {count.ratio(level):.2f} × | {count.alarmed.max()} "
            f"| {count.found} of {count.faults} |"
        )
    return lines, bars(pooled, tail) | {"fleet: the control misses a bar": not all(bars(*control).values())}
