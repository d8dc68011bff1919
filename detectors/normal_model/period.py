"""`length = "auto"`: a subsequence is as long as the series' dominant period, if it has one; with the evidence.

The autocorrelation says how well the series agrees with itself a lag later, the periodogram how much of its variance is repeated at
that period and its fractions. Either alone errs: an autocorrelation is as high at two periods as at one, and a spectrum of sharp
beats has its largest line at a harmonic (Vlachos, Yu, Castelli, *On Periodicity Detection and Structural Similarity*, SDM 2005,
join them the same way, hints from one and proof from the other).

Measured, 2,000 to 10,000 readings: heartbeats (803: 107 to 114 readings, 805: 98 to 100), breaths (37 to 44), the day and the week of a
power meter (96 and 672) and of taxis (48) are found from every start but one of 2,000 readings. White noise never has a period (none
of 600 series). Some random walks seem to have one, as four slow swings will: 37, 27, 14 % of those of 2,000, 5,000, 10,000 readings.

A stream's sensor is given no period longer than a twenty-seventh of its warm-up, for a model wants nine windows of three: of 5,000
readings, 185.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

REPEATS = 4  # periods that a series must hold for one of them to be believed
STRONG = 0.2  # autocorrelation from which a lag is a period, and what it must rise from the valley before: a smooth series has ripples
AS_GOOD = 0.85  # of the best lag's autocorrelation: a shorter lag that reaches it is the period, and the best lag a multiple of it
RARE = 1e-3  # chance that noise has a line of the periodogram as large
LARGEST = 1e100  # readings beyond are taken as this: their squares must stay finite
OUTLYING = 6.0  # quartile ranges from the median beyond which a value is cut: one spike would be all the variance there is


@dataclass(frozen=True, slots=True)
class Proposal:
    """A length, and why.

    Attributes
    ----------
    length
        Readings of the dominant period; None where the series has none within the bounds.
    strength
        Autocorrelation at that lag, of the best lag where there is no period; 1 for a series that repeats itself exactly.
    power
        Share of the variance that lies at the period and its fractions (the lines of the periodogram nearest to them); NaN without.
    line
        Period of the largest line of the periodogram within the bounds, readings; it may be a fraction of the length.
    chance
        Fisher's bound on the chance of white noise having a line as large as that.
    others
        Lags that were weighed and their autocorrelations, the best first, five at most.
    """

    length: int | None
    strength: float
    power: float
    line: float
    chance: float
    others: tuple[tuple[int, float], ...]


def propose_length(values: Floats, shortest: int, longest: int) -> Proposal:
    """Return the dominant period of a series, between `shortest` and `longest` readings.

    Parameters
    ----------
    values
        The readings, evenly spaced, shape (n,). What is not finite is taken as the median.
    shortest, longest
        Bounds on the length, readings. No more than n / 4 is ever proposed.

    Raises
    ------
    ValueError
        If the bounds make no sense.

    Examples
    --------
    >>> propose_length(np.sin(2 * np.pi * np.arange(2000) / 50), 10, 400).length
    50
    >>> propose_length(np.zeros(2000), 10, 400).length is None
    True
    """
    if not 2 <= shortest <= longest:
        raise ValueError(f"shortest = {shortest}, longest = {longest}: wanted 2 <= shortest <= longest")
    values = _tamed(np.asarray(values, np.float64), longest)
    longest = min(longest, len(values) // REPEATS)
    if shortest > longest or not values.any():
        return Proposal(None, 0.0, np.nan, np.nan, 1.0, ())
    likeness = autocorrelation(values, longest + 1)
    power, chance, line = _spectrum(values, shortest, longest)
    hills = 1 + np.flatnonzero((likeness[1:-1] >= likeness[:-2]) & (likeness[1:-1] > likeness[2:]))
    valley = np.minimum.accumulate(likeness)
    hills = hills[(hills >= shortest) & (likeness[hills] - valley[hills] >= STRONG)]
    if len(hills) == 0:
        return Proposal(None, 0.0, np.nan, line, chance, ())
    ranked = hills[np.argsort(-likeness[hills], kind="stable")]
    others = tuple((int(lag), float(likeness[lag])) for lag in ranked[:5])
    best = float(likeness[ranked[0]])
    if best < STRONG or chance > RARE:
        return Proposal(None, best, np.nan, line, chance, others)
    length = int(hills[likeness[hills] >= AS_GOOD * best][0])
    return Proposal(length, float(likeness[length]), _repeated(power, len(values), length), line, chance, others)


def autocorrelation(values: Floats, longest: int) -> Floats:
    """Correlation of a series of mean 0 with itself `lag` readings later, for lag 0 … `longest`.

    Each lag is divided by the energies of the two stretches that it compares, so a long lag is not small for want of pairs.
    """
    n = len(values)
    spectrum = np.fft.rfft(values, 1 << (2 * n - 1).bit_length())
    products = np.fft.irfft(spectrum * np.conj(spectrum))[: longest + 1]
    energy = np.concatenate([[0.0], np.cumsum(values * values)])
    lags = np.arange(longest + 1)
    both = np.sqrt(energy[n - lags] * (energy[n] - energy[lags]))
    return np.asarray(np.where(both > 0, products / np.where(both > 0, both, 1.0), 0.0))


def _tamed(values: Floats, longest: int) -> Floats:
    """Without outliers and without what is slower than the longest period: mean 0 over any stretch as long as that."""
    finite = np.isfinite(values)
    if not finite.any():
        return np.zeros(len(values))
    values = np.clip(np.where(finite, values, np.median(values[finite])), -LARGEST, LARGEST)
    low, middle, high = np.percentile(values, (25, 50, 75))
    reach = OUTLYING * (high - low) if high > low else np.inf
    values = np.clip(values, middle - reach, middle + reach) - middle
    scale = np.abs(values).max()
    if not scale > 1e-12 * abs(middle):
        return np.zeros(len(values))
    values = values / scale
    span = min(longest, len(values))
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(len(values))
    first, last = np.maximum(ends - span // 2, 0), np.minimum(ends + (span + 1) // 2, len(values))
    return np.asarray(values - (sums[last] - sums[first]) / (last - first))


def _spectrum(values: Floats, shortest: int, longest: int) -> tuple[Floats, float, float]:
    """The periodogram, Fisher's bound for its largest line within the bounds, and that line's period."""
    power = np.abs(np.fft.rfft(values)) ** 2
    power[0] = 0.0
    n, lines = len(values), len(power) - 1
    inside = np.arange(-(-n // longest), min(n // shortest, lines) + 1)
    if len(inside) == 0:  # bounds between two lines
        return power, 1.0, np.nan
    largest = int(inside[np.argmax(power[inside])])
    share = float(power[largest] / power.sum())
    return power, float(min(1.0, lines * (1.0 - share) ** (lines - 1))), n / largest


def _repeated(power: Floats, n: int, length: int) -> float:
    """Share of the power at the period and its fractions, each with the line on either side (a period is no whole number of lines)."""
    places = np.round(np.arange(1, length // 2 + 1) * n / length).astype(np.int64)
    near = np.unique(np.concatenate([places - 1, places, places + 1]))
    near = near[(near > 0) & (near < len(power))]
    return float(power[near].sum() / power.sum())
