"""The classic discord series: three most abnormal subsequences of five models, beside stumpy's discords."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from detectors.normal_model import build_normal_model, join_distances, top_k
from tests.papers.normal_model.measured import markdown
from tests.papers.normal_model.series import unlabelled

SEEDS = range(5)
TOP = 3
# Series, ℓ, and where the anomaly lies: windows marked by earlier authors (Dutch power), or the discords that others report.
KNOWN: tuple[tuple[str, int, tuple[tuple[int, int], ...]], ...] = (
    ("dutch_power_demand", 750, ((7564, 8321), (11249, 12003), (12085, 12841))),
    ("respiration_nprs44", 128, ((20250, 20578),)),
    ("ecg_chfdbchf15", 150, ((2287, 2437),)),
    ("ecg_stdb308", 300, ((2681, 2981),)),
    ("marotta_tek16", 128, ()),
    ("marotta_tek17", 128, ()),
)


def found(starts: Sequence[int], length: int, places: Sequence[tuple[int, int]]) -> bool:
    """Whether at least a quarter of one of the subsequences lies in a known place."""
    return any(min(start + length, high) - max(start, low) >= length / 4 for start in starts for low, high in places)


def worst(values: np.ndarray, length: int, seed: int) -> tuple[list[int], list[int]]:
    """The top three by all centroids (NormA) and by the best one (NorM)."""
    model = build_normal_model(values, length=length, key_hash=seed)
    return tuple(top_k(join_distances(values, one, length), TOP, length).tolist() for one in (model, model.best()))


def report(place: Path) -> tuple[list[str], dict[str, bool]]:
    import stumpy

    rows, held = [], {}
    for name, length, places in KNOWN:
        values = unlabelled(place, name)
        runs = [worst(values, length, seed) for seed in SEEDS]
        discords = top_k(stumpy.stump(values, length)[:, 0].astype(np.float64), TOP, length).tolist()
        known = ", ".join(f"{low}–{high}" for low, high in places) or "not known"
        rows.append([name, str(length), known, *("<br>".join(", ".join(map(str, run[kind])) for run in runs) for kind in (0, 1)),
                     ", ".join(map(str, discords))])  # fmt: skip
        if places:
            hits = sum(found(run[0], length, places) for run in runs)
            held[f"{name}: NormA-smpl has it among the top {TOP} in {hits} of {len(runs)} seeds"] = hits == len(runs)
            single = sum(found(run[1], length, places) for run in runs)
            rows[-1][3] += f" ({hits}/{len(runs)})"
            rows[-1][4] += f" ({single}/{len(runs)})"
    text = ["Starts of the top three, a line a seed; in brackets in how many of the seeds one of them lies in a known place",
            "(a quarter of ℓ at least). The valve series hold five cycles only: what a sample of them is like is luck.", "",
            *markdown(["", "ℓ", "known", "NormA-smpl", "NorM-smpl", "discords (stumpy)"], rows)]  # fmt: skip
    return text, held
