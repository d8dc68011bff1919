"""Candidate windows for a Normal Model, none overlapping: drawn at random (NorM-smpl), or those that have a twin (NorM-SJ)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from state.draws import SAMPLE_CANDIDATES, draw, uniform

Floats = NDArray[np.float64]

FEWEST = 12  # windows, where the series has room for them: 0.4 of a warm-up of nine windows would leave three to cluster
MOST = 400  # windows: complete linkage is quadratic, and the accuracy is flat long before


def sample_starts(points: int, normal_length: int, sample_rate: float, key_hash: int, number: int) -> NDArray[np.int64]:
    """Return where the candidate windows start, NorM-smpl (Boniol et al., ICDE 2020, section IV-A).

    Parameters
    ----------
    points
        Length of the series.
    normal_length
        ℓ_NM, in points.
    sample_rate
        r: the share of the series that the windows cover, at most 1.
    key_hash, number
        The sensor's hash and its own reading number: the same series of the same sensor draws the same windows.

    Returns
    -------
    Ascending starts, at least `normal_length` apart; one at least.

    Notes
    -----
    The paper asks for |S| < r·|T| / ℓ_NM and draws window by window. Here all placements of that many windows without overlap are
    equally likely: sorted draws on what the windows leave free, each pushed right by the windows before it.

    Raises
    ------
    ValueError
        If the series is shorter than one window.
    """
    if points < normal_length:
        raise ValueError(f"{points} points: a Normal Model of {normal_length} points needs at least as many")
    room = points // normal_length
    count = min(max(int(sample_rate * points / normal_length), min(room, FEWEST)), room, MOST)
    free = points - count * normal_length
    seed = np.uint64(draw(np.uint64(key_hash), number, SAMPLE_CANDIDATES))
    places = sorted(int(uniform(seed, i, SAMPLE_CANDIDATES) * (free + 1)) for i in range(count))
    return np.array([place + i * normal_length for i, place in enumerate(places)], np.int64)


def recurring_starts(values: Floats, normal_length: int) -> NDArray[np.int64]:
    """Return where the windows start that have a near twin elsewhere in the series, NorM-SJ (section IV-A).

    Parameters
    ----------
    values
        Finite, shape (n,), n ≥ ℓ_NM. The self-join takes O(n²): half a minute for 100,000 points.
    normal_length
        ℓ_NM, in points.
    """
    import stumpy  # its kernels compile for seconds: only who wants the self-join waits for them

    if len(values) < 2 * normal_length:
        return sample_starts(len(values), normal_length, 1.0, 0, 0)  # there is nothing to be joined with
    return below_the_mean(stumpy.stump(values, normal_length)[:, 0].astype(np.float64), normal_length)


def below_the_mean(profile: Floats, normal_length: int) -> NDArray[np.int64]:
    """Return the windows with P_i < ε, ε = mean(P), taken from left to right, each the first that does not overlap the last one taken.

    Parameters
    ----------
    profile
        P: distance of every window to its nearest other one, shape (n − ℓ_NM + 1,).
    normal_length
        ℓ_NM, in points.

    Returns
    -------
    Ascending starts; where there are more than `MOST`, evenly thinned. All windows alike: any of them will do, from the first on.
    """
    usual = profile < np.mean(profile)
    starts: list[int] = []
    after = 0
    for start in np.flatnonzero(usual if usual.any() else np.ones(len(profile), np.bool_)).tolist():
        if start >= after:
            starts.append(start)
            after = start + normal_length
    kept = np.linspace(0, len(starts) - 1, min(len(starts), MOST)).round().astype(np.int64)
    return np.array(starts, np.int64)[kept]
