"""The distance of a sensor's latest subsequence to its Normal Model, one reading at a time.

For each centroid N the dot products Q_j of the subsequence with the windows N_{j,ℓ} are carried from reading to reading,

    Q_j(t) = Q_{j−1}(t − 1) − T[t − ℓ] · N[j − 1] + T[t] · N[j + ℓ − 1],     Q_0 afresh from the ring,

so that a reading costs O(ℓ_NM) and not O(ℓ · ℓ_NM). A product lives on for ℓ_NM − ℓ readings and is then dropped: rounding errors do
not add up, and nothing ever has to be put right again. Mean and standard deviation are taken from the ring in two passes (running
sums lose everything to an offset of 1e6 or one spike of 1e9). Values are taken relative to the model's level for the same reason.

All of it stands in one float array (an arena): a *live* block per sensor (ring, residuals, times) and a *model* block.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.normal_model.model import FLOOR, NormalModel

Floats = NDArray[np.float64]

LARGEST = 1e100  # readings beyond are taken as this: their squares must stay finite
SAME = 1e-10  # of d²/ℓ: shapes nearer than this differ by rounding
REFRESH = 1e5  # when the readings have shrunk by this factor, what the large ones left in the dot products is wiped out

# Model block: a head, then per centroid its weight, itself backwards, Q backwards, and of each of its windows mean, 1/sd and energy.
# The head: what values are taken relative to, least sd, level and spread of the model; the largest reading in the dot products;
# of the latest subsequence the nearest centroid and the sd; the model's usual distance and the line beyond which a reading is far
# (`regimes`); what readings it was built from, on how many of its regime it has proved itself, the median distance of the latest
# stretch it was tried on; the AR null model.
CENTRE, FLOOR_AT, LEVEL, SPREAD, PEAK, NEAREST, SD, USUAL_DISTANCE, LINE, BUILT_FROM, BUILT_TO, CLIMBED, TRIED, AR = range(14)
AR_ORDER = 5
HEAD = AR + AR_ORDER + 1


def centroid_size(length: int, normal_length: int) -> int:
    """Elements that one centroid takes in a model block."""
    return 1 + normal_length + 4 * (normal_length - length + 1)


def model_size(length: int, normal_length: int, centroids: int) -> int:
    """Elements of a model block; its end is room for one distance profile."""
    return HEAD + centroids * centroid_size(length, normal_length) + normal_length - length + 1


def model_block(model: NormalModel, length: int, coefficients: Floats | None = None) -> Floats:
    """Return a model as the kernels read it, with dot products still to be made (`refresh`).

    Parameters
    ----------
    coefficients
        Of the AR null model, shape (6,): intercept (relative to the model's level), lags 1 … 5; zeros if not given.
    """
    count, normal_length = model.centroids.shape
    block = np.zeros(model_size(length, normal_length, count))
    block[CENTRE] = block[LEVEL] = model.level
    block[FLOOR_AT], block[SPREAD] = model.floor, model.spread
    if coefficients is not None:
        block[AR:HEAD] = coefficients
    for k in range(count):
        at = HEAD + k * centroid_size(length, normal_length)
        block[at] = model.weights[k]
        block[at + 1 : at + 1 + normal_length] = model.centroids[k, ::-1]
    describe_windows(block, 0, count, length, normal_length)
    return block


def model_of_block(block: Floats, centroids: int, length: int, normal_length: int) -> NormalModel:
    """Return the model that a block holds: the inverse of `model_block`, without the evidence."""
    size = centroid_size(length, normal_length)
    starts = [HEAD + k * size for k in range(centroids)]
    shapes = np.stack([block[start + 1 : start + 1 + normal_length][::-1] for start in starts])
    return NormalModel(shapes, np.array([block[start] for start in starts]), float(block[LEVEL]), float(block[SPREAD]), {})


@njit(cache=True)  # type: ignore[untyped-decorator]
def describe_windows(data, model, centroids, length, normal_length):  # type: ignore[no-untyped-def]
    """Fill mean, 1/sd (floored) and energy ℓ·sd²/floored sd² of every window of every centroid, backwards like the centroid."""
    windows = normal_length - length + 1
    at = model + HEAD
    for _ in range(centroids):
        b = at + 1
        for i in range(windows):
            total = 0.0
            for x in data[b + i : b + i + length]:
                total += x
            mean = total / length
            squares = 0.0
            for x in data[b + i : b + i + length]:
                squares += (x - mean) * (x - mean)
            sd = np.sqrt(squares / length)
            floored = max(sd, FLOOR)  # a centroid's own standard deviation is 1 at most
            data[b + normal_length + windows + i] = mean
            data[b + normal_length + 2 * windows + i] = 1.0 / floored
            data[b + normal_length + 3 * windows + i] = length * (sd / floored) * (sd / floored)
        at = b + normal_length + 4 * windows


@njit(cache=True)  # type: ignore[untyped-decorator]
def refresh(data, window, model, centroids, length, normal_length):  # type: ignore[no-untyped-def]
    """Make all dot products afresh from the subsequence at `window`, and note its largest reading."""
    windows = normal_length - length + 1
    centre = data[model + CENTRE]
    peak = 0.0
    for i in range(length):
        peak = max(peak, abs(data[window + i] - centre))
    data[model + PEAK] = peak
    at = model + HEAD
    for _ in range(centroids):
        b = at + 1
        q = b + normal_length
        for i in range(windows):
            total = 0.0
            for k in range(length):
                total += (data[window + k] - centre) * data[b + i + length - 1 - k]
            data[q + i] = total
        at = q + 4 * windows


@njit(cache=True)  # type: ignore[untyped-decorator]
def distance(data, window, oldest, model, centroids, length, normal_length, advance):  # type: ignore[no-untyped-def]
    """Return the (weighted) distance of the subsequence at `window` to the model; `oldest` is the reading that has just left it.

    `advance`: carry the dot products on by one reading; False where they are those of this very subsequence already.

    d = Σ_i w_i · min_j ‖z(T) − z(N^i_{j,ℓ})‖, z with standard deviations floored: a flat stretch is √ℓ from a shape, 0 from a flat.
    Afterwards ``data[model + NEAREST]`` is the number of the centroid that holds the nearest window, ``data[model + SD]`` the
    subsequence's own standard deviation.
    """
    windows = normal_length - length + 1
    quarter = length - length % 4
    centre = data[model + CENTRE]
    w = data[window : window + length]
    new, old = w[length - 1] - centre, oldest - centre
    if advance:
        at = model + HEAD + 1
        for _ in range(centroids):
            b = data[at : at + normal_length]
            left = data[at + length : at + normal_length]
            q = data[at + normal_length : at + normal_length + windows]
            before = data[at + normal_length + 1 : at + normal_length + windows]
            for i in range(windows - 1):
                q[i] = before[i] - old * left[i] + new * b[i]
            first = data[at + windows - 1 : at + normal_length]
            s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0  # four sums side by side, always these four: faster than one and everywhere the same
            for i in range(0, quarter, 4):
                s0 += (w[i] - centre) * first[length - 1 - i]
                s1 += (w[i + 1] - centre) * first[length - 2 - i]
                s2 += (w[i + 2] - centre) * first[length - 3 - i]
                s3 += (w[i + 3] - centre) * first[length - 4 - i]
            for i in range(quarter, length):
                s0 += (w[i] - centre) * first[length - 1 - i]
            q[windows - 1] = (s0 + s1) + (s2 + s3)
            at += 1 + normal_length + 4 * windows
    s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
    for i in range(0, quarter, 4):
        s0 += w[i] - centre
        s1 += w[i + 1] - centre
        s2 += w[i + 2] - centre
        s3 += w[i + 3] - centre
    for i in range(quarter, length):
        s0 += w[i] - centre
    total = (s0 + s1) + (s2 + s3)
    shift = centre + total / length
    s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
    for i in range(0, quarter, 4):
        s0 += (w[i] - shift) * (w[i] - shift)
        s1 += (w[i + 1] - shift) * (w[i + 1] - shift)
        s2 += (w[i + 2] - shift) * (w[i + 2] - shift)
        s3 += (w[i + 3] - shift) * (w[i + 3] - shift)
    for i in range(quarter, length):
        s0 += (w[i] - shift) * (w[i] - shift)
    variance = ((s0 + s1) + (s2 + s3)) / length
    data[model + SD] = np.sqrt(variance)
    floored = max(data[model + SD], data[model + FLOOR_AT])
    own = variance / (floored * floored)
    data[model + PEAK] = max(data[model + PEAK], abs(new))
    if data[model + PEAK] > REFRESH * floored:
        refresh(data, window, model, centroids, length, normal_length)
    twice = 2.0 / floored
    likeness = data[model + HEAD + centroids * (1 + normal_length + 4 * windows) :]
    weighted, nearest, nearest_centroid = 0.0, np.inf, 0
    at = model + HEAD
    for k in range(centroids):
        place = at + 1 + normal_length
        q = data[place : place + windows]
        means = data[place + windows : place + 2 * windows]
        inverse = data[place + 2 * windows : place + 3 * windows]
        energy = data[place + 3 * windows : place + 4 * windows]
        for i in range(windows):
            likeness[i] = (q[i] - total * means[i]) * (inverse[i] * twice) - energy[i]
        g0, g1, g2, g3, g4, g5, g6, g7 = -np.inf, -np.inf, -np.inf, -np.inf, -np.inf, -np.inf, -np.inf, -np.inf
        eighths = windows - windows % 8
        for i in range(0, eighths, 8):
            g0 = likeness[i] if likeness[i] > g0 else g0
            g1 = likeness[i + 1] if likeness[i + 1] > g1 else g1
            g2 = likeness[i + 2] if likeness[i + 2] > g2 else g2
            g3 = likeness[i + 3] if likeness[i + 3] > g3 else g3
            g4 = likeness[i + 4] if likeness[i + 4] > g4 else g4
            g5 = likeness[i + 5] if likeness[i + 5] > g5 else g5
            g6 = likeness[i + 6] if likeness[i + 6] > g6 else g6
            g7 = likeness[i + 7] if likeness[i + 7] > g7 else g7
        for i in range(eighths, windows):
            g0 = likeness[i] if likeness[i] > g0 else g0
        square = length * own - max(max(max(g0, g1), max(g2, g3)), max(max(g4, g5), max(g6, g7)))
        apart = np.sqrt(square) if square > SAME * length else 0.0
        weighted += data[at] * apart
        if apart < nearest:
            nearest, nearest_centroid = apart, k
        at = place + 4 * windows
    data[model + NEAREST] = nearest_centroid
    return weighted
