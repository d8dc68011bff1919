"""CADET on arrays: calibrate the errors of any model for the hardness of what it was given (Deng et al., IJCAI 2022).

The stream's detector does the same, event by event; this is the library for one's own data and for the paper's experiments.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray

from detectors.hardness.conformal import conformal_threshold, p_values
from detectors.hardness.curves import CLAMP, KNOTS, QuantileCurves
from detectors.hardness.score import Prior, calibrated_score

Floats = NDArray[np.float64]


class CalibrationWarning(UserWarning):
    """A promise was made on data that cannot keep it."""


class Cadet:
    """Curves fit on one part of the normal events, a threshold calibrated on another, decisions on the rest.

    Parameters
    ----------
    lambda_
        λ, the weight of the prior π(h) = |z(h)|; 0 leaves hardness by itself out of the decision.
    knots, degree, clamp
        Of the splines, see `QuantileCurves.fit`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> hardness = rng.lognormal(size=2000)
    >>> error = hardness * rng.lognormal(sigma=0.3, size=2000)
    >>> cadet = Cadet().fit(error[:1000], hardness[:1000]).calibrate(error[1000:], hardness[1000:])

    The same error is nothing on a hard event and an alert on an easy one:

    >>> cadet.decide([2.0, 2.0], [2.0, 0.2], epsilon=0.01).tolist()
    [False, True]
    """

    def __init__(self, *, lambda_: float = 0.0, knots: int = KNOTS, degree: int = 1, clamp: float = CLAMP) -> None:
        if not (lambda_ >= 0.0 and np.isfinite(lambda_)):
            raise ValueError(f"lambda_ = {lambda_}: wanted a weight of at least 0")
        self.lambda_ = lambda_
        self.knots, self.degree, self.clamp = knots, degree, clamp
        self._curves: QuantileCurves | None = None
        self._prior = Prior(0.0, 0.0)
        self._fitted = (np.empty(0), np.empty(0))
        self._calibration: Floats | None = None

    @property
    def curves(self) -> QuantileCurves:
        """The four quantile curves; a RuntimeError before `fit`."""
        if self._curves is None:
            raise RuntimeError("no curves yet: call fit(error, hardness) on normal events first")
        return self._curves

    @property
    def calibration(self) -> Floats:
        """The calibration scores in ascending order, shape (m,); a RuntimeError before `calibrate`."""
        if self._calibration is None:
            raise RuntimeError("no calibration scores yet: call calibrate(error, hardness) on normal events that fit has not seen")
        return self._calibration

    def fit(self, error: ArrayLike, hardness: ArrayLike) -> Cadet:
        """Fit the curves on errors and hardness of shape (n,) of normal events; what was calibrated before is dropped."""
        e, h = np.array(error, np.float64), np.array(hardness, np.float64)
        self._curves = QuantileCurves.fit(h, e, knots=self.knots, degree=self.degree, clamp=self.clamp)
        self._prior = Prior.fit(h)
        self._fitted = (e, h)
        self._calibration = None
        return self

    def calibrate(self, error: ArrayLike, hardness: ArrayLike) -> Cadet:
        """Take normal events of shape (m,) that `fit` has not seen as what later scores are ranked among.

        Warns
        -----
        CalibrationWarning
            If more than half of the pairs were in the fit (real tables repeat rows: mammography nearly a third of them): curves lie too
            close to the errors they were fit on, and Theorem 1 does not hold.
        """
        e, h = np.asarray(error, np.float64), np.asarray(hardness, np.float64)
        known = set(zip(*(column.tolist() for column in self._fitted), strict=True))
        again = sum(pair in known for pair in zip(e.tolist(), h.tolist(), strict=True))
        if 2 * again > len(e):
            warnings.warn(
                f"{again} of {len(e)} calibration events were in the fit of the curves: the false-alarm rate is not kept on new events; "
                "calibrate on events that were left out of it",
                CalibrationWarning,
                stacklevel=2,
            )
        self._calibration = np.sort(self.score(e, h))
        return self

    def score(self, error: ArrayLike, hardness: ArrayLike) -> Floats:
        """Return the calibrated score s of Eq. (10), shape (n,)."""
        return calibrated_score(error, hardness, self.curves, self._prior, self.lambda_)

    def p_value(self, error: ArrayLike, hardness: ArrayLike) -> Floats:
        """Return the chance that a normal event scores so high, shape (n,)."""
        return p_values(self.calibration, self.score(error, hardness))

    def threshold(self, epsilon: float) -> float:
        """Return the conformal threshold Q̂ of Eq. (11), inf where ε is too small for the calibration events."""
        if not 0.0 < epsilon < 1.0:
            raise ValueError(f"epsilon = {epsilon}: wanted a probability strictly between 0 and 1")
        return conformal_threshold(self.calibration, epsilon)

    def decide(self, error: ArrayLike, hardness: ArrayLike, *, epsilon: float) -> NDArray[np.bool_]:
        """Return D_ε: whether each event's score is above the threshold, shape (n,)."""
        return np.asarray(self.score(error, hardness) > self.threshold(epsilon), np.bool_)
