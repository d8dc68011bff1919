"""Modified Benford analysis over postings: evidence against every employee that may be looked at every day."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from detectors.benford.ebh import merge_periods, period_record
from detectors.benford.explain import explain_alarm
from detectors.benford.fold import LATEST_PERIOD, TOLD_PERIOD, fold_postings
from detectors.benford.laws import no_laws
from detectors.benford.limits import Limits
from detectors.benford.periods import period_alarms, period_e_values
from detectors.benford.pooled import LARGEST_MU, LARGEST_SIGMA, SMALLEST_SIGMA, Population, contribution, merge_contributions
from detectors.benford.repeats import FILLS
from detectors.benford.rows import BAND_PLACE, BAND_TRIALS, NO_LIMIT, REPEATS_PLACE, TRIALS, Rows
from detectors.benford.told import LARGEST_DETAIL
from detectors.benford.verdicts import judge
from detectors.benford.years import NO_YEAR, UNITS_A_YEAR, first_day, period_before
from detectors.protocol import Alarms, Build, Columns, Explanation, Ints, Verdicts
from state.keys import KeyIndex
from state.log_histogram import no_amounts
from state.moments import no_moments
from state.snapshot import Section, upgraded

TESTS = ("digits", "onset", "band", "repeats", "period")
_HALF = math.log(0.5)


class BenfordState:
    """What is kept of one partition's employees, and of the whole population.

    Attributes
    ----------
    keys
        Employee → slot.
    rows
        A row per slot, 6 KiB: what `told` names, the bets of `evidence`, the amounts remembered, the postings that drive a place.
    moments, histogram, fills
        What this partition has learned of its own: moments and histogram of distinct amounts that kept their limit, and postings and
        repeats by how many amounts were remembered, (2, FILLS).
    population
        The same of the whole stream, as adopted last, and the reference that follows.
    limits
        What a register says of employees' limits, adopted at cuts.
    clock
        Shape (2,): the latest period of any posting, and the last at whose end employees were compared.
    epoch
        Counts references, so that a law remembered in `whose` and `laws` is known to be out of date; none of the three is kept.
    """

    def __init__(self, key_limit: int, population: Population, distinct: int) -> None:
        self.keys = KeyIndex(key_limit)
        self.rows = Rows(distinct)
        self.moments, self.histogram, self.fills = no_moments(), no_amounts(), np.zeros((2, FILLS), np.int64)
        self.population = population
        self.limits = Limits()
        self.clock = np.full(2, NO_YEAR, np.int64)
        self.epoch = 1
        self.whose, self.laws = no_laws()

    def fit(self) -> None:
        """Have a row for every slot."""
        self.rows.fit(self.keys.capacity)


class BenfordDetector:
    """Evidence per employee and accounting year: digits, late onset, the band below the approval limit, repeated amounts.

    Parameters
    ----------
    alpha
        Level per employee and accounting year: the probability that an honest employee is ever alerted in a year is at most this,
        however often the evidence is looked at. Digits, band and repeats have a third of it each; that of the digits is halved between
        fraud from the start ("digits") and late fraud ("onset"). None: false_alarms_per_1000_employees_per_year / 1,000.
    false_alarms_per_1000_employees_per_year
        The same in units a person can budget; `alpha` goes before it.
    false_discovery_rate
        [q] Of the employees named at a period's end, the share that may be honest, in the mean (e-BH).
    period_months
        Months of such a period: 1, 2, 3, 4, 6 or 12.
    tolerance_mu, tolerance_sigma
        How far the honest mu and sigma may lie from the reference; decades. Employees who differ by more show in the scatter of digits and
        of bands, which is estimated and allowed for.
    band_width
        [w] The band below an approval limit A is [A (1 − w), A).
    limit
        Accounting limit of postings that name none and whose employee has none of his own; minor units, 0 for none.
    approval_limits
        Of such postings; minor units, ascending.
    distinct
        Amounts remembered of an employee, so that each counts once among his digits.
    window
        Postings of the tumbling window that `excess_mad` and `cramers_v` describe.
    minimum_expected
        The fewest postings every possible digit must be expected to lead before a window is described (Cochran's rule).
    half_life
        Postings after which a posting weighs half in the digits "of late".
    quiet_units
        An episode lasts as long: by default to the accounting year's end, unless a verdict closes it. Years' units lie a million apart.
    year_start
        First day of the accounting year, MM-DD.
    utc_offset
        Minutes by which the accounting clock is ahead of UTC.
    exponent
        Decimal places of the currency's minor unit: an amount is minor units · 10^−exponent.
    key_limit
        Employees kept per partition.
    mu, sigma
        Fix the reference: mean and standard deviation of log10(amount in major units), before any cut. Without them the
        population's are used, as adopted; postings before the first adoption teach the population and are not tested.

    Notes
    -----
    A row's `score` is the most that any of the four tests has, as a share of what its level asks for; an alarm stands where it reaches 1,
    once a day and test. An alarm's own score is the e-value (for "onset" the Shiryaev–Roberts statistic).

    A new reference or limit starts nothing anew: every posting is bet on under the law in force before it was seen, which is all that
    the guarantee needs. A posting above its own limit is left out of the digits; the cut-off law is the law of amounts that keep it.
    """

    name: ClassVar[str] = "benford"
    tests: ClassVar[tuple[str, ...]] = TESTS
    fields: ClassVar[Mapping[str, type]] = {
        "amount": np.int64, "limit": np.int64, "approval_limit": np.int64,
        "upstream": np.int64, "partition": np.int64, "offset": np.int64,
    }  # fmt: skip
    unit: ClassVar[str] = "day"
    verdict_closes: ClassVar[bool] = True
    topics: tuple[str, str] = ("this log", "upstream")  # names in evidence of where postings stand; streams put the topics' own here

    def __init__(
        self, *, alpha: float | None = None, false_alarms_per_1000_employees_per_year: float = 5.0, false_discovery_rate: float = 0.05,
        period_months: int = 3, tolerance_mu: float = 0.02, tolerance_sigma: float = 0.015, band_width: float = 0.1,
        limit: int = 0, approval_limits: Sequence[int] = (), distinct: int = 256, window: int = 110, minimum_expected: float = 5.0,
        half_life: float = 700.0, quiet_units: int = UNITS_A_YEAR - 1, year_start: str = "01-01", utc_offset: int = 0, exponent: int = 2,
        key_limit: int = 100_000, mu: float | None = None, sigma: float | None = None,
    ) -> None:  # fmt: skip
        budget = false_alarms_per_1000_employees_per_year
        if not 0.0 < budget < 1_000.0:
            raise ValueError(f"false_alarms_per_1000_employees_per_year = {budget}: wanted a number above 0 and below 1,000")
        if alpha is not None and not 0.0 < alpha < 1.0:
            raise ValueError(f"alpha = {alpha}: wanted a probability strictly between 0 and 1")
        if not 0.0 < false_discovery_rate < 1.0:
            raise ValueError(f"false_discovery_rate = {false_discovery_rate}: wanted a share strictly between 0 and 1")
        if period_months not in (1, 2, 3, 4, 6, 12):
            raise ValueError(f"period_months = {period_months}: wanted 1, 2, 3, 4, 6 or 12 months")
        if not 0.0 <= tolerance_mu <= 1.0:
            raise ValueError(f"tolerance_mu = {tolerance_mu}: wanted 0 to 1 decades")
        if not 0.0 <= tolerance_sigma <= 1.0:
            raise ValueError(f"tolerance_sigma = {tolerance_sigma}: wanted 0 to 1 decades")
        if not 0.001 <= band_width <= 0.3:
            raise ValueError(f"band_width = {band_width}: wanted a share of the approval limit, 0.001 to 0.3")
        if not 0 <= limit < 2**62:
            raise ValueError(f"limit = {limit}: wanted an amount of minor units, 0 for none")
        if list(approval_limits) != sorted(set(approval_limits)) or any(limit < 2 for limit in approval_limits):
            raise ValueError(f"approval_limits = {list(approval_limits)}: wanted ascending amounts of 2 minor units and more")
        if not 1 <= distinct <= 65_536:
            raise ValueError(f"distinct = {distinct}: wanted 1 to 65,536 amounts")
        if not 10 <= window <= 1_000_000:
            raise ValueError(f"window = {window}: wanted 10 to 1,000,000 postings")
        if not 0.0 < minimum_expected < math.inf:
            raise ValueError(f"minimum_expected = {minimum_expected}: wanted a finite number of postings above 0")
        if not 1.0 <= half_life < math.inf:
            raise ValueError(f"half_life = {half_life}: wanted at least 1 posting")
        if quiet_units < 1:
            raise ValueError(f"quiet_units = {quiet_units}: wanted at least 1 day")
        if not -1_439 <= utc_offset <= 1_439:
            raise ValueError(f"utc_offset = {utc_offset}: wanted minutes within a day")
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
        self.alpha = budget / 1_000.0 if alpha is None else alpha
        self.false_discovery_rate, self.period_months = false_discovery_rate, period_months
        self.tolerance_mu, self.tolerance_sigma, self.band_width = tolerance_mu, tolerance_sigma, band_width
        self.limit = limit
        self.approval_limits = np.array(approval_limits, np.int64)
        self.distinct, self.window, self.minimum_expected, self.half_life = distinct, window, minimum_expected, half_life
        self.quiet_units = (quiet_units,) * len(self.tests)
        self.year_start, self.utc_offset, self.exponent, self.key_limit = year_start, utc_offset, exponent, key_limit
        self.mu, self.sigma = mu, sigma
        self._first_day, self._decay = first_day(year_start), math.exp(_HALF / half_life)

    def new_state(self) -> BenfordState:
        """A state in which nothing has been seen."""
        fixed = (float(self.mu), float(self.sigma)) if self.mu is not None and self.sigma is not None else None
        population = Population(fixed, (self.tolerance_mu, self.tolerance_sigma), self.exponent)
        return BenfordState(self.key_limit, population, self.distinct)

    def process(self, state: BenfordState, columns: Columns) -> Verdicts:
        """Score first, then learn, one posting at a time, in order."""
        n = len(columns)
        state.fit()
        state.limits.meet(columns.slots, state.keys, state.rows)
        verdicts = Verdicts.blank(n)
        told_e, told_window = np.full((4, n), np.nan), np.full((2, n), np.nan)
        room = 8
        alarms = Alarms(np.zeros((room, 5), np.int64), np.zeros((room, 4)), np.zeros(room * LARGEST_DETAIL), np.zeros(room, np.int64))
        row, used, rows, everybody = 0, 0, state.rows, state.population
        fields = columns.fields
        while True:
            row, used = fold_postings(
                row, columns.slots, columns.at, fields["amount"], fields["limit"], fields["approval_limit"],
                fields["upstream"], fields["partition"], fields["offset"],
                rows.whole, rows.real, self.distinct, state.moments, state.histogram, state.fills, state.clock,
                everybody.reference, everybody.histogram, everybody.fits, everybody.scatters, everybody.repeat_shares,
                state.epoch, state.whose, state.laws, self.approval_limits,
                float(self.alpha), self.window, float(self.minimum_expected), self._decay, float(self.band_width),
                self._first_day, self.period_months, self.utc_offset, self.exponent, self.limit or NO_LIMIT,
                verdicts.score, verdicts.threshold, verdicts.p_value, verdicts.alert, verdicts.seen, verdicts.needed, verdicts.unit,
                verdicts.reason, told_e, told_window, alarms.places, alarms.numbers, alarms.detail, alarms.detail_stop, used,
            )  # fmt: skip
            if row == n:
                break
            alarms = Alarms(*(_doubled(each) for each in (alarms.places, alarms.numbers, alarms.detail, alarms.detail_stop)))
        end = int(alarms.detail_stop[used - 1]) if used else 0
        verdicts.alarms = Alarms(alarms.places[:used], alarms.numbers[:used], alarms.detail[:end], alarms.detail_stop[:used])
        verdicts.evidence = dict(zip(TESTS, told_e, strict=False)) | {"excess_mad": told_window[0], "cramers_v": told_window[1]}
        return verdicts

    def due(self, state: BenfordState) -> list[Build]:
        """Nothing is ever built."""
        return []

    def hand_over(self, state: BenfordState, build: Build, result: Any) -> None:
        """Nothing is ever built."""

    def adopt(self, state: BenfordState, inputs: Mapping[str, Any]) -> Alarms:
        """Take in what a cut brings.

        ``{"population": …}``, the merged contributions (the moments n, mean, m2 alone will do): the reference from here on, unless it is
        fixed by settings. ``{"verdicts": […]}``: what people say of alerts. ``{"limits": […]}``: employees' limits, in minor units.
        ``{"period_end": {"period", "threshold", …}}``: who is named at a period's end, once a period.
        """
        if inputs.get("population") is not None and state.population.adopt(inputs["population"]):
            state.epoch += 1
        state.fit()
        for verdict in inputs.get("verdicts") or ():
            judge(state.rows, int(verdict["slot"]), int(verdict["test"]), str(verdict["verdict"]), int(verdict["last_unit"]))
        state.limits.adopt(inputs.get("limits") or (), state.keys, state.rows)
        if "erase" in inputs:
            state.limits.erase(inputs["erase"])
        ended = inputs.get("period_end")
        if ended is None or int(ended["period"]) <= state.clock[TOLD_PERIOD]:
            return Alarms.none()
        state.clock[TOLD_PERIOD] = int(ended["period"])
        return period_alarms(
            state.rows, state.keys.order(), ended, state.population, alpha=self.alpha, exponent=self.exponent, width=self.band_width
        )

    def contribution(self, state: BenfordState) -> Mapping[str, Any] | None:
        """The partition's part of the population, and the e-values at the end of its last period; None before its first posting."""
        if state.fills[0].sum() == 0:
            return None
        state.fit()
        order = state.keys.order()
        rows = state.rows
        trials, inside, wanted = rows["counts"][order, BAND_TRIALS], rows["hits"][order, BAND_PLACE], rows["expected"][order, BAND_PLACE]
        part = contribution(
            state.moments, state.histogram, state.fills, rows["hits"][order, :9], rows["expected"][order, :9],
            np.stack([inside, trials - inside], axis=1), np.stack([wanted, trials - wanted], axis=1),
            rows["hits"][order, REPEATS_PLACE], rows["counts"][order, TRIALS],
        )  # fmt: skip
        over = period_before(int(state.clock[LATEST_PERIOD]), self.period_months)
        return {**part, "period": period_record(over, period_e_values(rows, order, over), self.false_discovery_rate)}

    def merged(self, contributions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The population of all partitions and, once all have reached the end of a period, who is named at it.

        >>> BenfordDetector().merged([{"n": 2, "mean": 2.0, "m2": 2.0}, {"n": 1, "mean": 5.0, "m2": 0.0}])
        {'population': {'n': 3, 'mean': 3.0, 'm2': 8.0}}
        """
        inputs: dict[str, Any] = {"population": merge_contributions(contributions)}
        ended = merge_periods([part["period"] for part in contributions if "period" in part], self.false_discovery_rate)
        return inputs if ended is None else {**inputs, "period_end": ended}

    def forget(self, state: BenfordState, slots: Ints) -> None:
        """Clear the rows of employees that the index has evicted."""
        state.fit()
        state.rows.clear(slots)
        state.limits.forget(slots)

    def freeze(self, state: BenfordState) -> dict[str, Section]:
        """The state in canonical form: employees in the order of their keys."""
        state.fit()
        arrays: dict[str, NDArray[Any]] = state.rows.freeze(state.keys.order())
        arrays |= {"moments": state.moments.copy(), "histogram": state.histogram.copy(), "fills": state.fills.copy()}
        arrays |= {"clock": state.clock.copy(), **state.population.frozen()}
        return {
            "benford.keys": Section(1, state.keys.freeze()),
            "benford": Section(4, arrays),
            "benford.limits": Section(1, state.limits.freeze()),
        }

    def thaw(self, sections: Mapping[str, Section]) -> BenfordState:
        """The state of frozen sections."""
        keys, section = (
            upgraded("benford.keys", sections["benford.keys"], 1, {}),
            upgraded("benford", sections["benford"], 4, {3: _without_driven}),
        )
        state = self.new_state()
        state.keys = KeyIndex.thaw(dict(keys.arrays), self.key_limit)
        arrays = dict(section.arrays)
        state.moments, state.histogram, state.fills = arrays.pop("moments"), arrays.pop("histogram"), arrays.pop("fills")
        state.clock = arrays.pop("clock")
        state.population.thaw(arrays)
        state.rows.thaw(arrays)
        if "benford.limits" in sections:
            state.limits = Limits.thaw(upgraded("benford.limits", sections["benford.limits"], 1, {}).arrays)
        state.fit()
        return state

    def state_signature(self) -> dict[str, Any]:
        """The settings that shape the state."""
        return {
            "window": self.window, "half_life": self.half_life, "distinct": self.distinct, "band_width": self.band_width,
            "limit": self.limit, "approval_limits": self.approval_limits.tolist(),
            "tolerance_mu": self.tolerance_mu, "tolerance_sigma": self.tolerance_sigma,
            "year_start": self.year_start, "utc_offset": self.utc_offset, "period_months": self.period_months, "exponent": self.exponent,
            "mu": self.mu, "sigma": self.sigma,
        }  # fmt: skip

    def explain(self, alarms: Alarms, i: int) -> Explanation:
        """Say why there is the i-th alarm, from the alarms alone."""
        return explain_alarm(alarms.detail_of(i), self.topics)


def _without_driven(section: Section) -> Section:
    """How often a place was driven was kept beside how often it was hit: the same number."""
    return Section(4, {name: array for name, array in section.arrays.items() if name != "driven"}, section.meta)


def _doubled(array: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([array, np.zeros_like(array)])
