"""An alarm in words an auditor can act on, from the numbers that the fold wrote down at it."""

from __future__ import annotations

import math
from typing import Any

from detectors.benford.rows import BAND_PLACE, BAND_TEST, ENTRY, NO_LIMIT, ONSET, PERIOD_TEST, REPEATS_PLACE, REPEATS_TEST
from detectors.benford.told import DETAIL, SCALARS
from detectors.benford.years import UNITS_A_YEAR
from detectors.protocol import Explanation, Floats
from detectors.wording import instant, plain

_WHOLE = {
    "test", "restarts", "year", "period", "postings", "distinct", "fits", "limit_low", "limit_high", "first_at", "last_at", "left_out",
    "exponent", "df", "place", "hits", "trials", "approval_limit", "drivers", "employees", "taken",
}  # fmt: skip
_E_PROCESS = (
    "an honest employee whose postings follow the reference ever reaches this in an accounting year with probability at most the level,"
    " however often it is looked at (Ville's inequality)"
)
_SHIRYAEV_ROBERTS = (
    "an honest employee whose postings follow the reference ever crosses the boundary in an accounting year with probability at most"
    " the level (threshold by simulation; at most twice the level by theory)"
)
_E_BH = "of the employees named at a period's end, at most this share is honest in the mean (e-BH, under any dependence)"


def explain_alarm(detail: Floats, topics: tuple[str, str]) -> Explanation:
    """Return the sentences and the evidence of an alarm.

    `detail` is laid out as `detectors.benford.told.DETAIL` says; `topics` are the names of the employees' log and the one upstream.
    """
    told: dict[str, Any] = {
        name: int(value) if name in _WHOLE else float(value) for name, value in zip(DETAIL, detail[:SCALARS].tolist(), strict=True)
    }
    observed, expected, late, late_expected = (detail[SCALARS + 9 * k : SCALARS + 9 * (k + 1)].tolist() for k in range(4))
    postings = detail[SCALARS + 36 :].reshape(-1, ENTRY).tolist()
    money = _Money(told["exponent"])
    if told["test"] == ONSET:
        place = told["place"]
        of_late = (late[place], late_expected[place]) if place < 9 else (told["late_band"], told["late_band_expected"])
        reasons = [_late(told, *of_late, money), _how_strong(told)]
    else:
        reasons = [_what(told, money), _how_strong(told)]
    if told["distinct"] > 0 and told["place"] < 9:
        reasons += [_digits(told, observed, expected), _one_look(told)]
    reasons.append(_against(told, money))
    if told["left_out"] > 0:
        reasons.append(f"{told['left_out']:,} more postings are not counted: above their own limit, or beyond what the law allows.")
    driving = [
        {
            "amount": money(int(amount)), "posting": int(number), "at": instant(int(at)), "topic": topics[int(record) % 2],
            "partition": int(record) // 2, "offset": int(offset),
        }
        for amount, number, at, record, offset in postings
    ]  # fmt: skip
    guarantee, basis, budget = _promise(told)
    return Explanation(
        tuple(reasons),
        {
            "level": told["level"], "alpha": told["alpha"], "restarts": told["restarts"], "accounting_year": told["year"],
            "e_value" if told["test"] != ONSET else "shiryaev_roberts": told["e"], "held_against": float(f"{told['held_against']:.12g}"),
            "share_suspected": told["size"], "in_place": told["hits"], "of": told["trials"], "expected_in_place": told["expected_hits"],
            "postings": told["postings"], "distinct_amounts": told["distinct"], "left_out": told["left_out"],
            "observed": [int(count) for count in observed], "expected": [round(count, 6) for count in expected],
            "of_late": {
                "observed": [round(count, 3) for count in late], "expected": [round(count, 3) for count in late_expected],
                "band": [round(told["late_band"], 3), round(told["late_band_expected"], 3)],
                "effective_postings": told["late_n"], "p_value": told["late_p_value"],
            },
            "chi_square": told["chi_square"], "degrees_of_freedom": told["df"], "p_value_of_one_look": told["p_value"],
            "excess_mad": told["excess_mad"], "cramers_v": told["cramers_v"], "digit": told["place"] + 1 if told["place"] < 9 else None,
            "mu": _number(told["mu"]), "sigma": _number(told["sigma"]), "log_normal_holds": bool(told["fits"]), "scatter": told["rho"],
            "limit_lowest": _limit(told["limit_low"], money), "limit_highest": _limit(told["limit_high"], money),
            "approval_limit": _limit(told["approval_limit"], money), "band_width": told["width"],
            "first_at": instant(told["first_at"]), "last_at": instant(told["last_at"]), "driving_postings": driving,
        },
        _compared_with(told),
        basis=basis, guarantee=guarantee, budget=budget, unit="employee and accounting year" if told["test"] != PERIOD_TEST else "period",
    )  # fmt: skip


def _what(told: dict[str, Any], money: _Money) -> str:
    """The finding itself: where too many postings fall."""
    place, hits, trials, wanted = told["place"], told["hits"], told["trials"], told["expected_hits"]
    if place == BAND_PLACE:
        among = "amounts" if told["fits"] else "amounts near the limit"
        return f"{hits:,} of {trials:,} {among} lie just below the approval limit, {_band(told, money)}; {wanted:,.1f} are expected."
    if place == REPEATS_PLACE:
        return f"{hits:,} of {trials:,} postings repeat an amount posted before; {wanted:,.1f} are expected of employees at large."
    return f"{hits:,} of {trials:,} distinct amounts begin with {place + 1}; {wanted:,.1f} are expected."


def _band(told: dict[str, Any], money: _Money) -> str:
    start = money(max(1, math.ceil(told["approval_limit"] * (1.0 - told["width"]))))
    return f"from {start} to below {money(told['approval_limit'])}"


def _late(told: dict[str, Any], observed: float, expected: float, money: _Money) -> str:
    """The finding of the late test: what has come of late, where the newest counts 1 and older ones less and less."""
    place = told["place"]
    where = f"begin with {place + 1}" if place < 9 else f"lie just below the approval limit, {_band(told, money)}"
    counted = "the newest counts 1, older ones less and less"
    return f"Of late {observed:,.1f} distinct amounts {where}; {expected:,.1f} are expected ({counted})."


def _how_strong(told: dict[str, Any]) -> str:
    if told["test"] == PERIOD_TEST:
        return (
            f"The evidence is {_odds(told['e'])} to 1 at the end of period {told['period'] % UNITS_A_YEAR} of the accounting"
            f" year {told['year']}."
            f" {told['taken']:,} of {told['employees']:,} employees reach the {plain(told['held_against'])} to 1 that is asked for;"
            f" at most {100 * told['rate']:g} % of these are honest, in the mean."
        )
    halved = {0: "", 1: ", halved once by an alert that was cleared", 2: ", halved twice by alerts that were cleared"}
    anew = halved.get(told["restarts"], f", halved {told['restarts']} times by alerts that were cleared")
    level = f"level {told['level']:.2g}, of {told['alpha']:g} for the accounting year {told['year']}{anew}"
    if told["test"] == ONSET:
        since = f"It looks as if {100 * told['size']:g} % of the postings have been put there since."
        return f"{since} The Shiryaev-Roberts statistic is {_odds(told['e'])}; an alert takes {plain(told['held_against'])} ({level})."
    there = "repeat earlier ones" if told["place"] == REPEATS_PLACE else "were put there"
    return (
        f"The evidence is {_odds(told['e'])} to 1 that {100 * told['size']:g} % of the postings {there};"
        f" an alert takes {plain(told['held_against'])} to 1 ({level})."
    )


def _digits(told: dict[str, Any], observed: list[float], expected: list[float]) -> str:
    most = max(range(9), key=lambda d: _surplus(observed[d], expected[d]))
    fewest = min(range(9), key=lambda d: _surplus(observed[d], expected[d]))
    return (
        f"Over {told['distinct']:,} distinct amounts digit {most + 1} leads too often ({int(observed[most]):,},"
        f" expected {expected[most]:,.1f})"
        f" and digit {fewest + 1} too seldom ({int(observed[fewest]):,}, expected {expected[fewest]:,.1f})."
    )


def _one_look(told: dict[str, Any]) -> str:
    """What a single look would say: a description, no decision."""
    p = f"p = {told['p_value']:.2g}" if told["p_value"] > 0.0 else "p below 1e-300"
    return (
        f"By a single look: chi-square {told['chi_square']:,.1f} on {told['df']} degrees of freedom, {p},"
        f" excess MAD {told['excess_mad']:.4f}, Cramér's V {told['cramers_v']:.3f}."
    )


def _surplus(observed: float, expected: float) -> float:
    """How much a digit adds to chi-square, less than 0 where it leads too seldom."""
    return (observed - expected) * abs(observed - expected) / expected if expected > 0.0 else 0.0


def _against(told: dict[str, Any], money: _Money) -> str:
    when = f"{instant(told['first_at'])[:10]} to {instant(told['last_at'])[:10]}"
    if told["test"] == REPEATS_TEST:
        return f"Compared with how often all employees repeat amounts, who scatter with correlation {told['rho']:.3g}."
    law = f"a log-normal law (mu = {told['mu']:.2f}, sigma = {told['sigma']:.2f})"
    if not told["fits"]:
        law = "the amounts of all employees, which are not log-normal"
    low, high = told["limit_low"], told["limit_high"]
    if low == NO_LIMIT:
        cut = "without an accounting limit"
    elif low == high:
        cut = f"cut off at the accounting limit {money(high)}"
    else:
        cut = f"each cut off at its own accounting limit, {money(low)} to {money(high)}"
    return f"Compared with {law}, {cut}; amounts posted {when}."


def _compared_with(told: dict[str, Any]) -> str:
    if told["test"] == REPEATS_TEST:
        return "the share of repeated amounts among all employees who had as many amounts to repeat"
    law = (
        f"a log-normal law with mu = {told['mu']:.3f} and sigma = {told['sigma']:.3f} (of log10 of the amount, whole population)"
        if told["fits"]
        else "the amounts of the whole population"
    )
    if told["test"] == BAND_TEST and not told["fits"]:
        return "the two bands of the same width just below"
    what = "the band" if told["test"] == BAND_TEST else "leading digits"
    return f"the law of {what} under {law}, cut off at each posting's accounting limit"


def _promise(told: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    """(guarantee, basis, budget) of an alarm."""
    if told["test"] == PERIOD_TEST:
        return _E_BH, "e-values at a period's end", {"false_discovery_rate": told["rate"], "per": "period"}
    budget = {"alpha": told["level"], "of": told["alpha"], "per": "employee and accounting year"}
    if told["test"] == ONSET:
        return _SHIRYAEV_ROBERTS, "Shiryaev-Roberts", budget
    return _E_PROCESS, "e-process", budget


def _odds(e: float) -> str:
    """Evidence as odds against 1; beyond a billion nobody counts (`evidence` has the number)."""
    return plain(e) if e < 1e9 else "over a billion"


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _limit(minor: int, money: _Money) -> str | None:
    return None if minor == NO_LIMIT else money(minor)


class _Money:
    """Minor units as an amount: 500000 → "5,000.00"."""

    def __init__(self, exponent: int) -> None:
        self.exponent = exponent

    def __call__(self, minor: int) -> str:
        if self.exponent == 0:
            return f"{minor:,}"
        whole, rest = divmod(abs(minor), 10**self.exponent)
        return f"{'-' if minor < 0 else ''}{whole:,}.{rest:0{self.exponent}}"
