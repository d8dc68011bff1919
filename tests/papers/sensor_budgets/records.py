"""Whole labelled records under a budget: block after block, those that touch a label called anomalies by people as soon as they end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.normal_model import layout
from detectors.normal_model.blocks import MICROSECONDS_A_DAY
from detectors.normal_model.detector import NormalModelDetector
from detectors.normal_model.fold import AMPLITUDE, SHAPE
from detectors.protocol import ROW, TEST, Columns, fold
from state.keys import PackedKeys
from streams.measures import segments
from tests.papers.normal_model_rolling.streams import LENGTH, STARTS, stream

RECORDS = ("mba_803", "mba_805", "mba_14046_21")
LEVEL = 0.05  # ε_b
BLOCK = 3 * LENGTH
INTERVAL = 7_812  # µs: 128 readings a second
FALSE_ALARMS = -np.log1p(-LEVEL) * MICROSECONDS_A_DAY / (BLOCK * INTERVAL)

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Run:
    """One stream after its ring could serve the budget: what each clean block and each labelled episode came to.

    Attributes
    ----------
    clean
        Whether each block that touches no label alarmed.
    found
        Whether each labelled segment had an alarm whose subsequence touches it.
    alerts
        Share of all blocks that alarmed, anomalies among them.
    false_episodes, readings
        Alarmed clean blocks at most three apart are one episode; over so many readings.
    """

    clean: Bools
    found: Bools
    alerts: float
    false_episodes: int
    readings: int

    @property
    def rate(self) -> float:
        return float(self.clean.mean())

    @property
    def recall(self) -> float:
        return float(self.found.mean())


def served(data: Path, name: str, start: int, at_random: bool = False, **settings: Any) -> Run:
    """Fold a whole record, `start` points dropped; `at_random`: the control, which looks at nothing and alarms at the right rate."""
    values, label = (column[start:] for column in stream(data, (name, 0, 10**9)))
    n = len(values)
    touched = np.convolve(label, np.ones(LENGTH))[:n] > 0  # the subsequence that ends here touches a label
    alarmed, ready = np.zeros(n, np.bool_), np.zeros(n // BLOCK, np.bool_)
    judge = _random(start) if at_random else _detector(values, touched, settings)
    for block in range(n // BLOCK):
        rows = slice(block * BLOCK, (block + 1) * BLOCK)
        ready[block], alarmed[rows] = judge(block)
    blocks = touched[: n // BLOCK * BLOCK].reshape(-1, BLOCK).any(axis=1)
    hit = alarmed[: n // BLOCK * BLOCK].reshape(-1, BLOCK).any(axis=1)
    first = int(np.argmax(ready)) * BLOCK
    runs = [(begin, end) for begin, end in segments(label).tolist() if begin >= first and end + LENGTH <= n // BLOCK * BLOCK]
    false = np.flatnonzero(hit & ready & ~blocks)
    return Run(
        hit[ready & ~blocks],
        np.array([alarmed[begin : end + LENGTH - 1].any() for begin, end in runs]),
        float(hit[ready].mean()),
        int((np.diff(false, prepend=-10) > 3).sum()),
        int(ready.sum()) * BLOCK,
    )


def _detector(values: NDArray[np.float64], touched: Bools, settings: dict[str, Any]) -> Callable[[int], tuple[bool, Bools]]:
    """The real one."""
    n = len(values)
    columns = Columns(PackedKeys.pack(["sensor"] * n), np.arange(n, dtype=np.int64) * INTERVAL, {"value": np.ascontiguousarray(values)})
    detector = NormalModelDetector(length=LENGTH, **{"false_alarms_per_sensor_day": FALSE_ALARMS, "promise": "false"} | settings)
    state = detector.new_state()

    def judge(block: int) -> tuple[bool, Bools]:
        here = columns.span(block * BLOCK, (block + 1) * BLOCK)
        behind = int(state.rows["whole"][0, layout.BLOCKS]) if block else 0
        model = int(state.rows["whole"][0, layout.RUNG]) if block else 0
        alarmed, row = np.zeros(BLOCK, np.bool_), 0
        for part, verdicts in fold(detector, state, here):
            places = verdicts.alarms.places
            alarmed[row + places[(places[:, TEST] == SHAPE) | (places[:, TEST] == AMPLITUDE), ROW]] = True
            row += len(part)
        if touched[block * BLOCK : (block + 1) * BLOCK].any():
            said = {"slot": 0, "test": SHAPE, "verdict": "confirmed", "first_unit": block, "last_unit": block}
            detector.adopt(state, {"verdicts": [said]})
        same = block > 0 and model == int(state.rows["whole"][0, layout.RUNG]) == len(detector.kinds[0].ladder)
        return same and (behind + 1) * LEVEL / 2.0 >= 1.0, alarmed

    return judge


def _random(seed: int) -> Callable[[int], tuple[bool, Bools]]:
    """Blocks alarm at the right rate, whatever is in them, at a reading of their own choice."""
    generator = np.random.default_rng(seed)

    def judge(block: int) -> tuple[bool, Bools]:
        alarmed = np.zeros(BLOCK, np.bool_)
        alarmed[generator.integers(BLOCK)] = generator.random() < LEVEL
        return block * BLOCK > 20_000, alarmed

    return judge


def runs(data: Path, name: str, starts: tuple[int, ...] = STARTS, at_random: bool = False, **settings: Any) -> list[Run]:
    """One run a start."""
    return [served(data, name, start, at_random, **settings) for start in starts]
