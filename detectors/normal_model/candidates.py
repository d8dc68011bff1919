"""Candidate windows for a Normal Model: drawn at random, without overlap, and the same again in a replay."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from state.draws import SAMPLE_CANDIDATES, draw, uniform

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
