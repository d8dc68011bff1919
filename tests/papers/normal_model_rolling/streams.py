"""The labelled records as streams, one after another where the regime is to change, and the detector that is run over them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from detectors.normal_model.detector import NormalModelDetector
from detectors.normal_model.fold import REGIME
from detectors.protocol import ROW, TEST, Columns, Verdicts, fold
from state.keys import PackedKeys
from streams.measures import window_measures

LENGTH = 75
POINTS = 100_000  # of a record: what the paper calls the series
STARTS = (0, 613, 1709, 2903, 4211)  # points dropped: five streams of one record
RECORDS = ("mba_803", "mba_805", "mba_14046_13", "mba_14046_21")


def folder() -> Path | None:
    """Where the records lie: under ``$NILOMETER_DATA`` or ``../shared/data``; None where they do not."""
    root = Path(__file__).resolve().parents[3]
    for place in (os.environ.get("NILOMETER_DATA"), root.parent / "shared" / "data"):
        if place and (Path(place) / "sensors" / "mba_803.parquet").is_file():
            return Path(place)
    return None


def stream(data: Path, *parts: tuple[str, int, int]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Values and labels of stretches (record, first, last) of records, one after another."""
    tables = [pq.read_table(data / "sensors" / f"{name}.parquet").slice(first, last - first) for name, first, last in parts]
    values = np.concatenate([table["value"].to_numpy() for table in tables]).astype(np.float64)
    return values, np.concatenate([table["label"].to_numpy() for table in tables]) > 0


@dataclass(frozen=True)
class Run:
    """What came of one stream: measures after the warm-up, the readings at which a change of regime was told, and why."""

    precision: float
    recall: float
    k: int
    changes: list[int]
    evidence: list[dict[str, Any]]
    verdicts: Verdicts


def judged(values: NDArray[np.float64], label: NDArray[np.bool_], **settings: Any) -> Run:
    """Fold a stream reading by reading and measure it: P@k and distinct recall at k, windows and segments after the warm-up."""
    n = len(values)
    columns = Columns(PackedKeys.pack(["sensor"] * n), np.arange(n, dtype=np.int64) * 7_812, {"value": np.ascontiguousarray(values)})
    detector = NormalModelDetector(length=LENGTH, **settings)
    verdicts = Verdicts.join([part for _, part in fold(detector, detector.new_state(), columns)])
    measures = window_measures(verdicts.score, label, LENGTH, ~np.isnan(verdicts.score))
    numbers = np.flatnonzero(verdicts.alarms.places[:, TEST] == REGIME)
    return Run(
        measures["precision_at_k"],
        measures["distinct_recall"],
        measures["k"],
        verdicts.alarms.places[numbers, ROW].tolist(),
        [dict(detector.explain(verdicts.alarms, int(number)).evidence) for number in numbers],
        verdicts,
    )
