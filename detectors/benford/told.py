"""What is written down at an alarm, so that it can be explained without the stream."""

from __future__ import annotations

import numpy as np
from numba import njit

from detectors.benford.evidence import BETS, SIZES
from detectors.benford.fit import chi_square, chi_square_tail, cramers_v, deviations, look_tail

PLACES = 11  # the nine digits, the band, repeated amounts
BAND_PLACE, REPEATS_PLACE = 9, 10
DRIVERS = 5  # postings remembered of each place
ENTRY = 5  # numbers of a posting: amount, the employee's own number of it, event time, 2 · partition + upstream, offset

# The scalars of an alarm; then observed and expected counts of the digits (9 + 9), the same of late (9 + 9), and the driving postings.
DETAIL = (
    "test", "e", "held_against", "alpha", "level", "restarts", "year", "period", "postings", "distinct", "mu", "sigma", "fits", "rho",
    "limit_low", "limit_high", "first_at", "last_at", "left_out", "exponent", "chi_square", "df", "p_value", "excess_mad", "cramers_v",
    "late_n", "late_p_value", "place", "size", "hits", "trials", "expected_hits", "approval_limit", "width", "drivers",
    "rate", "employees", "taken", "late_band", "late_band_expected",
)  # fmt: skip
SCALARS = len(DETAIL)
LARGEST_DETAIL = SCALARS + 36 + ENTRY * DRIVERS

# Columns of an employee's whole numbers.
(
    POSTINGS, YEAR, PERIOD, CLOSED, UNIT, DISTINCT, BAND_TRIALS, TRIALS, HEAD, LEFT_OUT, LIMIT_LOW, LIMIT_HIGH, APPROVAL, FIRST_AT, LAST_AT,
    WINDOW, YEAR_DISTINCT,
) = range(17)  # fmt: skip
ALARMED, RESTARTS = 17, 22  # of each test, five each
COUNTS = 27
NO_LIMIT = -1
DIGITS, ONSET, BAND_TEST, REPEATS_TEST, PERIOD_TEST = range(5)
# Of the decayed numbers, after the digits' counts (9) and what was expected (9): Σ w, Σ w², the band's count and what was expected of it.
LATE_WEIGHT, LATE_SQUARES, LATE_BAND, LATE_BAND_EXPECTED = range(18, 22)
LATE = 22


@njit(cache=True)  # type: ignore[untyped-decorator]
def best_bet(bets, first, last):  # type: ignore[no-untyped-def]
    """Return (place, size) of the bet among places first … last − 1 that has won most."""
    place, size, most = first, 0, -1.0
    for here in range(first, last):
        for e in range(BETS):
            if bets[e, here] > most:
                place, size, most = here, e, bets[e, here]
    return place, size


@njit(cache=True)  # type: ignore[untyped-decorator]
def tell(  # type: ignore[no-untyped-def]
    detail, used, test, e, held, alpha, level, reference, fits, rho, exponent, width,
    row, hits, evidence, onset, expected, late, driven, drivers, rate, employees, taken,
):  # fmt: skip
    """Write down what explains an alarm of `test`; return how much of `detail` is used. Arrays are one employee's rows."""
    n = row[DISTINCT]
    x, df = chi_square(hits[:9], expected[:9])
    p, excess, effect, rarity = 1.0, 0.0, 0.0, 0.0
    if n > 0 and df > 0:
        for d in range(9):
            if expected[d] > 0.0:
                rarity += n / expected[d]
        found, usual = deviations(hits[:9], expected[:9], n)
        p, excess, effect = look_tail(x, df, n, rarity), found - usual, cramers_v(x, n, df)
    late_n, late_p = 0.0, 1.0
    if late[LATE_SQUARES] > 0.0:
        # decayed counts vary as much as Σ w² would have it, not Σ w
        late_n = late[LATE_WEIGHT] * late[LATE_WEIGHT] / late[LATE_SQUARES]
        y, late_df = chi_square(late[:9], late[9:18])
        late_p = chi_square_tail(y * late[LATE_WEIGHT] / late[LATE_SQUARES], late_df)
    if test == DIGITS:
        place, size = best_bet(evidence, 0, 9)
    elif test == ONSET:
        place, size = best_bet(onset, 0, 10)
    elif test == BAND_TEST:
        place, size = best_bet(evidence, BAND_PLACE, BAND_PLACE + 1)
    elif test == REPEATS_TEST:
        place, size = best_bet(evidence, REPEATS_PLACE, REPEATS_PLACE + 1)
    else:
        place, size = best_bet(evidence, 0, PLACES)
    trials = n if place < 9 else (row[BAND_TRIALS] if place == BAND_PLACE else row[TRIALS])
    many = min(driven[place], DRIVERS)
    head = (
        float(test), e, held, alpha, level, float(row[RESTARTS + test]), float(row[YEAR]), float(row[PERIOD]), float(row[POSTINGS]),
        float(n), reference[0], reference[1], 1.0 if fits else 0.0, rho, float(row[LIMIT_LOW]), float(row[LIMIT_HIGH]),
        float(row[FIRST_AT]), float(row[LAST_AT]), float(row[LEFT_OUT]), float(exponent),
    )  # fmt: skip
    rest = (
        x, float(df), p, excess, effect, late_n, late_p, float(place), SIZES[size],
        float(hits[place]), float(trials), expected[place], float(row[APPROVAL]), width, float(many), rate, float(employees), float(taken),
        late[LATE_BAND], late[LATE_BAND_EXPECTED],
    )  # fmt: skip
    for i in range(len(head)):
        detail[used + i] = head[i]
    for i in range(len(rest)):
        detail[used + len(head) + i] = rest[i]
    used += SCALARS
    for d in range(9):
        detail[used + d], detail[used + 9 + d] = hits[d], expected[d]
        detail[used + 18 + d], detail[used + 27 + d] = late[d], late[9 + d]
    used += 36
    for k in range(many):  # the oldest first
        entry = (driven[place] - many + k) % DRIVERS
        for j in range(ENTRY):
            detail[used + j] = drivers[place, entry, j]
        used += ENTRY
    return used


def fresh_counts() -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The whole numbers of an employee who has not been heard of."""
    from detectors.benford.years import NO_YEAR

    fresh = np.zeros(COUNTS, np.int64)
    fresh[[LIMIT_LOW, LIMIT_HIGH, APPROVAL]] = NO_LIMIT
    fresh[[YEAR, PERIOD, CLOSED, UNIT]] = NO_YEAR
    fresh[ALARMED : ALARMED + 5] = NO_YEAR
    return fresh
