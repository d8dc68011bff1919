"""What a sensor's Normal Model expects of its latest reading, for somebody who watches one sensor. Not part of the fold."""

from __future__ import annotations

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from detectors.normal_model import layout
from detectors.normal_model.rolling import model_of_block, model_size
from detectors.normal_model.state import NormalModelState


def expected(state: NormalModelState, slot: int, threshold: float) -> tuple[float, float, float] | None:
    """Return the sensor's latest reading, and between which values it is expected; None where no model is in force for the last ℓ readings.

    The middle is the latest point of that stretch of the model which is nearest in shape to the last ℓ readings, at their mean and
    size; half the width is what each of them may be off, on average, for their distance to stay at the threshold: sd · threshold / √ℓ.
    """
    state.fit()
    whole, its = state.rows["whole"][slot], state.places["where"][slot]
    length, normal_length, centroids = int(whole[layout.LENGTH]), int(whole[layout.NORMAL_LENGTH]), int(whole[layout.CENTROIDS])
    if centroids == 0 or whole[layout.FILL] < length or not math.isfinite(threshold):
        return None
    start = int(its[layout.LIVE] + whole[layout.SEEN] % length)
    latest = state.arena.data[start : start + length]
    place = int(its[layout.MODEL])
    model = model_of_block(state.arena.data[place : place + model_size(length, normal_length, centroids)], centroids, length, normal_length)
    mean, sd = float(latest.mean()), float(latest.std())
    best, last = -math.inf, 0.0
    for centroid in model.centroids:
        windows = sliding_window_view(centroid, length)
        spread = np.maximum(windows.std(axis=1), 1e-12)
        likeness = (windows @ (latest - mean)) / spread
        j = int(np.argmax(likeness))
        if likeness[j] > best:
            best, last = float(likeness[j]), float((centroid[j + length - 1] - windows[j].mean()) / spread[j])
    middle, half = mean + sd * last, sd * threshold / math.sqrt(length)
    return float(latest[-1]), middle - half, middle + half
