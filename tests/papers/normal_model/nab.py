"""Half of the Numenta Anomaly Benchmark: servers, traffic, tweets — streams that mostly have no shape that recurs.

A channel is a function from a stream's values to a score per reading, causal from the end of NAB's probation on. `CHANNELS` is where
another one goes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from detectors.normal_model import NormalModel, build_normal_model, join_distances, propose_length
from streams.measures import segments
from tests.papers.normal_model.measured import markdown
from tests.papers.normal_model.nab_scoring import Scored, benchmark, probation
from tests.papers.normal_model.printed import NAB

Floats = NDArray[np.float64]

LENGTH = 24  # readings, where the probation shows no period: NAB's are five minutes or an hour apart, so two hours or a day
GAUSSIAN_WINDOW, GAUSSIAN_STEP = 6400, 100  # as in NAB


def streams(place: Path) -> dict[str, tuple[Floats, list[tuple[int, int]]]]:
    """Values and windows (first and last reading) of each stream."""
    table = pq.read_table(place / "nab_half.parquet").to_pydict()
    names, values, label = np.array(table["sensor_id"]), np.array(table["value"], np.float64), np.array(table["label"]) > 0
    return {
        name: (values[names == name], [(begin, end - 1) for begin, end in segments(label[names == name]).tolist()])
        for name in dict.fromkeys(table["sensor_id"])
    }


def windowed_gaussian(values: Floats) -> Floats:
    """NAB's baseline: 1 − tail probability of a reading under the mean and deviation of the last 6,400, by steps of 100."""
    tails = [1.0 - 0.5 * math.erfc(abs(z) / 1.4142) for z in standing_out(values).tolist()]
    return np.array([0.0, *tails[1:]])


def standing_out(values: Floats) -> Floats:
    """How many deviations each value lies above the mean of those before it: the last 6,400, by steps of 100; the first is 0.

    NAB compares all streams with one threshold. Whatever has another scale on another stream has to be brought to one first; this is
    what NAB's own baseline does to readings.
    """
    out = np.zeros(len(values))
    window: list[float] = []
    step: list[float] = []
    mean, sd, squares = 0.0, 1.0, 0.0
    for i, x in enumerate(values.tolist()):
        if window:
            out[i] = (x - mean) / sd
        if len(window) < GAUSSIAN_WINDOW:
            window.append(x)
            before = mean
            mean += (x - mean) / len(window)
            squares += (x - before) * (x - mean)
            sd = math.sqrt(squares / len(window)) or 1e-6
        else:
            step.append(x)
            if len(step) == GAUSSIAN_STEP:
                window, step = window[GAUSSIAN_STEP:] + step, []
                mean, sd = float(np.mean(window)), float(np.std(window)) or 1e-6
    return out


def warmed_up(values: Floats) -> tuple[NormalModel, int]:
    """The model of the probation, and ℓ: the probation's period, else 24 readings."""
    seen = values[: probation(len(values))]
    length = propose_length(seen, 8, len(seen) // 12).length or min(LENGTH, len(seen) // 6)
    return build_normal_model(seen, length=length).best(), length


def shape(values: Floats) -> Floats:
    """Distance to the model of the probation, and how far it stands out among those before."""
    model, length = warmed_up(values)
    return np.concatenate([np.full(length - 1, np.nan), standing_out(join_distances(values, model, length))])


def amplitude(values: Floats) -> Floats:
    """|log(sd / the model's sd)| of the last ℓ readings, and how far it stands out among those before."""
    model, length = warmed_up(values)
    sd = np.maximum(sliding_window_view(values, length).std(axis=1), model.floor)
    return np.concatenate([np.full(length - 1, np.nan), standing_out(np.abs(np.log(sd / max(model.spread, model.floor))))])


def either(values: Floats) -> Floats:
    """The channel that stands out farther."""
    return np.fmax(shape(values), amplitude(values))


CHANNELS: dict[str, Callable[[Floats], Floats]] = {
    "WindowedGaussian": windowed_gaussian,
    "Normal Model, shape": shape,
    "Normal Model, amplitude": amplitude,
    "Normal Model, the larger": either,
}


def report(place: Path) -> list[str]:
    """A row a channel: all streams under one threshold, then each kind of stream under a threshold of its own."""
    held = streams(place)
    kinds = list(dict.fromkeys(name.split("/")[0] for name in held))
    rows = []
    for channel, score in CHANNELS.items():
        scored = {name: Scored(score(values), windows) for name, (values, windows) in held.items()}
        total, threshold = benchmark(list(scored.values()))
        of_kinds = [benchmark([one for name, one in scored.items() if name.split("/")[0] == kind])[0] for kind in kinds]
        rows.append([channel, f"**{total:.1f}**", f"{threshold:.3f}", *(f"{x:.0f}" for x in of_kinds)])
    return [
        f"NAB's scoring, standard profile, threshold optimised as NAB does, on {len(held)} of its 58 streams. Static model of the",
        f"probation (15 %, 750 readings at most), ℓ its period or {LENGTH} readings. Each channel is scored by how far it stands out among",
        "its own earlier values, as NAB's baseline does with readings. NAB's scoreboard, all 58: "
        + ", ".join(f"{name} {score:g}" for name, score in NAB.items()) + ".", "",
        *markdown(["", "score", "threshold", *kinds], rows), "",
        "A Normal Model is the wrong tool for most of these streams: their anomalies are levels and spikes, which z-normalising takes",
        "away, and few of them have a course that recurs within the probation. Where they do (the day of art_daily) the shape tells.",
    ]  # fmt: skip
