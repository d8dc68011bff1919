"""An alert in words, from the numbers that the fold wrote down at the look."""

from __future__ import annotations

from typing import Any

from detectors.benford.fold import DETAIL, ENTRY, NO_LIMIT, SCALARS
from detectors.protocol import Explanation, Floats
from detectors.wording import instant

_WHOLE = {
    "n", "df", "look_of_year", "look", "year", "limit_low", "limit_high", "first_at", "last_at", "left_out", "exponent", "digit", "drivers",
}  # fmt: skip


def explain_look(detail: Floats) -> Explanation:
    """Return the sentences and the evidence of an alerting look; `detail` is laid out as `detectors.benford.fold.DETAIL` says."""
    numbers: dict[str, Any] = {
        name: int(value) if name in _WHOLE else float(value) for name, value in zip(DETAIL, detail[:SCALARS].tolist(), strict=True)
    }
    observed = [int(count) for count in detail[SCALARS : SCALARS + 9]]
    expected = [float(count) for count in detail[SCALARS + 9 : SCALARS + 18]]
    postings = detail[SCALARS + 18 :].reshape(-1, ENTRY).tolist()
    money = _Money(numbers["exponent"])
    n, digit = numbers["n"], numbers["digit"]
    fewest = min((d for d in range(9) if expected[d] > 0.0), key=lambda d: -_lack(observed[d], expected[d])) + 1
    reasons = [
        f"digit {digit} leads {observed[digit - 1]} of {n} amounts where {expected[digit - 1]:.1f} are expected"
        f" (digit {fewest}: {observed[fewest - 1]}, expected {expected[fewest - 1]:.1f})",
        f"chi-square {numbers['chi_square']:.1f} on {numbers['df']} degrees of freedom, p = {numbers['p_value']:.2g};"
        f" look {numbers['look_of_year']} of the accounting year {numbers['year']} is held against {numbers['level']:.2g},"
        f" a part of {numbers['alpha']:g} for the whole year",
        f"the amounts, posted {_day(numbers['first_at'])} to {_day(numbers['last_at'])}, were expected to follow {_law(numbers, money)}",
    ]
    if numbers["left_out"] > 0:
        reasons.append(f"{numbers['left_out']} more postings are not in this count: above their own limit, or beyond what the law allows")
    return Explanation(
        tuple(reasons),
        {
            "alpha": numbers["alpha"],
            "level": numbers["level"],
            "look": numbers["look"],
            "look_of_year": numbers["look_of_year"],
            "accounting_year": numbers["year"],
            "observed": observed,
            "expected": [round(count, 6) for count in expected],
            "chi_square": numbers["chi_square"],
            "degrees_of_freedom": numbers["df"],
            "p_value": numbers["p_value"],
            "p_value_of_the_paper": numbers["paper_p_value"],
            "postings": n,
            "left_out": numbers["left_out"],
            "mu": numbers["mu"],
            "sigma": numbers["sigma"],
            "limit_lowest": None if numbers["limit_low"] == NO_LIMIT else money(numbers["limit_low"]),
            "limit_highest": None if numbers["limit_high"] == NO_LIMIT else money(numbers["limit_high"]),
            "first_at": instant(numbers["first_at"]),
            "last_at": instant(numbers["last_at"]),
            "excess_mad": numbers["excess_mad"],
            "cramers_v": numbers["cramers_v"],
            "digit": digit,
            "driving_postings": [
                {"amount": money(int(amount)), "posting": int(number), "at": instant(int(at)), "partition": int(p), "offset": int(o)}
                for amount, number, at, p, o in postings
            ],
        },
        f"the leading digits of a log-normal law with mu = {numbers['mu']:.3f} and sigma = {numbers['sigma']:.3f} (of log10 of the amount,"
        " whole population), cut off at each posting's accounting limit",
    )


def _lack(observed: int, expected: float) -> float:
    """How much a digit that leads too seldom adds to chi-square; less than 0 where it leads too often."""
    return (expected - observed) * abs(expected - observed) / expected


def _law(numbers: dict[str, Any], money: _Money) -> str:
    low, high = numbers["limit_low"], numbers["limit_high"]
    law = f"a log-normal law with mu = {numbers['mu']:.2f} and sigma = {numbers['sigma']:.2f}"
    if low == NO_LIMIT:
        return f"{law}; no accounting limit was given"
    if low == high:
        return f"{law}, cut off at the accounting limit {money(high)}"
    return f"{law}, each cut off at its own accounting limit, {money(low)} to {money(high)}"


class _Money:
    """Minor units as an amount: 500000 → "5,000.00"."""

    def __init__(self, exponent: int) -> None:
        self.exponent = exponent

    def __call__(self, minor: int) -> str:
        if self.exponent == 0:
            return f"{minor:,}"
        whole, rest = divmod(abs(minor), 10**self.exponent)
        return f"{'-' if minor < 0 else ''}{whole:,}.{rest:0{self.exponent}}"


def _day(at: int) -> str:
    return instant(at)[:10]
