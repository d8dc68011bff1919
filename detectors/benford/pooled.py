"""What all employees know together: a partition's part of it, the whole, and what of the whole is in force.

Every part is numbers that add up: moments of log10(amount), the histogram of amounts and limits, how many employees' digits scatter
how far, how often amounts repeat. The whole comes back through the cut log, so a partition is a function of its own log and its cuts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from detectors.benford.dispersion import dispersion, dispersion_counts, merge_dispersion
from detectors.benford.fit_check import check_log_normal
from detectors.benford.population import population_parameters
from detectors.benford.repeats import FILLS, group_sums, merge_repeats, repeat_shares, scatter
from detectors.protocol import Floats, Ints
from state.log_histogram import AMOUNTS, histogram_from, histogram_record, merge_histograms, no_amounts
from state.moments import COUNT, M2, MEAN, merge_moments, moments_record, no_moments, standard_deviation

SMALLEST_POPULATION = 100  # amounts: with fewer, sd(mu) is above a twentieth of a decade and would shift every employee's law
LARGEST_MU, SMALLEST_SIGMA, LARGEST_SIGMA = 100.0, 1e-6, 10.0  # decades; below 1e-6 all amounts are alike
HOLDS_FOR = 1_000  # distinct amounts of one employee that the log-normal must serve; where it does not, the amounts' own law does


class Population:
    """The population in force: adopted numbers, all of them part of the state, and what follows from them.

    Attributes
    ----------
    moments
        Shape (3,): count, mean, sum of squared deviations of log10(amount in major units); count 0 before the first adoption.
    histogram
        Shape (2, 1710): amounts and limits (`state.log_histogram`).
    scatters
        Shape (3,): the intraclass correlation of employees' digits, their repeats (1 where it is not known) and their bands.
    repeat_shares
        Shape (FILLS,): the share of amounts seen before, by how many are remembered; NaN where it is not known.
    reference
        Shape (4,): mu, sigma in force and their tolerances; mu NaN while there is none.
    fits
        Whether the log-normal describes the amounts.
    """

    def __init__(self, fixed: tuple[float, float] | None, tolerances: tuple[float, float], exponent: int) -> None:
        self._fixed, self._tolerances, self._exponent = fixed, tolerances, exponent
        self.moments, self.histogram = no_moments(), no_amounts()
        self.scatters, self.repeat_shares = np.array([0.0, 1.0, 0.0]), np.full(FILLS, np.nan)
        self.settle()

    def settle(self) -> None:
        """Work out what follows from the numbers."""
        mu, sigma = self._fixed if self._fixed is not None else _reference(self.moments, self.histogram, self._exponent)
        self.reference = np.array([mu, sigma, *self._tolerances])
        known = not math.isnan(mu)
        self.fits = not known or check_log_normal(self.histogram, mu, sigma, exponent=self._exponent).holds(HOLDS_FOR)

    def adopt(self, record: Mapping[str, Any]) -> bool:
        """Take a merged record; return whether anything changed.

        Fewer than 100 amounts, or amounts that are all alike, make no reference: what was in force stays.
        """
        try:
            moments = np.array([float(record["n"]), float(record["mean"]), float(record["m2"])])
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"population = {record!r}: wanted the numbers n, mean and m2") from None
        histogram = histogram_from(record) if "amounts" in record else no_amounts()
        mu, sigma = _reference(moments, histogram, self._exponent)
        if not (abs(mu) <= LARGEST_MU and SMALLEST_SIGMA <= sigma <= LARGEST_SIGMA):
            return False
        before = self.frozen()
        self.moments, self.histogram = moments, histogram
        if "dispersion" in record:
            self.scatters[0] = dispersion([int(count) for count in record["dispersion"]])
            self.scatters[2] = dispersion([int(count) for count in record["band"]])
        if "repeats" in record:
            counted = record["repeats"]
            self.scatters[1] = scatter([int(total) for total in counted["sums"]])
            self.repeat_shares = repeat_shares(np.array([counted["postings"], counted["repeats"]], np.int64))
        self.settle()
        after = self.frozen()
        return any(after[name].tobytes() != before[name].tobytes() for name in after)

    def frozen(self) -> dict[str, np.ndarray[Any, Any]]:
        """What a state keeps of it."""
        return {
            "population": self.moments.copy(), "population_histogram": self.histogram.copy(),
            "population_scatters": self.scatters.copy(), "population_repeats": self.repeat_shares.copy(),
        }  # fmt: skip

    def thaw(self, arrays: dict[str, np.ndarray[Any, Any]]) -> None:
        """Take its arrays out of a frozen state."""
        self.moments, self.histogram = arrays.pop("population"), arrays.pop("population_histogram")
        self.scatters, self.repeat_shares = arrays.pop("population_scatters"), arrays.pop("population_repeats")
        self.settle()


def contribution(
    moments: Floats,
    histogram: Ints,
    fills: Ints,
    digits: Ints,
    expected: Floats,
    band: Ints,
    expected_band: Floats,
    repeats: Ints,
    postings: Ints,
) -> dict[str, Any]:
    """A partition's part: what it has learned of amounts, and employees' rows in the order of their keys.

    `digits`, `expected` (employees, 9), `band`, `expected_band` (employees, 2: in it, elsewhere), `repeats` and `postings`
    (employees,): this accounting year's.
    """
    return {
        **moments_record(moments),
        **histogram_record(histogram),
        "dispersion": dispersion_counts(digits, expected),
        "band": dispersion_counts(band, expected_band),
        "repeats": {"postings": fills[0].tolist(), "repeats": fills[1].tolist(), "sums": group_sums(repeats, postings)},
    }


def merge_contributions(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The whole of partitions' parts; those of an older build bring moments only.

    Examples
    --------
    >>> merge_contributions([{"n": 2, "mean": 2.0, "m2": 2.0}, {"n": 1, "mean": 5.0, "m2": 0.0}])
    {'n': 3, 'mean': 3.0, 'm2': 8.0}
    """
    whole: dict[str, Any] = dict(merge_moments(records))
    full = [record for record in records if "amounts" in record]
    if full:
        whole |= merge_histograms(full)
        whole["dispersion"] = merge_dispersion([record["dispersion"] for record in full])
        whole["band"] = merge_dispersion([record["band"] for record in full])
        whole["repeats"] = merge_repeats([record["repeats"] for record in full])
    return whole


def _reference(moments: Floats, histogram: Ints, exponent: int) -> tuple[float, float]:
    """Mu and sigma before any cut, where the limits are known; as the moments have them where only these are."""
    n, m2 = float(moments[COUNT]), float(moments[M2])
    if not n >= SMALLEST_POPULATION or not m2 >= 0.0 or not SMALLEST_SIGMA**2 * n <= m2 <= LARGEST_SIGMA**2 * n:
        return math.nan, math.nan
    if int(histogram[AMOUNTS].sum()) != n:
        return float(moments[MEAN]), standard_deviation(n, m2)
    fit = population_parameters(moments, histogram, exponent=exponent)
    return fit.mu, fit.sigma
