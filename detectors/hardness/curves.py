"""Conditional quantiles of the error given the hardness: B-splines fit by quantile regression, a linear programme (CADET).

q̂_τ(h) = Σ θ_j B_j(h), with θ the minimiser of Σ ρ_τ(e_i − q̂_τ(h_i)) and ρ_τ(u) = u · (τ − [u < 0]).

The paper leaves knots, degree and what happens outside the fitted hardness open, and draws its upper curve at 1 − ε. Here the curves
stand at four fixed levels, so that ε is no part of what was learned (the conformal threshold makes up for the difference), the
degree is 1, and hardness is held within the knots: a spline let loose beyond its last knot was seen to turn an AUC of .99 into .10.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import BSpline
from scipy.optimize import linprog

Floats = NDArray[np.float64]

LEVELS = (0.25, 0.5, 0.75, 0.95)  # τ of the four curves: lower quartile, median, upper quartile, upper curve
KNOTS = 5  # few: with many, the last stretch hangs on a handful of errors
SEGMENT = 100  # events between two knots, at least: the upper curve hangs on a twentieth of them
CLAMP = 0.95  # share of the fit's hardness below the last knot; whatever is harder is read at the knot
SPREAD_FLOOR = 0.05  # the inter-quartile range is taken as at least this share of its median over the fit
_LARGEST = 1e300  # coefficients stay where sums and differences of them are finite
_FARTHEST = 1e9  # errors beyond so many medians are moved in: no curve up to .95 tells them apart, the solver's tolerance would


def regress(design: Floats, error: Floats, level: float) -> Floats:
    """Return θ of shape (J,) that minimises the pinball loss of `error` (n,) on `design` (n, J) at one level.

    Solved in its dual, which has n bounded unknowns and only J equations: maximise eᵀa subject to Bᵀa = (1 − τ) Bᵀ1, 0 ≤ a ≤ 1; θ are
    the multipliers of the equations. For n = 1,000 this takes milliseconds where the primal takes a tenth of a second.

    Raises
    ------
    ArithmeticError
        If HiGHS finds no optimum.
    """
    wanted = (1.0 - level) * design.sum(axis=0)
    solution = linprog(-error, A_eq=np.ascontiguousarray(design.T), b_eq=wanted, bounds=(0.0, 1.0), method="highs-ds")
    if solution.status != 0:
        raise ArithmeticError(f"the quantile regression at {level} was not solved: {solution.message}")
    return -np.asarray(solution.eqlin.marginals, np.float64)


@dataclass(frozen=True, slots=True)
class QuantileCurves:
    """Four curves over hardness.

    Attributes
    ----------
    knots
        Distinct and ascending, shape (K,); a single one where the hardness never varied: the curves are constants then.
    coefficients
        θ, shape (4, J) with J = K + degree − 1, or (4, 1) for constants. At degree 1 they are the curves' values at the knots.
    degree
        Of the splines: 1 to 3.
    floor
        What the inter-quartile range is never taken below, in the error's unit; > 0.
    """

    knots: Floats
    coefficients: Floats
    degree: int
    floor: float

    @classmethod
    def fit(cls, hardness: ArrayLike, error: ArrayLike, *, knots: int = KNOTS, degree: int = 1, clamp: float = CLAMP) -> QuantileCurves:
        """Fit on pairs of shape (n,), finite.

        Parameters
        ----------
        hardness, error
            Of normal events that the model has not been trained on: it errs too little on those.
        knots
            At most so many, at quantiles of the hardness from its minimum to the share `clamp`; fewer (but two) for fewer than
            `SEGMENT` events between them. Ties merge them.
        degree, clamp
            See the class and `CLAMP`.
        """
        h, e = np.asarray(hardness, np.float64), np.asarray(error, np.float64)
        if h.shape != e.shape or h.ndim != 1 or len(h) == 0:
            raise ValueError(f"hardness and error must be of one shape (n,), n > 0, got {h.shape} and {e.shape}")
        if knots < 1 or degree not in (1, 2, 3) or not 0.0 < clamp <= 1.0:
            raise ValueError(f"knots = {knots}, degree = {degree}, clamp = {clamp}: wanted knots >= 1, degree 1 to 3, clamp in (0, 1]")
        knots = min(knots, 1 + max(1, len(h) // SEGMENT))
        places = np.unique(np.quantile(h, np.linspace(0.0, clamp, knots), method="inverted_cdf"))
        bare = cls(places, np.zeros((len(LEVELS), 1)), degree, 1.0)
        design = bare.design(h)
        scale = _first_positive(_middle(e), float(e.max()))
        with np.errstate(over="ignore"):
            inside = np.minimum(e / scale, _FARTHEST)
            theta = np.stack([_solve(design, inside, level) * scale for level in LEVELS])
        curves = cls(places, np.clip(theta, -_LARGEST, _LARGEST), degree, 1.0)
        quantiles = curves.at(h)
        spread = _middle(quantiles[:, 2] - quantiles[:, 0])
        floor = _first_positive(SPREAD_FLOOR * spread, SPREAD_FLOOR * _middle(e), SPREAD_FLOOR * float(e.max()))
        return cls(curves.knots, curves.coefficients, degree, floor)

    def design(self, hardness: Floats) -> Floats:
        """B_j(h_i), shape (n, J), with the hardness held within the knots."""
        if len(self.knots) == 1:
            return np.ones((len(hardness), 1))
        low, high = self.knots[0], self.knots[-1]
        padded = np.concatenate([np.full(self.degree, low), self.knots, np.full(self.degree, high)])
        return np.asarray(BSpline.design_matrix(np.clip(hardness, low, high), padded, self.degree).toarray(), np.float64)

    def at(self, hardness: ArrayLike) -> Floats:
        """Return the four quantiles at each hardness, shape (n, 4), ascending: curves that cross are sorted where they are read."""
        design = self.design(np.asarray(hardness, np.float64))
        values = np.zeros((len(design), len(LEVELS)))
        for j in range(design.shape[1]):  # in this order, and not by BLAS: the floor is part of a stream's state
            values += design[:, j, None] * self.coefficients[:, j]
        return np.sort(values, axis=1)

    def spread(self, quantiles: Floats) -> Floats:
        """IQR(h) of rows of `at`, shape (n,), never below the floor."""
        return np.maximum(quantiles[:, 2] - quantiles[:, 0], self.floor)


def _solve(design: Floats, error: Floats, level: float) -> Floats:
    """θ at one level; the plain quantile where there is one constant, or where the solver gives up on a freak of rounding."""
    constant = np.quantile(error, level, method="inverted_cdf")
    if design.shape[1] > 1:
        try:
            return regress(design, error, level)
        except ArithmeticError:
            pass
    return np.full(design.shape[1], constant)


def _middle(values: Floats) -> float:
    """The median, as one of the values: the mean of two huge ones would be infinite."""
    return float(np.quantile(values, 0.5, method="inverted_cdf"))


def _first_positive(*candidates: float) -> float:
    return next((value for value in candidates if value > 0.0), 1.0)
