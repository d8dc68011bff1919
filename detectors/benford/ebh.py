"""At a period's end, over all employees: who stands out, at most a chosen share of them wrongly.

The e-BH procedure (Wang and Ramdas, *False discovery rate control with e-values*, JRSS B, 2022): of K e-values take the k largest, for
the largest k such that the k-th is at least K / (q k). In the mean at most a share q of those taken are honest, however the e-values
depend on one another; with p-values looked at again and again the Benjamini–Hochberg procedure has 53 % of them wrong instead of 5 %.

Only e-values of 1/q and above can ever be taken, so a partition tells how many employees it has and these few.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def e_bh_threshold(e_values: Sequence[float] | NDArray[np.float64], employees: int, q: float) -> float:
    """Return the smallest e-value taken: K / (q k); inf where none is.

    Parameters
    ----------
    e_values
        Of `employees` in all, at least those of 1/q and above.
    q
        The share of false discoveries, in the mean, that is allowed.

    Examples
    --------
    Of four employees two have strong evidence; at q = 0.1 the second of four needs 4 / (0.1 · 2) = 20:

    >>> e_bh_threshold([50.0, 25.0], employees=4, q=0.1)
    20.0
    """
    if not 0.0 < q < 1.0:
        raise ValueError(f"q = {q}: wanted a share strictly between 0 and 1")
    if employees < len(e_values):
        raise ValueError(f"{len(e_values)} e-values of {employees} employees: wanted at most one each")
    threshold = math.inf
    for k, e in enumerate(sorted((float(e) for e in e_values), reverse=True), 1):
        if e >= employees / (q * k):
            threshold = employees / (q * k)
    return threshold


def period_record(period: int, e_values: NDArray[np.float64], q: float) -> dict[str, Any]:
    """What a partition tells of a period: ``{"period", "employees", "e_values"}``, the latter those of 1/q and above, descending."""
    large = np.sort(e_values[e_values >= 1.0 / q])[::-1]
    return {"period": period, "employees": len(e_values), "e_values": large.tolist()}


def merge_periods(records: Iterable[Mapping[str, Any]], q: float) -> dict[str, Any] | None:
    """Return ``{"period", "threshold", "employees", "taken", "q"}`` once all partitions tell of the same period; None before.

    Examples
    --------
    >>> told = [{"period": 3, "employees": 2, "e_values": [50.0]}, {"period": 3, "employees": 2, "e_values": [25.0]}]
    >>> merge_periods(told, q=0.1)
    {'period': 3, 'threshold': 20.0, 'employees': 4, 'taken': 2, 'q': 0.1}
    """
    told = list(records)
    if not told or len({int(record["period"]) for record in told}) > 1:
        return None
    e_values = [float(e) for record in told for e in record["e_values"]]
    employees = sum(int(record["employees"]) for record in told)
    threshold = e_bh_threshold(e_values, employees, q)
    if threshold == math.inf:
        return None
    taken = sum(e >= threshold for e in e_values)
    return {"period": int(told[0]["period"]), "threshold": threshold, "employees": employees, "taken": taken, "q": q}
