"""Section 4.4: every employee's own mu and sigma, estimated from amounts that a limit has cut off.

Honest sets under M = 5,000, tested at 5 % against the law of (a) the truncated fit, (b) the plain mean and standard deviation of the
cut amounts, which the paper warns of. The degrees of freedom stay possible digits − 1: the fit uses the amounts, not their digits,
and so costs less than the two degrees that a fit to the digits would.

The same likelihood finds the population's parameters where every employee has a limit: there the paper's mean and standard deviation
of all amounts are those of cut amounts, too.
"""

from __future__ import annotations

import math
import time

import numpy as np
from scipy.stats import chi2

from detectors.benford.population import population_parameters
from detectors.benford.reference import digit_probabilities
from detectors.benford.truncated import fit_truncated
from state.log_histogram import histogram_of
from tests.papers.benford.counted import count_digits
from tests.papers.benford.synthetic import LEVEL, SIGMA, honest_amounts

LIMIT = 5_000.0
SETTINGS = [(median, n) for median in (350.0, 1_800.0, 20_000.0) for n in (30, 100, 300, 1_000, 3_000)]
SLOWEST = 0.5e-3  # seconds a fit


def moments_of(amounts: np.ndarray) -> list[float]:
    logs = np.log10(amounts) - 2.0
    return [len(logs), float(logs.mean()), float(((logs - logs.mean()) ** 2).sum())]


def report(sets: int) -> tuple[list[str], dict[str, bool]]:
    """The table, and the bars: false positives of the fitted law, time of a fit."""
    lines = [
        f"{sets} honest sets a row, M = 5,000; per cent rejected at 5 %. *exists*: sets whose likelihood has a maximum (the others take",
        "the population's parameters). At a median of 20,000 few amounts say where the middle is, but then their digits do not depend",
        "on it.",
        "",
        "| median | n | exists | mean of mu − true | sd of mu | truncated fit, 8 df | 6 df | plain mean and sd | steps |",
        "|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    slowest, false, honest = 0.0, 0, 0
    fit_truncated([[100.0, 2.5, 36.0]], [[0.0, LIMIT]], mu=2.5, sigma=0.6)  # compiles
    for median, n in SETTINGS:
        rng = np.random.default_rng([int(median), n])
        mus, steps, found, rejected, by_six, plain = [], [], 0, 0, 0, 0
        rounds = []
        for _ in range(sets):
            amounts = honest_amounts(rng, n, median, LIMIT)
            moments = moments_of(amounts)
            begin = time.perf_counter()
            fit = fit_truncated([moments], [[0.0, LIMIT + 0.01]], mu=math.log10(median), sigma=SIGMA)
            rounds.append(time.perf_counter() - begin)
            if fit.reason == "found":
                found += 1
                mus.append(fit.mu)
                steps.append(fit.steps)
            counts = count_digits(amounts)
            x = _chi_square(counts, fit.mu, fit.sigma)
            rejected += x > chi2.isf(LEVEL, 8)
            by_six += x > chi2.isf(LEVEL, 6)
            plain += _chi_square(counts, moments[1], math.sqrt(moments[2] / (n - 1))) > chi2.isf(LEVEL, 8)
        slowest = max(slowest, float(np.median(rounds)))
        if n >= 300:
            false, honest = false + rejected, honest + sets
        lines.append(
            f"| {median:,.0f} | {n:,} | {100 * found / sets:.1f} % | {np.mean(mus) - math.log10(median):+.3f} | {np.std(mus):.3f} |"
            f" {100 * rejected / sets:.1f} | {100 * by_six / sets:.1f} | {100 * plain / sets:.1f} | {np.mean(steps):.1f} |"
        )
    whole, rejected_by_whole = _population(sets)
    lines += [
        "",
        f"Rejected with 8 df from 300 amounts on: {100 * false / honest:.1f} %. A fit takes {1e3 * slowest:.3f} ms (median, slowest row).",
        "",
        *whole,
    ]
    return lines, {
        "section 4.4: honest sets rejected 5 % and less with their own fit, 300 amounts and more": false / honest <= LEVEL,
        "section 4.4: a fit takes 0.5 ms and less": slowest <= SLOWEST,
        "section 4.4: honest sets rejected 5 ± 2 % by the law of a population that was cut, over all rows": abs(rejected_by_whole - 5.0)
        <= 2.0,
    }


def _population(sets: int) -> tuple[list[str], float]:
    """What mu and sigma come of 100,000 amounts of a population under limits; how many of the honest their law rejects, per cent."""
    fitted = []
    lines = [
        f"The population's own law from 100,000 amounts under limits, and {sets} honest sets of 1,000 amounts up to 5,000 against it; per",
        "cent rejected at 5 %:",
        "",
        "| true mu, sigma | limits | mean, sd | rejected | truncated fit | rejected |",
        "|---|---|---|--:|---|--:|",
    ]
    for median in (350.0, 1_800.0):
        for limits in ((LIMIT,), (LIMIT, 1_000.0), (LIMIT, math.inf)):
            rng = np.random.default_rng([int(median), len(limits), int(min(limits))])
            parts = [honest_amounts(rng, 100_000 // len(limits), median, limit) for limit in limits]
            amounts = np.concatenate(parts)
            tops = np.repeat([-1 if math.isinf(limit) else int(100 * limit) - 1 for limit in limits], [len(part) for part in parts])
            kept = (tops < 0) | (amounts <= tops)
            n, mean, m2 = moments_of(amounts[kept])
            fit = population_parameters(np.array([n, mean, m2]), histogram_of(amounts[kept], tops[kept]))
            counts = [count_digits(honest_amounts(rng, 1_000, median, LIMIT)) for _ in range(sets)]
            named = " and ".join("none" if math.isinf(limit) else f"{limit:,.0f}" for limit in limits)
            row = f"| {math.log10(median):.3f}, {SIGMA} | {named} |"
            for mu, sigma in ((mean, math.sqrt(m2 / (n - 1))), (fit.mu, fit.sigma)):
                rejected = np.mean([_chi_square(seen, mu, sigma) > chi2.isf(LEVEL, 8) for seen in counts])
                row += f" {mu:.3f}, {sigma:.3f} | {100 * rejected:.1f} |"
            lines.append(row)
            fitted.append(100 * rejected)
    return lines, float(np.mean(fitted))


def _chi_square(counts: np.ndarray, mu: float, sigma: float) -> float:
    expected = counts.sum() * digit_probabilities(mu, sigma, 0.01, LIMIT + 0.01)
    return float(((counts - expected) ** 2 / expected).sum())
