"""The series that the papers are run on: electrocardiograms, the simulated SRW series, the classic discord series, half of NAB."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from streams.measures import segments
from streams.simulators.sensors import simulate_sensors


@dataclass(frozen=True)
class Series:
    """A labelled series and the ℓ it is judged at."""

    name: str
    values: NDArray[np.float64]
    label: NDArray[np.bool_]
    length: int

    @property
    def anomalies(self) -> int:
        return len(segments(self.label))


def folder() -> Path | None:
    """Where the real series lie: ``sensors`` under ``$NILOMETER_DATA`` or ``../shared/data``; None where they do not."""
    root = Path(__file__).resolve().parents[3]
    for place in (os.environ.get("NILOMETER_DATA"), root.parent / "shared" / "data"):
        if place and (Path(place) / "sensors").is_dir():
            return Path(place) / "sensors"
    return None


def electrocardiogram(place: Path, name: str, length: int = 75, points: int | None = 100_000) -> Series:
    """An MBA record: its first 100,000 points are the paper's series, None takes all of it."""
    table = pq.read_table(place / f"mba_{name}.parquet")
    values, label = table["value"].to_numpy().astype(np.float64), table["label"].to_numpy() > 0
    return Series(f"MBA({name})", values[:points], label[:points], length)


def unlabelled(place: Path, name: str) -> NDArray[np.float64]:
    return pq.read_table(place / f"{name}.parquet")["value"].to_numpy().astype(np.float64)


def srw(anomalies: int, noise: float, length: int, points: int = 100_000, seed: int = 0) -> Series:
    """SRW-[anomalies]-[noise]-[length] of `nilometer simulate sensors`; ℓ is the anomalies' length, as in the paper."""
    made = simulate_sensors(anomalies=anomalies, noise=noise, length=length, points=points, seed=seed)
    return Series(f"SRW-[{anomalies}]-[{noise:g}%]-[{length}]", made["value"], made["label"] > 0, length)
