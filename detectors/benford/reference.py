"""What the leading digits of honest amounts look like: Benford's law, its digit cut-off, and the cut-off log-normal law.

Winter, Schneider and Yannikos, *Detecting Fraud Using Modified Benford Analysis* (2011), Eqs. (2)–(9). Logarithms are to base 10
throughout: only so do the paper's figures come out (with a natural-log sigma of 0.6 every honest set of Table 1 is rejected).
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

REACH = 9.0  # standard deviations: what lies further from the nearest allowed amount weighs less than 2⁻⁶⁰ of the whole
DECADES = 300  # powers of ten stay within a double
_ROOT_HALF = 1.0 / math.sqrt(2.0)


@njit(cache=True)  # type: ignore[untyped-decorator]
def normal_tail(z):  # type: ignore[no-untyped-def]
    """Return the mass of a standard normal beyond |z|, accurate however small."""
    return 0.5 * math.erfc(abs(z) * _ROOT_HALF)


@njit(cache=True)  # type: ignore[untyped-decorator]
def digit_law(mu, sigma, low, high, out):  # type: ignore[no-untyped-def]
    """Fill ``out`` (9 cells: first digit; 90: first two) with the cut-off log-normal's digit probabilities, Eqs. (7) and (9).

    Each decade's cells are differences of the distribution function, taken in the nearer tail so that nothing cancels, clipped
    to [low, high) and divided by their sum. All zero where no mass that a double can hold lies between the limits.
    """
    first = len(out) // 9
    out[:] = 0.0
    if not low < high:
        return
    log_low = math.log10(low) if low > 0.0 else -np.inf
    log_high = math.log10(high) if high < np.inf else np.inf
    bottom = max(log_low, min(mu, log_high) - REACH * sigma)
    top = min(log_high, max(mu, log_low) + REACH * sigma)
    # the two clips below keep `range` finite for any mu and sigma
    decade, last = math.floor(max(min(bottom, DECADES), -DECADES)), math.floor(max(min(top, DECADES), -DECADES))
    whole, begun, a, tail_a = 0.0, False, 0.0, 0.0
    while decade <= last:
        ten = 10.0 ** abs(decade)
        for cell in range(len(out)):
            # an edge as a double is the nearest to d · 10ᵏ, so that a limit that is an edge cuts exactly there
            from_amount = (first + cell) * ten / first if decade >= 0 else (first + cell) / (ten * first)
            to_amount = (first + cell + 1) * ten / first if decade >= 0 else (first + cell + 1) / (ten * first)
            if to_amount <= low or from_amount >= high:
                continue
            if not begun:
                begun, a = True, (log_low if from_amount < low else decade + math.log10((first + cell) / first)) - mu
                tail_a = normal_tail(a / sigma)
            b = (log_high if to_amount > high else decade + math.log10((first + cell + 1) / first)) - mu
            tail_b = normal_tail(b / sigma)
            if a >= 0.0:
                mass = tail_a - tail_b
            elif b <= 0.0:
                mass = tail_b - tail_a
            else:
                mass = 1.0 - tail_a - tail_b
            out[cell] += max(mass, 0.0)
            whole += max(mass, 0.0)
            a, tail_a = b, tail_b  # one cell's end is the next one's beginning
        decade += 1
    if whole > 0.0:
        for cell in range(len(out)):
            out[cell] /= whole


def digit_probabilities(mu: float, sigma: float, low: float = 0.0, high: float = np.inf, *, places: int = 1) -> NDArray[np.float64]:
    """Return P(first digit = 1..9) for a log-normal cut off to [low, high].

    Parameters
    ----------
    mu, sigma
        Mean and standard deviation of log10(amount), before the cut.
    low, high
        Accounting limits, in the currency of the amounts.
    places
        1 for the first digit, 2 for the first two (10 … 99).

    Returns
    -------
    Array of shape (9,) (or (90,)), summing to 1: Theta(d + 1) - Theta(d), Eqs. (7) and (9). A digit that the limits rule out
    has probability 0 exactly.

    Raises
    ------
    ValueError
        If sigma is not positive, or no mass lies between the limits.

    Notes
    -----
    Eq. (7) as printed gives F(x) = 0 above the upper limit; a distribution function is 1 there.

    Examples
    --------
    With no limit and a wide spread this is Benford's law:

    >>> digit_probabilities(mu=3.0, sigma=2.0).round(3).tolist()
    [0.301, 0.176, 0.125, 0.097, 0.079, 0.067, 0.058, 0.051, 0.046]
    """
    if not sigma > 0.0 or not math.isfinite(mu) or not math.isfinite(sigma):
        raise ValueError(f"mu = {mu}, sigma = {sigma}: wanted finite numbers, sigma above 0")
    out = np.zeros(_cells(places))
    digit_law(float(mu), float(sigma), float(low), float(high), out)
    if out.sum() == 0.0:
        raise ValueError(f"no amounts of a log-normal with mu = {mu}, sigma = {sigma} lie between {low} and {high}")
    return out


def benford_probabilities(places: int = 1) -> NDArray[np.float64]:
    """Return Benford's law, log10(1 + 1/d), Eq. (1): shape (9,), or (90,) for the first two digits."""
    first = _cells(places) // 9
    return np.log10(1.0 + 1.0 / np.arange(first, 10 * first))


def possible_digits(low: float = 0.0, high: float = np.inf, *, places: int = 1) -> NDArray[np.bool_]:
    """Return which of 1 … 9 (``places=2``: 10 … 99) can lead an amount in [low, high), shape (9,) or (90,)."""
    cells = _cells(places)
    if not low < high:
        raise ValueError(f"low = {low}, high = {high}: wanted low below high")
    if low <= 0.0 or high >= 10.0 * low:
        return np.ones(cells, np.bool_)
    first, decade = cells // 9, math.floor(math.log10(low))
    edges = np.arange(first, 10 * first + 1)
    can = np.zeros(cells, np.bool_)
    for k in range(decade - 1, decade + 3):
        amounts = edges * 10.0**k / first if k >= 0 else edges / (10.0**-k * first)
        can |= (amounts[:-1] < high) & (amounts[1:] > low)
    return can


def digit_cut_off(low: float = 0.0, high: float = np.inf, *, places: int = 1) -> NDArray[np.float64]:
    """Return the digit cut-off rule: Benford's law on the digits that the limits leave possible, rescaled to sum to 1; shape (9,).

    Between limits a decade or more apart every digit stays possible and the rule changes nothing: its weakness. With ``places=2``
    the same of the first two digits, shape (90,).

    Examples
    --------
    >>> digit_cut_off(5_000.0, 10_000.0).round(3).tolist()
    [0.0, 0.0, 0.0, 0.0, 0.263, 0.222, 0.193, 0.17, 0.152]
    """
    law = np.where(possible_digits(low, high, places=places), benford_probabilities(places), 0.0)
    return np.asarray(law / law.sum())


def _cells(places: int) -> int:
    if places not in (1, 2):
        raise ValueError(f"places = {places}: wanted 1 (the first digit) or 2 (the first two)")
    return 9 if places == 1 else 90
