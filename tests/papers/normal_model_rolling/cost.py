"""What a reading costs, in one run on one core: the kernel, stumpy's streaming matrix profile, a matrix-vector product by numpy."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numba import set_num_threads
from numpy.lib.stride_tricks import sliding_window_view

from detectors.normal_model.detector import NormalModelDetector
from detectors.normal_model.join import join_distances
from detectors.normal_model.ladder import Recipe, climb
from detectors.normal_model.model import NormalModel
from detectors.protocol import Columns, fold
from state.keys import PackedKeys

LENGTH, NORMAL_LENGTH, WINDOW = 75, 225, 1000


def best(work: Callable[[], object], readings: int, repeats: int = 5) -> float:
    """Microseconds a reading, the best of some repeats."""
    least = np.inf
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        least = min(least, time.perf_counter() - begun)
    return least / readings * 1e6


def wave(n: int) -> np.ndarray:
    """A pulse a period, and noise."""
    return np.sin(2 * np.pi * np.arange(n) / LENGTH) ** 9 + 0.1 * np.random.default_rng(0).standard_normal(n)


def measured(stumpi: bool = True) -> dict[str, float]:
    """Microseconds a reading of each way; building a model from 10,000 readings, in seconds of CPU."""
    values = wave(50_000)
    shapes = sliding_window_view(values, NORMAL_LENGTH)[::NORMAL_LENGTH][:15]
    shapes = (shapes - shapes.mean(axis=1, keepdims=True)) / shapes.std(axis=1, keepdims=True)
    out = {}
    for count in (1, 15):
        model = NormalModel(shapes[:count].copy(), np.full(count, 1.0 / count), 0.0, 0.5, {})
        join_distances(values[:1000], model, LENGTH)
        out[f"kernel, {count}"] = best(lambda model=model: join_distances(values, model, LENGTH), len(values))
    out["whole fold, 1"] = _fold(values)

    windows = np.ascontiguousarray(sliding_window_view(shapes[0], LENGTH))
    windows = (windows - windows.mean(axis=1, keepdims=True)) / windows.std(axis=1, keepdims=True)

    def matrix_vector() -> None:
        for start in range(2000):
            part = values[start : start + LENGTH]
            part = (part - part.mean()) / part.std()
            np.sqrt(np.maximum(2 * LENGTH - 2 * (windows @ part).max(), 0.0))

    out["numpy matrix × vector"] = best(matrix_vector, 2000)
    if stumpi:
        import stumpy

        set_num_threads(1)  # a thread a core that another process holds is waited for at every reading: 82 ms instead of 0.2
        stream = stumpy.stumpi(values[:WINDOW], m=LENGTH, egress=True)

        def updates() -> None:
            for x in values[WINDOW : WINDOW + 500]:
                stream.update(x)

        updates()
        out["stumpy.stumpi, window 1,000"] = best(updates, 500)
    begun = time.process_time()
    climb(values[:10_000], Recipe(LENGTH, NORMAL_LENGTH, 0.4, 1, 4096, LENGTH), [], first=0, key_hash=0, triggered=0)
    out["build from 10,000, s"] = time.process_time() - begun
    return out


def _fold(values: np.ndarray) -> float:
    """Everything that `process` does with a reading of a sensor that has climbed its ladder."""
    detector = NormalModelDetector(length=LENGTH)
    state = detector.new_state()

    def columns(first: int, last: int) -> Columns:
        at = np.arange(first, last, dtype=np.int64) * 1_000_000
        return Columns(PackedKeys.pack(["sensor"] * (last - first)), at, {"value": values[first:last]}, first_event=first)

    list(fold(detector, state, columns(0, 20_000)))
    least = np.inf
    for first in range(20_000, 50_000, 5_000):
        batch = columns(first, first + 5_000)
        batch.slots = state.keys.admit(batch.keys, first)
        begun = time.perf_counter()
        detector.process(state, batch)
        least = min(least, time.perf_counter() - begun)
    return least / 5_000 * 1e6


def report() -> tuple[list[str], dict[str, bool]]:
    """The table and the bars."""
    found = measured()
    lines = ["| way | µs a reading |", "|---|---|"]
    lines += [f"| {name} | {x:.3g} |" for name, x in found.items() if not name.startswith("build")]
    lines += ["", f"Building a model from 10,000 readings: {found['build from 10,000, s']:.3f} s of CPU."]
    kernel = found["kernel, 1"]
    return lines, {
        "one centroid ≤ 0.35 µs": kernel <= 0.35,
        "15 centroids ≤ 6 µs": found["kernel, 15"] <= 6.0,
        "≥ 100 × stumpy.stumpi": found["stumpy.stumpi, window 1,000"] >= 100 * kernel,
        "≥ 10 × a matrix-vector product": found["numpy matrix × vector"] >= 10 * kernel,
        "build ≤ 0.2 s": found["build from 10,000, s"] <= 0.2,
    }
