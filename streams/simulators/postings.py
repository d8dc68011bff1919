"""Employees who post amounts, some of whom post fraud: accounting data in the spirit of the paper's 3LSPG.

3LSPG, the simulator behind Winter, Schneider and Yannikos (2011), has three layers, and so has this one. *Who*: honest employees,
fraudsters, and accomplices who help. *When*: a Markov chain of days carries every fraudster into spells of fraud and out again, and
his accomplices with him. *What*: honest amounts follow a log-normal law and are drawn again until they keep the employee's
accounting limit; fraud lies just below a threshold, here the limit above which somebody would have to approve.

By default employees are as in the paper's Table 1: alike, each posting a fraud with the same chance. What real ledgers add can be
switched on: spells, a late beginning, different limits, employees unlike each other, fees that repeat.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CENSUS = Path(__file__).with_name("data") / "census_1990_county_population.csv"
HONEST, FRAUD = 0, 1
NO_LIMIT = -1
BEGIN = 1_767_225_600  # 2026-01-01T00:00:00Z
ACCOMPLICE_SHARE = 0.1  # of a fraudster's rate
SPELL_SHARE = 0.2  # of the days lie in spells of fraud, where there are spells; the share of fraud in them is five times as high
BAND = 0.1  # fraud lies in the last tenth below the approval limit: U[90, 100) below 100
STANDING = 3  # amounts that an employee posts again and again: fees, rents, subscriptions
MOST_DRAWS = 1_000  # of an amount, before its law is said not to fit its limit
_DAY = 86_400
_FIRST_HOUR, _HOURS = 8, 10  # postings are made from 8 to 18 o'clock
_ACTIVITY, _SPREAD, _SPELLS, _STANDING = range(1, 5)  # random streams of their own: what is switched off changes nothing else


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """The employees and what some of them do.

    Parameters
    ----------
    employees, postings
        How many there are in all.
    fraudsters, accomplices
        How many of the employees, spread evenly over their numbers, fraudsters first. Accomplice i helps fraudster i, the next
        one the next, and again from the first.
    fraud_share
        The share of a fraudster's postings that are fraud; of an accomplice's a tenth of it.
    limit
        The accounting limit M in major units: larger amounts are drawn again; None for none. Several are taken in turn.
    approval_limit
        The threshold just below which fraud amounts lie, uniform in its last tenth, in major units.
    days, onset
        Over how many days, from 2026-01-01, the postings are spread, and after how many of them fraud begins.
    spell
        Mean length in days of a spell of fraud; 0 for fraud at any time. A fifth of the days from the onset are in spells.
    activity
        Standard deviation, in decades, of how often employees post; 0: all as often.
    spread
        Standard deviation, in decades, of the employees' own mu around the whole; 0: all alike.
    repeats
        The share of honest postings that repeat one of three standing amounts of the employee's.
    seed
        The same seed gives the same postings.
    """

    employees: int = 40
    postings: int = 20_000
    fraudsters: int = 2
    accomplices: int = 0
    fraud_share: float = 0.1
    limit: float | tuple[float | None, ...] | None = 5_000.0
    approval_limit: float = 1_000.0
    days: float = 90.0
    onset: float = 0.0
    spell: float = 0.0
    activity: float = 0.0
    spread: float = 0.0
    repeats: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.employees < 1 or self.postings < 0:
            raise ValueError(
                f"employees = {self.employees}, postings = {self.postings}: wanted at least one employee and no fewer postings than none"
            )
        if self.fraudsters < 0 or self.accomplices < 0 or self.fraudsters + self.accomplices > self.employees:
            raise ValueError(
                f"fraudsters = {self.fraudsters}, accomplices = {self.accomplices}: wanted no more than the {self.employees} employees"
            )
        if self.accomplices > 0 and self.fraudsters == 0:
            raise ValueError(f"accomplices = {self.accomplices}: wanted a fraudster for them to help")
        most = SPELL_SHARE if self.spell > 0.0 else 1.0
        if not 0.0 <= self.fraud_share <= most:
            raise ValueError(
                f"fraud_share = {self.fraud_share}: wanted a share between 0 and {most:g}{', the days in spells' * (most < 1)}"
            )
        for limit in self.limits:
            if not limit >= 1.0:
                raise ValueError(f"limit = {limit}: wanted at least 1, or none")
            if not 10.0 <= self.approval_limit <= limit:
                raise ValueError(
                    f"approval_limit = {self.approval_limit}: wanted at least 10 and no more than the accounting limit {limit}"
                )
        if not self.days > 0.0:
            raise ValueError(f"days = {self.days}: wanted a time above 0")
        if not 0.0 <= self.onset <= self.days:
            raise ValueError(f"onset = {self.onset}: wanted a day within the {self.days:g}")
        if self.spell != 0.0 and not self.spell >= 1.0:
            raise ValueError(f"spell = {self.spell}: wanted at least a day, or 0 for no spells")
        for name, value in (("activity", self.activity), ("spread", self.spread)):
            if not 0.0 <= value <= 2.0:
                raise ValueError(f"{name} = {value}: wanted 0 to 2 decades")
        if not 0.0 <= self.repeats < 1.0:
            raise ValueError(f"repeats = {self.repeats}: wanted a share from 0 to below 1")

    @property
    def limits(self) -> tuple[float, ...]:
        """The accounting limits that employees take in turn, inf for none."""
        given = self.limit if isinstance(self.limit, tuple) else (self.limit,)
        return tuple(math.inf if limit is None else limit for limit in given)


def simulate_postings(*, mu: float = math.log10(350.0), sigma: float = 0.6, **fleet: Any) -> dict[str, NDArray[Any]]:
    """Draw postings of a fleet of employees, in order of time.

    Parameters
    ----------
    mu, sigma
        Mean and standard deviation of log10(amount) before the cut, of all employees together where they are alike.
    fleet
        See `Fleet`.

    Returns
    -------
    Arrays of length `postings`: employee_id (str), at (int64, microseconds UTC), amount, limit, approval_limit (int64, minor units,
    −1 for none), label (int8, 1 = fraud).
    """
    return _post(Fleet(**fleet), lambda rng, n: 10.0 ** rng.normal(mu + 2.0, sigma, n))


def census_postings(**fleet: Any) -> dict[str, NDArray[Any]]:
    """Draw postings shaped like the paper's real data: amounts are populations of US counties in 1990, read as minor units.

    34,222 inhabitants of Autauga County are 342.22. The populations have log10 mean 4.398 and standard deviation 0.598, so these
    amounts 2.398 and 0.598: close to log-normal, but real. Parameters and result as for `simulate_postings`.
    """
    populations = census_populations()
    return _post(Fleet(**fleet), lambda rng, n: populations[rng.integers(0, len(populations), n)].astype(float))


@cache
def census_populations() -> NDArray[np.int64]:
    """Population of the 3,141 US counties in 1990 (US Bureau of the Census, public domain), shape (3141,)."""
    with CENSUS.open(newline="") as file:
        return np.array([int(row["population"]) for row in csv.DictReader(file)], np.int64)


def _post(fleet: Fleet, honest: Callable[[np.random.Generator, int], NDArray[np.float64]]) -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(fleet.seed)
    if fleet.activity > 0.0:
        rates = 10.0 ** np.random.default_rng([fleet.seed, _ACTIVITY]).normal(0.0, fleet.activity, fleet.employees)
        who = rng.choice(fleet.employees, fleet.postings, p=rates / rates.sum())
    else:
        who = rng.integers(0, fleet.employees, fleet.postings)
    day = np.sort(rng.uniform(0.0, fleet.days, fleet.postings))
    whole = np.floor(day)
    at = BEGIN + _DAY * whole + 3_600.0 * (_FIRST_HOUR + _HOURS * (day - whole))

    top = np.resize(100.0 * np.array(fleet.limits), fleet.employees)
    own = 10.0 ** np.random.default_rng([fleet.seed, _SPREAD]).normal(0.0, fleet.spread, fleet.employees)

    def keeping_limits(rng: np.random.Generator, whose: NDArray[np.int64]) -> NDArray[np.int64]:
        amount, wrong = np.zeros(len(whose), np.int64), np.arange(len(whose))
        for _ in range(MOST_DRAWS):
            drawn = np.floor(own[whose[wrong]] * honest(rng, len(wrong)))
            amount[wrong] = np.minimum(drawn, 9e15)
            wrong = wrong[(drawn < 1) | (drawn > top[whose[wrong]])]
            if len(wrong) == 0:
                return amount
        raise ValueError(f"hardly any amount lies below the limit {top[whose[wrong[0]]] / 100.0}: raise the limit or lower mu")

    amount = keeping_limits(rng, who)
    fraud = rng.uniform(size=fleet.postings) < _rate_of_fraud(fleet, who, whole.astype(np.int64))
    below = 100.0 * fleet.approval_limit
    amount[fraud] = np.floor(rng.uniform((1.0 - BAND) * below, below, int(fraud.sum())))

    if fleet.repeats > 0.0:
        rng = np.random.default_rng([fleet.seed, _STANDING])
        standing = keeping_limits(rng, np.repeat(np.arange(fleet.employees), STANDING)).reshape(-1, STANDING)
        again = (rng.uniform(size=fleet.postings) < fleet.repeats) & ~fraud
        amount[again] = standing[who[again], rng.integers(0, STANDING, int(again.sum()))]

    width = len(str(fleet.employees - 1))
    names = np.array([f"employee-{number:0{width}}" for number in range(fleet.employees)])
    return {
        "employee_id": names[who],
        "at": (1e6 * at).astype(np.int64),
        "amount": amount,
        "limit": np.where(np.isinf(top), NO_LIMIT, top).astype(np.int64)[who],
        "approval_limit": np.full(fleet.postings, int(below), np.int64),
        "label": np.where(fraud, FRAUD, HONEST).astype(np.int8),
    }


def _rate_of_fraud(fleet: Fleet, who: NDArray[np.int64], day: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the chance that a posting is fraud, by who posts it and on which day, shape (n,)."""
    days = math.ceil(fleet.days)
    rates = np.zeros((1 + fleet.fraudsters + fleet.accomplices, days))  # a row for all the honest, then one for each of the others
    rng = np.random.default_rng([fleet.seed, _SPELLS])
    for i in range(1, 1 + fleet.fraudsters):
        rates[i] = fleet.fraud_share * _spells(rng, fleet.spell, days)
        rates[i + fleet.fraudsters :: fleet.fraudsters] = ACCOMPLICE_SHARE * rates[i]
    rates[:, : math.floor(fleet.onset)] = 0.0
    row = np.zeros(fleet.employees, np.int64)
    row[np.linspace(0, fleet.employees, len(rates) - 1, endpoint=False).astype(np.int64)] = np.arange(1, len(rates))
    return np.asarray(rates[row[who], day])


def _spells(rng: np.random.Generator, mean: float, days: int) -> NDArray[np.float64]:
    """Return 1 / SPELL_SHARE on days in a spell, else 0, shape (days,): a stationary Markov chain of two states; 1 without spells."""
    if mean == 0.0:
        return np.ones(days)
    leave = 1.0 / mean
    enter = leave * SPELL_SHARE / (1.0 - SPELL_SHARE)
    chain = np.zeros(days)
    draws = rng.uniform(size=days)
    state = draws[0] < SPELL_SHARE
    for day in range(days):
        if day > 0:
            state = draws[day] >= leave if state else draws[day] < enter
        chain[day] = state / SPELL_SHARE
    return chain
