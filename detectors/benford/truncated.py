"""The alternative set-up of the paper's section 4.4: an employee's own mu and sigma, from amounts that are cut off.

The mean and standard deviation of cut amounts are not those of the law that was cut (with them, honest employees of Table 1 are
rejected 34 % of the time at 300 amounts and always at 3,000). The maximum of the truncated likelihood is, and it needs no amounts:
within fixed limits the count, mean and sum of squared deviations of y = log10(amount) are sufficient. Limits that change give one
such triple per *stratum*, and their log-likelihoods add up.

In natural parameters t₁ = mu/sigma², t₂ = −1/(2 sigma²) the log-likelihood Σ_s n_s (t₁ mean(y) + t₂ mean(y²) − A_s(t)) is concave,
A_s(t) = log ∫ exp(t₁ y + t₂ y²) dy over the stratum's interval. Newton's method, halving steps that leave t₂ < 0 or do not rise,
so finds the maximum wherever it starts, if there is one. The integrals are Gauss–Legendre sums over the part of the interval that
weighs anything: moments as differences of distribution functions lose all digits where the law is nearly flat or far outside.

The maximum need not exist: amounts that crowd towards an upper limit like an exponential law (their distance to it has a standard
deviation above its mean) fit the better the larger sigma gets. By concavity it exists if and only if the likelihood falls
towards t₂ = 0 at its maximum on that border; that is asked first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from state.moments import COUNT, M2, MEAN

NODES, WEIGHTS = np.polynomial.legendre.leggauss(80)
DEEP = 40.0  # what lies e⁻⁴⁰ below the peak is no longer seen in a double
LONGEST = 60  # Newton steps; four to seven are usual
ENOUGH = 1e-15  # of the log-likelihood, still to be gained by the quadratic model
LEAST_AMOUNTS = 30  # below, sd(mu) is a tenth of a decade and more: the population's parameters say more
ALIKE = 1e-12  # a standard deviation of a millionth of a decade
FOUND, TOO_FEW, NONE_EXISTS, NOT_REACHED = range(4)
REASONS = ("found", "too few amounts, or all alike", "no maximum exists", "not reached")


@njit(cache=True)  # type: ignore[untyped-decorator]
def _integrals(t1, t2, a, b, out):  # type: ignore[no-untyped-def]
    """Fill ``out`` with A, E y, E y², Var y, Cov(y, y²), Var y² under the density exp(t₁ y + t₂ y² − A) on (a, b), t₂ ≤ 0."""
    peak = -t1 / (2.0 * t2) if t2 < 0.0 else (math.inf if t1 > 0.0 else -math.inf)
    peak = min(max(peak, a), b)
    slope = abs(t1 + 2.0 * t2 * peak)
    fall = slope + math.sqrt(slope * slope - 4.0 * DEEP * t2)
    reach = 2.0 * DEEP / fall if fall > 0.0 else math.inf  # where the exponent is DEEP below its peak
    left, right = max(a, peak - reach), min(b, peak + reach)
    half, middle = 0.5 * (right - left), 0.5 * (left + right)
    top = t1 * peak + t2 * peak * peak
    mass, m1, m2 = 0.0, 0.0, 0.0
    for i in range(len(NODES)):
        y = middle + half * NODES[i]
        w = WEIGHTS[i] * half * math.exp(t1 * y + t2 * y * y - top)
        mass += w
        m1 += w * y
        m2 += w * y * y
    m1 /= mass
    m2 /= mass
    v11, v12, v22 = 0.0, 0.0, 0.0
    for i in range(len(NODES)):
        y = middle + half * NODES[i]
        w = WEIGHTS[i] * half * math.exp(t1 * y + t2 * y * y - top)
        v11 += w * (y - m1) * (y - m1)
        v12 += w * (y - m1) * (y * y - m2)
        v22 += w * (y * y - m2) * (y * y - m2)
    out[0], out[1], out[2] = top + math.log(mass), m1, m2
    out[3], out[4], out[5] = v11 / mass, v12 / mass, v22 / mass


@njit(cache=True)  # type: ignore[untyped-decorator]
def _log_likelihood(t1, t2, strata, work, out):  # type: ignore[no-untyped-def]
    """Return the log-likelihood, −inf where no density has these parameters; fill ``out`` with its two slopes and −1 · its curvatures.

    `strata`: a row each of count, mean of y, mean of y², a, b.
    """
    out[:] = 0.0
    if t2 > 0.0:
        return -math.inf
    total = 0.0
    for k in range(len(strata)):
        n, mean, square = strata[k, 0], strata[k, 1], strata[k, 2]
        a, b = strata[k, 3], strata[k, 4]
        if t2 == 0.0 and ((a == -math.inf and t1 <= 0.0) or (b == math.inf and t1 >= 0.0)):
            return -math.inf
        _integrals(t1, t2, a, b, work)
        total += n * (t1 * mean + t2 * square - work[0])
        out[0] += n * (mean - work[1])
        out[1] += n * (square - work[2])
        for j in range(3):
            out[2 + j] += n * work[3 + j]
    return total


@njit(cache=True)  # type: ignore[untyped-decorator]
def _climb(t1, t2, strata):  # type: ignore[no-untyped-def]
    """Return (t₁, t₂, ∂/∂t₂ there, steps taken or −1) of the maximum; from t₂ = 0, of the maximum on that border."""
    on_border = t2 == 0.0
    work, slopes = np.zeros(6), np.zeros(5)
    value = _log_likelihood(t1, t2, strata, work, slopes)
    for step in range(1, LONGEST + 1):
        det = slopes[2] if on_border else slopes[2] * slopes[4] - slopes[3] * slopes[3]
        if not det > 0.0:  # moments that no amounts have
            break
        if on_border:
            d1, d2 = slopes[0] / det, 0.0
        else:
            d1 = (slopes[4] * slopes[0] - slopes[3] * slopes[1]) / det
            d2 = (slopes[2] * slopes[1] - slopes[3] * slopes[0]) / det
        gain, share = d1 * slopes[0] + d2 * slopes[1], 1.0
        if not gain >= ENOUGH * max(1.0, abs(value)):
            return t1, t2, slopes[1], step
        while True:
            tried = -math.inf
            if on_border or t2 + share * d2 < 0.0:
                tried = _log_likelihood(t1 + share * d1, t2 + share * d2, strata, work, slopes)
            # a step has to gain a tenth of what its slope promises, or be so small that rounding hides what it gains
            if tried >= value + 0.1 * share * gain or (gain < 1e-6 and tried > -math.inf):
                break
            share *= 0.5
            if share < 1e-10:
                return t1, t2, 0.0, -1
        t1, t2, value = t1 + share * d1, t2 + share * d2, tried
    return t1, t2, 0.0, -1


@njit(cache=True)  # type: ignore[untyped-decorator]
def maximise(moments, bounds, out):  # type: ignore[no-untyped-def]
    """Fill ``out`` (mu, sigma, steps) with the maximum of the truncated likelihood; return FOUND or what stands in its way.

    `moments`: a row of `state.moments` per stratum, of y = log10(amount); `bounds`: its interval (a, b) of y, infinite where open.
    """
    out[0], out[1], out[2] = np.nan, np.nan, 0.0
    n, mean, m2 = 0.0, 0.0, 0.0
    for k in range(len(moments)):  # pooled, as `state.moments.merge_moments`
        if moments[k, COUNT] > 0.0:
            step, total = moments[k, MEAN] - mean, n + moments[k, COUNT]
            mean += step * moments[k, COUNT] / total
            m2 += moments[k, M2] + step * step * n * moments[k, COUNT] / total
            n = total
    if n < LEAST_AMOUNTS or not m2 > ALIKE * n:
        return TOO_FEW
    scale = math.sqrt(m2 / n)  # y is put in units of the pooled mean and standard deviation, so that t is of order 1
    strata, used = np.zeros((len(moments), 5)), 0
    open_below, open_above = False, False
    low, high = math.inf, -math.inf
    for k in range(len(moments)):
        if moments[k, COUNT] > 0.0:
            y = (moments[k, MEAN] - mean) / scale
            a, b = (bounds[k, 0] - mean) / scale, (bounds[k, 1] - mean) / scale
            strata[used, 0], strata[used, 1] = moments[k, COUNT], y
            strata[used, 2] = y * y + moments[k, M2] / (moments[k, COUNT] * scale * scale)
            strata[used, 3], strata[used, 4] = a, b
            open_below, open_above = open_below or a == -math.inf, open_above or b == math.inf
            low, high = min(low, a), max(high, b)
            used += 1
    strata = strata[:used]
    if not (open_below and open_above):  # else t₂ = 0 has no density, and a maximum exists
        start = 1.0 / high if open_below else (1.0 / low if open_above else 0.0)
        _, _, towards_border, steps = _climb(start, 0.0, strata)
        if steps < 0 or towards_border >= 0.0:
            return NONE_EXISTS
    t1, t2, _, steps = _climb(0.0, -0.5, strata)
    if steps < 0:
        return NOT_REACHED
    sigma = math.sqrt(-0.5 / t2)
    out[0], out[1], out[2] = mean + scale * t1 * sigma * sigma, scale * sigma, steps
    return FOUND


@dataclass(frozen=True, slots=True)
class TruncatedFit:
    """An employee's own parameters, or the population's where his amounts do not tell: `reason` says which ("found" or why not)."""

    mu: float
    sigma: float
    reason: str
    steps: int


def fit_truncated(moments: NDArray[np.float64], bounds: NDArray[np.float64], *, mu: float, sigma: float) -> TruncatedFit:
    """Return the maximum-likelihood mu and sigma of cut-off log-normal amounts, section 4.4.

    Parameters
    ----------
    moments
        Shape (s, 3), a row of `state.moments` per stratum of limits: count, mean, sum of squared deviations of log10(amount).
    bounds
        Shape (s, 2): each stratum's lower and upper limit, amounts in the same currency; 0 and inf where there is none.
    mu, sigma
        The population's, which stand in where fewer than 30 amounts are given or no maximum exists.

    Examples
    --------
    Without limits the maximum is the plain mean and standard deviation (with n in the denominator):

    >>> fit = fit_truncated(np.array([[100.0, 2.5, 36.0]]), np.array([[0.0, np.inf]]), mu=0.0, sigma=1.0)
    >>> round(fit.mu, 9), round(fit.sigma, 9), fit.reason
    (2.5, 0.6, 'found')
    """
    moments, bounds = np.array(moments, float).reshape(-1, 3), np.array(bounds, float).reshape(-1, 2)
    if len(moments) != len(bounds) or np.any(moments[:, COUNT] < 0) or not np.all(np.isfinite(moments)):
        raise ValueError(
            f"moments of shape {moments.shape} and bounds of shape {bounds.shape}: wanted finite moments, a row of bounds each"
        )
    if not np.all((bounds[:, 0] >= 0.0) & (bounds[:, 0] < bounds[:, 1])):
        raise ValueError("bounds: wanted lower limits of 0 or more, below their upper limits")
    with np.errstate(divide="ignore"):
        logs = np.log10(bounds)
    counted = moments[:, COUNT] > 0
    if np.any((moments[:, MEAN] < logs[:, 0])[counted]) or np.any((moments[:, MEAN] > logs[:, 1])[counted]):
        raise ValueError("moments: a mean lies outside its own limits")
    out = np.zeros(3)
    reason = int(maximise(moments, logs, out))
    if reason == FOUND:
        return TruncatedFit(float(out[0]), float(out[1]), REASONS[FOUND], int(out[2]))
    return TruncatedFit(mu, sigma, REASONS[reason], int(out[2]))
