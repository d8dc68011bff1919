"""Every employee's e-value at the end of a period, and who is named by it.

An employee's e-value is the mean of those of digits, band and repeats as they stood when the period ended: the fold keeps them at his
first posting of a later period. Those of employees who have not posted since stand as they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from detectors.benford.fold import CRITICAL_AT
from detectors.benford.pooled import Population
from detectors.benford.rows import BAND_PLACE, CLOSED, PERIOD, PERIOD_TEST, REPEATS_PLACE, Rows
from detectors.benford.told import DETAIL, LARGEST_DETAIL, tell
from detectors.benford.years import NO_YEAR, UNITS_A_YEAR
from detectors.protocol import NO_ROW, Alarms, Floats, Ints


def period_e_values(rows: Rows, slots: Ints, period: int) -> Floats:
    """Return the e-values at the end of `period` of the employees in these slots who have posted in its accounting year till then."""
    return _each(rows, slots, period)[1]


def _each(rows: Rows, slots: Ints, period: int) -> tuple[Ints, Floats]:
    """Return (their slots, their e-values)."""
    year = period // UNITS_A_YEAR
    counts, evidence, closed = rows["counts"][slots], rows["evidence"][slots], rows["closed"][slots]
    standing = np.stack(
        [
            evidence[:, :, :9].reshape(len(slots), -1).mean(axis=1),
            evidence[:, :, BAND_PLACE].mean(axis=1),
            evidence[:, :, REPEATS_PLACE].mean(axis=1),
        ],
        axis=1,
    )
    since = counts[:, PERIOD] > period  # has posted since
    last = np.where(since, counts[:, CLOSED], counts[:, PERIOD])
    tested = (last != NO_YEAR) & (last <= period) & (last // UNITS_A_YEAR == year)
    each = np.where(since[:, None], closed, standing)[tested]
    return slots[tested], (each[:, 0] + each[:, 1] + each[:, 2]) / 3.0


def period_alarms(
    rows: Rows, slots: Ints, ended: Mapping[str, Any], population: Population, *, alpha: float, exponent: int, width: float
) -> Alarms:
    """Return an alarm for each employee whose e-value reaches the threshold of a period's end, in the order of `slots`.

    `ended` = ``{"period", "threshold", "employees", "taken", "q"}``, as `ebh.merge_periods` makes it.
    """
    threshold = float(ended["threshold"])
    if not threshold >= 1.0 or not math.isfinite(threshold):
        raise ValueError(f"period_end.threshold = {threshold}: wanted an e-value of 1 or above")
    named, e_values = _each(rows, slots, int(ended["period"]))
    named, e_values = named[e_values >= threshold], e_values[e_values >= threshold]
    m = len(named)
    alarms = Alarms(np.zeros((m, 5), np.int64), np.zeros((m, 4)), np.zeros(m * LARGEST_DETAIL), np.zeros(m, np.int64))
    used, q = 0, float(ended.get("q", 1.0 / threshold))
    for i, (slot, e) in enumerate(zip(named.tolist(), e_values.tolist(), strict=True)):
        used = tell(
            alarms.detail, used, PERIOD_TEST, e, threshold, float(alpha), q, population.reference, population.fits,
            float(population.scatters[0]), exponent, float(width), rows.whole[slot], rows.real[slot], rows.distinct,
        )  # fmt: skip
        begun = alarms.detail_stop[i - 1] if i else 0
        year = int(ended["period"]) // UNITS_A_YEAR
        of_period = {
            "period": int(ended["period"]),
            "year": year,
            "rate": q,
            **{name: int(ended.get(name, 0)) for name in ("employees", "taken")},
        }
        for name, value in of_period.items():
            alarms.detail[begun + DETAIL.index(name)] = value
        alarms.places[i] = NO_ROW, slot, PERIOD_TEST, int(ended["period"]), int(e >= CRITICAL_AT * threshold)
        alarms.numbers[i] = e, threshold, min(1.0, 1.0 / e), e
        alarms.detail_stop[i] = used
    alarms.detail = alarms.detail[:used]
    return alarms
