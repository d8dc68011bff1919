"""Employees who post amounts, some of whom post fraud: accounting data in the spirit of the paper's 3LSPG.

As with 3LSPG, the simulator of Winter, Schneider and Yannikos (2011), honest amounts follow a log-normal law and are drawn again
until they keep the accounting limit, and a fraudster replaces some of his postings by amounts just below a threshold: here the
limit above which somebody would have to approve. Ours, where the paper is silent: an accomplice does the same at a tenth of the
rate, every employee posts as often, in office hours, evenly over the days.
"""

from __future__ import annotations

import csv
import math
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
BAND = 0.1  # fraud lies in the last tenth below the approval limit: U[90, 100) below 100
MOST_DRAWS = 1_000  # of an amount, before its law is said not to fit its limit
_DAY = 86_400
_FIRST_HOUR, _HOURS = 8, 10  # postings are made from 8 to 18 o'clock


def simulate_postings(
    *,
    employees: int = 40,
    postings: int = 20_000,
    fraudsters: int = 2,
    accomplices: int = 0,
    fraud_share: float = 0.1,
    limit: float | None = 5_000.0,
    approval_limit: float = 1_000.0,
    mu: float = math.log10(350.0),
    sigma: float = 0.6,
    days: float = 90.0,
    seed: int = 0,
) -> dict[str, NDArray[Any]]:
    """Draw postings of a fleet of employees, in order of time.

    Parameters
    ----------
    employees, postings
        How many there are in all; each posting is any employee's with the same chance.
    fraudsters, accomplices
        How many of the employees, spread evenly over their numbers, fraudsters first.
    fraud_share
        The share of a fraudster's postings that are fraud.
    limit
        The accounting limit M in major units: larger amounts are drawn again; None for none.
    approval_limit
        The threshold just below which fraud amounts lie, uniform in its last tenth, in major units.
    mu, sigma
        Mean and standard deviation of log10(amount) before the cut.
    days
        Over how many days, from 2026-01-01, the postings are spread.
    seed
        The same seed gives the same postings.

    Returns
    -------
    Arrays of length `postings`: employee_id (str), at (int64, microseconds UTC), amount, limit, approval_limit (int64, minor units,
    −1 for none), label (int8, 1 = fraud).
    """
    rng = np.random.default_rng(seed)
    top = math.inf if limit is None else 100.0 * limit

    def honest(n: int) -> NDArray[np.int64]:
        return np.floor(10.0 ** rng.normal(mu + 2.0, sigma, n))

    return _post(rng, honest, top, employees, postings, fraudsters, accomplices, fraud_share, approval_limit, days)


def census_postings(
    *,
    employees: int = 40,
    postings: int = 20_000,
    fraudsters: int = 2,
    accomplices: int = 0,
    fraud_share: float = 0.1,
    limit: float | None = 5_000.0,
    approval_limit: float = 1_000.0,
    days: float = 90.0,
    seed: int = 0,
) -> dict[str, NDArray[Any]]:
    """Draw postings shaped like the paper's real data: amounts are populations of US counties in 1990, read as minor units.

    34,222 inhabitants of Autauga County are 342.22. The populations have log10 mean 4.398 and standard deviation 0.598, so these
    amounts 2.398 and 0.598: close to log-normal, but real. Parameters and result as for `simulate_postings`.
    """
    rng = np.random.default_rng(seed)
    populations = census_populations()
    top = math.inf if limit is None else 100.0 * limit

    def honest(n: int) -> NDArray[np.int64]:
        return populations[rng.integers(0, len(populations), n)]

    return _post(rng, honest, top, employees, postings, fraudsters, accomplices, fraud_share, approval_limit, days)


@cache
def census_populations() -> NDArray[np.int64]:
    """Population of the 3,141 US counties in 1990 (US Bureau of the Census, public domain), shape (3141,)."""
    with CENSUS.open(newline="") as file:
        return np.array([int(row["population"]) for row in csv.DictReader(file)], np.int64)


def _post(
    rng: np.random.Generator, honest: Any, top: float, employees: int, postings: int, fraudsters: int, accomplices: int,
    fraud_share: float, approval_limit: float, days: float,
) -> dict[str, NDArray[Any]]:  # fmt: skip
    if employees < 1 or postings < 0:
        raise ValueError(f"employees = {employees}, postings = {postings}: wanted at least one employee and no fewer postings than none")
    if fraudsters < 0 or accomplices < 0 or fraudsters + accomplices > employees:
        raise ValueError(f"fraudsters = {fraudsters}, accomplices = {accomplices}: wanted no more than the {employees} employees")
    if not 0.0 <= fraud_share <= 1.0:
        raise ValueError(f"fraud_share = {fraud_share}: wanted a share between 0 and 1")
    if not top >= 100.0:
        raise ValueError(f"limit = {top / 100.0}: wanted at least 1, or none")
    if not 10.0 <= approval_limit <= top / 100.0:
        raise ValueError(f"approval_limit = {approval_limit}: wanted at least 10 and no more than the accounting limit")
    if not days > 0.0:
        raise ValueError(f"days = {days}: wanted a time above 0")
    who = rng.integers(0, employees, postings)
    day = np.sort(rng.uniform(0.0, days, postings))
    whole = np.floor(day)
    at = BEGIN + _DAY * whole + 3_600.0 * (_FIRST_HOUR + _HOURS * (day - whole))

    amount = np.zeros(postings, np.int64)
    wrong = np.arange(postings)
    for _ in range(MOST_DRAWS):
        if len(wrong) == 0:
            break
        drawn = honest(len(wrong))
        amount[wrong] = np.minimum(drawn, 9e15)
        wrong = wrong[(drawn < 1) | (drawn > top)]
    else:
        raise ValueError(f"hardly any amount lies below the limit {top / 100.0}: raise the limit or lower mu")

    rate = np.zeros(employees)
    guilty = np.linspace(0, employees, fraudsters + accomplices, endpoint=False).astype(np.int64)
    rate[guilty[:fraudsters]] = fraud_share
    rate[guilty[fraudsters:]] = ACCOMPLICE_SHARE * fraud_share
    fraud = rng.uniform(size=postings) < rate[who]
    below = 100.0 * approval_limit
    amount[fraud] = np.floor(rng.uniform((1.0 - BAND) * below, below, int(fraud.sum())))

    width = len(str(employees - 1))
    names = np.array([f"employee-{number:0{width}}" for number in range(employees)])
    return {
        "employee_id": names[who],
        "at": (1e6 * at).astype(np.int64),
        "amount": amount,
        "limit": np.full(postings, NO_LIMIT if math.isinf(top) else int(top), np.int64),
        "approval_limit": np.full(postings, int(below), np.int64),
        "label": np.where(fraud, FRAUD, HONEST).astype(np.int8),
    }
