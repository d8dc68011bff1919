"""What becomes of evidence when a person has looked at an alert.

*Cleared*: what was found is honest. The test's evidence begins anew, and since its level has been spent once, the k-th such restart of an
accounting year is held against α / 2ᵏ: over all restarts an honest employee is alerted with probability 2α at most. What has been
counted stays; it is how this employee is.

*Confirmed*: what was found is fraud. The level of the honest has not been spent, so the test begins anew at the same one. Which of the
postings were fraud is not known one by one, and none is kept beyond the last few; so all that the test has counted since the year
began is taken out with them: its evidence, its counts, what was expected, and the postings that drove it. What the whole population has
learned of their amounts stays.

A verdict on an accounting year that is over changes nothing: a new year has begun everything anew.
"""

from __future__ import annotations

import numpy as np

from detectors.benford.rows import (
    ALARMED,
    BAND_PLACE,
    BAND_TEST,
    BAND_TRIALS,
    DIGITS,
    DISTINCT,
    LATE_BAND,
    LEFT_OUT,
    ONSET,
    PERIOD_TEST,
    REPEATS_PLACE,
    REPEATS_TEST,
    RESTARTS,
    TRIALS,
    WINDOW,
    YEAR,
    Rows,
)
from detectors.benford.years import NO_YEAR, UNITS_A_YEAR

CLEARED, CONFIRMED = "cleared", "confirmed"
_PLACES = {DIGITS: slice(0, 9), ONSET: slice(0, 10), BAND_TEST: slice(BAND_PLACE, BAND_PLACE + 1), REPEATS_TEST: slice(REPEATS_PLACE, None)}


def judge(rows: Rows, slot: int, test: int, verdict: str, last_unit: int) -> None:
    """Begin a test's evidence anew because of a verdict on an episode whose last unit was `last_unit`.

    One on a period's end concerns all three tests whose evidence was taken together.

    Raises
    ------
    ValueError
        If it is neither "confirmed" nor "cleared".
    """
    if verdict not in (CLEARED, CONFIRMED):
        raise ValueError(f"verdict = {verdict!r}: wanted {CONFIRMED!r} or {CLEARED!r}")
    row = rows["counts"][slot]
    if last_unit // UNITS_A_YEAR < row[YEAR]:
        return
    for each in (DIGITS, BAND_TEST, REPEATS_TEST) if test == PERIOD_TEST else (test,):
        places = _PLACES[each]
        rows["onset" if each == ONSET else "evidence"][slot, :, places] = 0.0 if each == ONSET else 1.0
        row[ALARMED + each] = NO_YEAR
        if verdict == CLEARED:
            row[RESTARTS + each] += 1
        else:
            _take_out(rows, slot, places)


def _take_out(rows: Rows, slot: int, places: slice) -> None:
    for name in ("hits", "expected", "drivers"):
        rows[name][slot, places] = 0
    row, here = rows["counts"][slot], np.arange(REPEATS_PLACE + 1)[places]
    if 0 in here:
        row[[DISTINCT, WINDOW, LEFT_OUT]] = 0
        rows["window"][slot] = 0.0
        rows["late"][slot, :LATE_BAND] = 0.0
    if BAND_PLACE in here:
        row[BAND_TRIALS] = 0
        rows["late"][slot, LATE_BAND:] = 0.0
    if REPEATS_PLACE in here:
        row[TRIALS] = 0
