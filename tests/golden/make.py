"""``python -m tests.golden.make``: a golden file for every detector whose state has a version that none is kept of.

A golden file is what a build wrote and then said: a frozen state, the events that came next, and its verdicts on them. It is made when a
section's version goes up, and never made again: what it holds is the promise that later builds read it and go on from it.

Only where it is judged otherwise on purpose, ``python -m tests.golden.make --pin`` writes down anew what is said; states stay as they are.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from detectors.aggregation.detector import AggregationDetector
from detectors.benford.detector import BenfordDetector
from detectors.hardness.detector import HardnessDetector
from detectors.normal_model.detector import NormalModelDetector
from detectors.protocol import Columns, Verdicts
from state import snapshot
from state.keys import PackedKeys
from streams.cuts import Cut
from streams.partition import Origins, Partition, run

HERE = Path(__file__).parent
LEARNT, NEXT = 1200, 300  # events
# Settings so small that the state has been through every phase; they are part of the promise.
DETECTORS: Mapping[str, Callable[[], Any]] = {
    "normal_model": lambda: NormalModelDetector(
        length=8, warm_up=96, rebuilds=(150, 200), calibration=40, epsilon=0.1, hand_over_lag=5, hand_over_spread=7,
        false_alarms_per_sensor_day=5000.0, classes=[("slow", {"length": 10, "normal_length": 20})],
    ),
    "hardness": lambda: HardnessDetector(warm_up=30, bins=2, width=20, epsilon=0.1, hand_over_lag=5, hand_over_spread=7),
    "aggregation": lambda: AggregationDetector(windows=(1, 3), calibration=60, epsilon=0.05),
    "aggregation_tiles": lambda: AggregationDetector(windows=(1, 3), calibration=60, epsilon=0.05, aggregates="tiles"),
    "benford": lambda: BenfordDetector(window=40, minimum_expected=0.5, alpha=0.2, mu=2.5, sigma=0.6),
}  # fmt: skip
CUTS: Mapping[str, dict[str, Any]] = {
    "aggregation": {"population": {"histograms": [[3] * 352] * 3, "counts": [90, 90_000, 60, 40, 5, 50, 30, 20, 10, 20, 5, 5]}},
}


def events(name: str) -> Columns:
    """LEARNT + NEXT events of four keys, the same on every machine."""
    rng = np.random.Generator(np.random.PCG64(11))
    n = LEARNT + NEXT

    def whole(low: int, high: int) -> Any:
        return low + (rng.bit_generator.random_raw(n) % np.uint64(high - low)).astype(np.int64)  # type: ignore[union-attr]

    keys = [("a", "b", "the third", "ключ")[i] for i in whole(0, 4).tolist()]
    at = (1_700_000_000 + np.cumsum(whole(1, 100))) * 1_000_000
    noise, level = whole(-1000, 1001) / 1000.0, whole(0, 1000)
    wave = (np.arange(n) % 16 - 8) / 8.0
    fields = {
        "normal_model": {"value": wave + 0.1 * noise + 5.0 * (level > 990), "class": whole(0, 2) - 1},
        "hardness": {"hardness": 1.0 + level / 100.0, "error": (1.0 + level / 50.0) * (1.5 + noise) * (1 + 19 * (whole(0, 50) == 0))},
        "aggregation": {
            "amount": whole(100, 20_000) * np.where(level > 980, 50, 1), "mode": whole(-1, 3), "address_match": whole(-1, 2),
            "credit_limit": np.full(n, 200_000), "merchant": whole(-1, 50), "transaction": np.arange(n),
        },
        "benford": {
            "amount": np.where(level > 800, whole(900_000, 1_000_000), whole(1, 1_000_000)), "limit": np.full(n, 1_000_000),
            "approval_limit": np.full(n, 950_000),
        },
    }[name.removesuffix("_tiles")]  # fmt: skip
    return Columns(PackedKeys.pack(keys), at, {field: np.ascontiguousarray(column) for field, column in fields.items()})


def partition(name: str) -> Partition:
    """A fold of these settings that has seen nothing."""
    return Partition("stream", "topic", 3, DETECTORS[name](), silence=7200.0)


def fold(part: Partition, columns: Columns) -> Verdicts:
    """Fold columns as the next records of the partition."""
    rows = part.next + np.arange(len(columns))
    return run(part.fold(columns, Origins.of_record("topic", 3, rows, np.zeros_like(rows)), part.next + len(columns))).verdicts


def versions(part: Partition) -> str:
    """The format of a snapshot and the versions of its sections, as they stand in a golden file's name."""
    sections = snapshot.unpack(part.freeze())
    numbers = [f"{section.rpartition('.')[2]}{sections[section].version}" for section in sorted(sections)]
    return "-".join([f"format{snapshot.FORMAT}", *numbers])


def made(name: str) -> dict[str, Any]:
    """What a golden file holds: the state as bytes, the events that come next, what is said of them."""
    part, columns = partition(name), events(name)
    fold(part, columns.span(0, LEARNT))
    for inputs in [CUTS[each] for each in (name.removesuffix("_tiles"),) if each in CUTS]:
        part.adopt(Cut(3, LEARNT, inputs))
    state = part.freeze()
    later = columns.span(LEARNT, LEARNT + NEXT)
    said = fold(part, later)
    assert np.isfinite(said.score).any(), name
    return {
        "state": np.frombuffer(state, np.uint8),
        "keys": np.array(later.keys.tolist(), "S"),
        "at": later.at,
        **{f"field.{field}": column for field, column in later.fields.items()},
        **{f"said.{column}": getattr(said, column) for column in ("score", "threshold", "p_value", "alert", "seen", "needed", "unit")},
    }


def opened(file: Path) -> tuple[str, dict[str, Any]]:
    """The name of its detector, and what a golden file holds."""
    with np.load(file, allow_pickle=False) as held:
        return file.name.partition(".")[0], dict(held)


def next_events(kept: Mapping[str, Any]) -> Columns:
    """The events that came next."""
    fields = {field.removeprefix("field."): column for field, column in kept.items() if field.startswith("field.")}
    return Columns(PackedKeys.pack([bytes(key) for key in kept["keys"]]), kept["at"], fields)


def pin() -> None:
    """Write down anew what is said after each state."""
    for file in sorted(HERE.glob("*.npz")):
        name, kept = opened(file)
        part = partition(name)
        part.thaw(kept["state"].tobytes())
        said = fold(part, next_events(kept))
        np.savez_compressed(file, **{**kept, **{column: getattr(said, column[5:]) for column in kept if column.startswith("said.")}})
        print(f"pinned  {file.name}")


def main() -> None:
    """Make what is missing."""
    for name in DETECTORS:
        part = partition(name)
        file = HERE / f"{name}.{versions(part)}.npz"
        if file.exists():
            print(f"kept  {file.name}")
            continue
        np.savez_compressed(file, **made(name))
        print(f"made  {file.name}  {file.stat().st_size:,} bytes")


if __name__ == "__main__":
    pin() if sys.argv[1:] == ["--pin"] else main()
