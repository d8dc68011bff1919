"""Modified Benford analysis over postings: every employee's leading digits against the cut-off log-normal law, window by window."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from detectors.benford.explain import explain_look
from detectors.benford.fold import (
    BLOCK,
    COUNT,
    ENTRY,
    LARGEST_DETAIL,
    LIMIT_HIGH,
    LIMIT_LOW,
    NO_LIMIT,
    ROOM,
    UNITS_A_YEAR,
    YEAR,
    fold_postings,
)
from detectors.benford.looks import NO_YEAR, first_day
from detectors.protocol import Alarms, Build, Columns, Explanation, Ints, Verdicts
from state.arena import Arena
from state.keys import KeyIndex
from state.moments import merge_moments, moments_record, no_moments, standard_deviation
from state.slab import Slab
from state.snapshot import Section, upgraded

SMALLEST_POPULATION = 100  # amounts: with fewer, sd(mu) is above a twentieth of a decade and would shift every employee's law
LARGEST_MU, SMALLEST_SIGMA, LARGEST_SIGMA = 100.0, 1e-6, 10.0  # decades; below 1e-6 all amounts are alike


class BenfordState:
    """What is kept of one partition's employees, and of the whole population.

    Attributes
    ----------
    keys
        Employee → slot.
    rows
        A row per slot: the open window's counts and what has been looked at.
    places
        Where a slot's postings lie in the arena, and the digit law last used for it: no part of the state.
    arena
        The open windows' postings: amount, the employee's own number of it, event time, partition and offset of its record.
    moments
        Shape (3,): count, mean, sum of squared deviations of log10(amount) of this partition's postings.
    population
        The same of the whole stream, as adopted last; count 0 before.
    reference
        Shape (2,): mu, sigma in force; NaN while there is none.
    epoch
        Counts references, so that a slot's law is known to be out of date.
    """

    def __init__(self, key_limit: int, reference: tuple[float, float]) -> None:
        self.keys = KeyIndex(key_limit)
        fresh = np.zeros(8, np.int64)
        fresh[[LIMIT_LOW, LIMIT_HIGH, YEAR]] = NO_LIMIT, NO_LIMIT, NO_YEAR
        self.rows = Slab(counts=fresh, observed=np.zeros(9, np.int64), expected=np.zeros(9))
        self.places = Slab(places=np.zeros(4, np.int64), laws=np.zeros(9))
        self.arena = Arena(np.int64)
        self.moments = no_moments()
        self.population = no_moments()
        self.reference = np.array(reference)
        self.epoch = 1

    def fit(self) -> None:
        """Have a row for every slot."""
        self.rows.fit(self.keys.capacity)
        self.places.fit(self.keys.capacity)


class BenfordDetector:
    """Chi-square of leading digits per employee over tumbling windows, against the cut-off log-normal reference.

    Parameters
    ----------
    alpha
        Level per employee and accounting year: the probability that an honest employee is ever alerted in a year is at most
        this. The k-th look of the year is held against α · 6 / (π² k²), which add up to α (Bonferroni over looks).
    window
        Postings between two looks. Digit 9 leads 1 in 22 amounts, so 110 are the fewest that let every digit lead five; fewer
        employees would ever be looked at with more.
    minimum_expected
        The fewest postings every possible digit must be expected to lead (Cochran's rule); until then the window goes on, up
        to four windows' length, after which nothing is tested and a new window begins.
    quiet_units
        Alerting looks at most this many apart are one episode. By default one lasts the accounting year: each year's looks are
        counted from a million of their own.
    year_start
        First day of the accounting year, MM-DD, UTC.
    exponent
        Decimal places of the currency's minor unit: an amount is minor units · 10^−exponent.
    key_limit
        Employees kept per partition.
    mu, sigma
        Fix the reference: mean and standard deviation of log10(amount in major units), before any cut. Without them the
        population's are used, as adopted; postings before the first adoption teach the population and are not tested.

    Notes
    -----
    `score` is the paper's chi-square; its p-value is the chi-square law's with the next term of its expansion (`look_tail`), since
    at these levels the law alone alerts on honest employees 1.3 to 1.6 times as often as promised.

    A window's expected counts add up, posting by posting, what the law then in force expected under that posting's own limit.
    Counts of unlike postings vary no more than multinomial ones, so a limit or reference that changes inside a window errs to
    the safe side. A posting above its own limit is left out: the cut-off law is the law of amounts given that they keep it.
    """

    name: ClassVar[str] = "benford"
    tests: ClassVar[tuple[str, ...]] = ("digits",)
    fields: ClassVar[Mapping[str, type]] = {
        "amount": np.int64, "limit": np.int64, "approval_limit": np.int64, "partition": np.int64, "offset": np.int64,
    }  # fmt: skip
    unit: ClassVar[str] = "look"
    verdict_closes: ClassVar[bool] = True

    def __init__(
        self, *, alpha: float = 0.005, window: int = 110, minimum_expected: float = 5.0, quiet_units: int = UNITS_A_YEAR - 1,
        year_start: str = "01-01", exponent: int = 2, key_limit: int = 100_000, mu: float | None = None, sigma: float | None = None,
    ) -> None:  # fmt: skip
        if not 0.0 < alpha < 1.0:
            raise ValueError(f"alpha = {alpha}: wanted a probability strictly between 0 and 1")
        if not 10 <= window <= 1_000_000:
            raise ValueError(f"window = {window}: wanted 10 to 1,000,000 postings")
        if not 0.0 < minimum_expected < math.inf:
            raise ValueError(f"minimum_expected = {minimum_expected}: wanted a finite number of postings above 0")
        if quiet_units < 1:
            raise ValueError(f"quiet_units = {quiet_units}: wanted at least 1 look")
        if not 0 <= exponent <= 8:
            raise ValueError(f"exponent = {exponent}: wanted the decimal places of a minor unit, 0 to 8")
        if key_limit < 1:
            raise ValueError(f"key_limit = {key_limit}: a partition must be able to keep at least one employee")
        if (mu is None) != (sigma is None):
            raise ValueError(f"mu = {mu}, sigma = {sigma}: wanted both or neither")
        if mu is not None and not abs(mu) <= LARGEST_MU:
            raise ValueError(f"mu = {mu}: wanted the mean of log10(amount), within −100 to 100")
        if sigma is not None and not SMALLEST_SIGMA <= sigma <= LARGEST_SIGMA:
            raise ValueError(f"sigma = {sigma}: wanted the standard deviation of log10(amount), 0.000001 to 10")
        self.alpha, self.window, self.minimum_expected, self.quiet_units = alpha, window, minimum_expected, (quiet_units,) * len(self.tests)
        self.year_start, self.exponent, self.key_limit = year_start, exponent, key_limit
        self.mu, self.sigma = mu, sigma
        self._first_day = first_day(year_start)

    def new_state(self) -> BenfordState:
        """A state in which nothing has been seen."""
        return BenfordState(self.key_limit, self._reference(no_moments()))

    def process(self, state: BenfordState, columns: Columns) -> Verdicts:
        """Score first, then learn, one posting at a time, in order."""
        n = len(columns)
        state.fit()
        verdicts = Verdicts.blank(n)
        verdicts.evidence = {"excess_mad": np.full(n, np.nan), "cramers_v": np.full(n, np.nan)}
        critical, detail, detail_stop = np.zeros(n, np.bool_), np.zeros(LARGEST_DETAIL), np.zeros(n, np.int64)
        row = 0
        while True:
            row = fold_postings(
                row, columns.slots, columns.at, columns.fields["amount"], columns.fields["limit"],
                columns.fields["partition"], columns.fields["offset"],
                state.rows["counts"], state.rows["observed"], state.rows["expected"], state.places["places"], state.places["laws"],
                state.arena.data, state.arena.header, state.moments, state.reference, state.epoch,
                float(self.alpha), self.window, float(self.minimum_expected), self._first_day, self.exponent,
                verdicts.score, verdicts.threshold, verdicts.p_value, verdicts.alert, critical, verdicts.seen,
                verdicts.needed, verdicts.unit, verdicts.reason, verdicts.evidence["excess_mad"], verdicts.evidence["cramers_v"],
                detail, detail_stop,
            )  # fmt: skip
            used = int(detail_stop[row - 1]) if row else 0
            if row == n:
                verdicts.alarms = Alarms.of_rows(
                    verdicts.alert, columns.slots, verdicts.unit, verdicts.score, verdicts.threshold, verdicts.p_value, critical,
                    detail[:used], detail_stop,
                )  # fmt: skip
                return verdicts
            if used + LARGEST_DETAIL > len(detail):
                detail = np.concatenate([detail, np.zeros(len(detail) + LARGEST_DETAIL)])
            else:
                state.arena.grow(ENTRY * 8 * self.window)

    def due(self, state: BenfordState) -> list[Build]:
        """Nothing is ever built."""
        return []

    def hand_over(self, state: BenfordState, build: Build, result: Any) -> None:
        """Nothing is ever built."""

    def adopt(self, state: BenfordState, inputs: Mapping[str, Any]) -> Alarms:
        """Take ``{"population": {"n", "mean", "m2"}}``, the merged moments of log10(amount), as the reference from here on.

        Fewer than 100 amounts, or amounts that are all alike, make no reference: what was in force stays. Where mu and sigma are
        settings, nothing adopted changes them.
        """
        record = inputs.get("population")
        if record is None or self.mu is not None:
            return Alarms.none()
        try:
            population = np.array([float(record["n"]), float(record["mean"]), float(record["m2"])])
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"population = {record!r}: wanted the numbers n, mean and m2") from None
        mu, sigma = self._reference(population)
        if not (abs(mu) <= LARGEST_MU and SMALLEST_SIGMA <= sigma <= LARGEST_SIGMA):
            return Alarms.none()
        state.population = population
        state.reference = np.array([mu, sigma])
        state.epoch += 1
        return Alarms.none()

    def contribution(self, state: BenfordState) -> Mapping[str, Any] | None:
        """The partition's own moments of log10(amount in major units), ``{"n", "mean", "m2"}``; None before its first posting."""
        return moments_record(state.moments) if state.moments[0] > 0 else None

    def merged(self, contributions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The population of all partitions.

        >>> BenfordDetector().merged([{"n": 2, "mean": 2.0, "m2": 2.0}, {"n": 1, "mean": 5.0, "m2": 0.0}])
        {'population': {'n': 3, 'mean': 3.0, 'm2': 8.0}}
        """
        return {"population": merge_moments(contributions)}

    def forget(self, state: BenfordState, slots: Ints) -> None:
        """Clear the rows of employees that the index has evicted."""
        state.fit()
        for block, room in state.places["places"][slots][:, [BLOCK, ROOM]].tolist():
            if room > 0:
                state.arena.release(block, ENTRY * room)
        state.rows.clear(slots)
        state.places.clear(slots)

    def freeze(self, state: BenfordState) -> dict[str, Section]:
        """The state in canonical form: employees in the order of their keys, open windows' postings one after another."""
        state.fit()
        order = state.keys.order()
        arrays: dict[str, NDArray[Any]] = state.rows.freeze(order)
        arrays["postings"] = state.arena.gather(state.places["places"][order, BLOCK], ENTRY * arrays["counts"][:, COUNT])
        arrays["moments"], arrays["population"] = state.moments.copy(), state.population.copy()
        return {"benford.keys": Section(1, state.keys.freeze()), "benford": Section(1, arrays)}

    def thaw(self, sections: Mapping[str, Section]) -> BenfordState:
        """The state of frozen sections."""
        keys, section = upgraded("benford.keys", sections["benford.keys"], 1, {}), upgraded("benford", sections["benford"], 1, {})
        state = self.new_state()
        state.keys = KeyIndex.thaw(dict(keys.arrays), self.key_limit)
        arrays = dict(section.arrays)
        postings = arrays.pop("postings")
        state.moments, state.population = arrays.pop("moments"), arrays.pop("population")
        state.reference = np.array(self._reference(state.population))
        state.rows.thaw(arrays)
        state.fit()
        counts = state.rows["counts"][: len(state.keys), COUNT]
        places = state.places["places"]
        places[: len(counts), BLOCK] = state.arena.scatter(postings, ENTRY * counts)
        places[: len(counts), ROOM] = counts
        return state

    def state_signature(self) -> dict[str, Any]:
        """The settings that shape the state."""
        return {
            "window": self.window, "minimum_expected": self.minimum_expected, "year_start": self.year_start, "exponent": self.exponent,
            "mu": self.mu, "sigma": self.sigma,
        }  # fmt: skip

    def explain(self, alarms: Alarms, i: int) -> Explanation:
        """Say why there is the i-th alarm, from the alarms alone."""
        return explain_look(alarms.detail_of(i))

    def _reference(self, population: NDArray[np.float64]) -> tuple[float, float]:
        if self.mu is not None and self.sigma is not None:
            return float(self.mu), float(self.sigma)
        if not population[0] >= SMALLEST_POPULATION or not population[2] >= 0.0:
            return math.nan, math.nan
        return float(population[1]), standard_deviation(float(population[0]), float(population[2]))
