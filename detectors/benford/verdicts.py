"""What becomes of evidence when a person has looked at an alert.

*Cleared*: what was found is honest. The test's evidence begins anew, and since its level has been spent once, the k-th such restart of an
accounting year is held against α / 2ᵏ: over all restarts an honest employee is alerted with probability 2α at most. What has been
counted stays; it is how this employee is.

*Confirmed*: what was found is fraud. The level of the honest has not been spent, so the test begins anew at the same one, and the
fraudulent postings are taken out of what has been counted. These are, of the place that the alert names (the digit, the band, the
repeated amounts), as many postings as lie there beyond what the postings elsewhere lead one to expect,

    s = h − (n − h) E / (n − E)      (h of n postings in the place, E expected),

whole ones, and none where s is below 1. They leave the place's count, the number of postings and, in proportion, what was expected and
what came of late; the few postings that drove the alert are forgotten. Which of a place's postings were fraud is not known one by one:
an employee's row holds counts, and the last five postings of each place. Everything else that he posted in the year stays, and so does
what the whole population has learned of his amounts.

*Why the promise holds.* Evidence begins at 1 again, and each of its factors has a mean of 1 at most given all that went before, whatever
that was: also a restart at a time that a person chose. Where employees scatter (ρ > 0) the factors look at h and n; what is left after
a confirmation is what an honest employee with the expected share in this place would have, which neither feeds on the fraud (its
hits would pass for the employee's habit, and the next fraud for honest) nor takes honest postings away from another place.

A verdict on an accounting year that is over changes nothing: a new year has begun everything anew.
"""

from __future__ import annotations

import math

from detectors.benford.lanes import BETS, LANES
from detectors.benford.rows import (
    ALARMED,
    BAND_PLACE,
    BAND_TEST,
    BAND_TRIALS,
    BETS_AT,
    DIGITS,
    DISTINCT,
    EXPECTED,
    HITS,
    LATE,
    LATE_BAND,
    LATE_BAND_EXPECTED,
    LATE_SQUARES,
    LATE_WEIGHT,
    ONSET,
    PERIOD_TEST,
    PLACES,
    REPEATS_PLACE,
    REPEATS_TEST,
    RESTARTS,
    TRIALS,
    WINDOW,
    WINDOW_COUNTS,
    YEAR,
    Rows,
)
from detectors.benford.told import named_by
from detectors.benford.years import NO_YEAR, UNITS_A_YEAR
from detectors.protocol import Floats, Ints

CLEARED, CONFIRMED = "cleared", "confirmed"
_PLACES = {DIGITS: range(9), ONSET: range(10), BAND_TEST: range(BAND_PLACE, REPEATS_PLACE), REPEATS_TEST: range(REPEATS_PLACE, PLACES)}


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
    row, real = rows.whole[slot], rows.real[slot]
    if last_unit // UNITS_A_YEAR < row[YEAR]:
        return
    for each in (DIGITS, BAND_TEST, REPEATS_TEST) if test == PERIOD_TEST else (test,):
        place, _ = named_by(real, each)
        for other in _PLACES[each]:
            first = BETS_AT + other * LANES
            if each == ONSET:
                real[first + BETS : first + LANES] = 0.0
            else:
                real[first : first + BETS] = 1.0
        row[ALARMED + each] = NO_YEAR
        if verdict == CLEARED:
            row[RESTARTS + each] += 1
        else:
            _take_out(row, real, int(place))
            rows["drivers"][slot, place] = 0


def surplus(hits: float, trials: float, expected: float) -> float:
    """Return how many of `hits` are beyond what the other trials lead one to expect, at least 0.

    >>> surplus(28, 100, 10.0)  # of 72 elsewhere 8 are expected here
    20.0
    """
    if not 0.0 <= expected < trials:
        return 0.0
    return min(max(hits - (trials - hits) * expected / (trials - expected), 0.0), hits)


def _take_out(row: Ints, real: Floats, place: int) -> None:
    """Take a place's surplus out of the counts of its test."""
    counter = DISTINCT if place < BAND_PLACE else BAND_TRIALS if place == BAND_PLACE else TRIALS
    together = range(BAND_PLACE) if place < BAND_PLACE else (place,)  # places that share their trials
    gone = math.floor(surplus(int(row[HITS + place]), int(row[counter]), float(real[EXPECTED + place])))
    if gone > 0:
        left = (int(row[counter]) - gone) / int(row[counter])
        row[HITS + place] -= gone
        row[counter] -= gone
        for other in together:
            real[EXPECTED + other] *= left
    if place == BAND_PLACE:
        real[LATE + LATE_BAND] = min(real[LATE + LATE_BAND], real[LATE + LATE_BAND_EXPECTED])
    elif place < BAND_PLACE:
        weight = float(real[LATE + LATE_WEIGHT])
        recent = surplus(float(real[LATE + place]), weight, float(real[LATE + 9 + place]))
        if recent > 0.0:
            left = (weight - recent) / weight
            real[LATE + place] -= recent
            for column in (*range(9, 18), LATE_WEIGHT, LATE_SQUARES):
                real[LATE + column] *= left
        row[WINDOW] = 0
        real[WINDOW_COUNTS : WINDOW_COUNTS + 18] = 0.0
