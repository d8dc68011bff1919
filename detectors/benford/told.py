"""What is written down at an alarm, so that it can be explained without the stream."""

from __future__ import annotations

import numpy as np
from numba import njit

from detectors.benford.fit import chi_square, chi_square_tail, cramers_v, deviations, look_tail
from detectors.benford.lanes import BETS, LANES, SIZES
from detectors.benford.rows import (
    APPROVAL,
    BAND_PLACE,
    BAND_TRIALS,
    BETS_AT,
    DISTINCT,
    DRIVERS,
    ENTRY,
    EXPECTED,
    FIRST_AT,
    HITS,
    LAST_AT,
    LATE,
    LATE_BAND,
    LATE_BAND_EXPECTED,
    LATE_SQUARES,
    LATE_WEIGHT,
    LEFT_OUT,
    LIMIT_HIGH,
    LIMIT_LOW,
    ONSET,
    PERIOD,
    PLACES,
    POSTINGS,
    REPEATS_PLACE,
    RESTARTS,
    TRIALS,
    YEAR,
    drivers_of,
)

# The scalars of an alarm; then observed and expected counts of the digits (9 + 9), the same of late (9 + 9), and the driving postings.
DETAIL = (
    "test", "e", "held_against", "alpha", "level", "restarts", "year", "period", "postings", "distinct", "mu", "sigma", "fits", "rho",
    "limit_low", "limit_high", "first_at", "last_at", "left_out", "exponent", "chi_square", "df", "p_value", "excess_mad", "cramers_v",
    "late_n", "late_p_value", "place", "size", "hits", "trials", "expected_hits", "approval_limit", "width", "drivers",
    "rate", "employees", "taken", "late_band", "late_band_expected",
)  # fmt: skip
SCALARS = len(DETAIL)
LARGEST_DETAIL = SCALARS + 36 + ENTRY * DRIVERS
_FIRST, _LAST = (0, 0, BAND_PLACE, REPEATS_PLACE, 0), (9, REPEATS_PLACE, REPEATS_PLACE, PLACES, PLACES)  # the places of each test


@njit(cache=True)  # type: ignore[untyped-decorator]
def named_by(real, test):  # type: ignore[no-untyped-def]
    """Return (place, size) of the bet that has won most in a test: of the products, or of the onset's sums."""
    place, size, most = _FIRST[test], 0, -1.0
    sums = BETS if test == ONSET else 0
    for here in range(_FIRST[test], _LAST[test]):
        for e in range(BETS):
            won = real[BETS_AT + here * LANES + sums + e]
            if won > most:
                place, size, most = here, e, won
    return place, size


@njit(cache=True)  # type: ignore[untyped-decorator]
def tell(  # type: ignore[no-untyped-def]
    detail, used, test, e, held, alpha, level, reference, fits, rho, exponent, width, row, real, distinct,
):  # fmt: skip
    """Write down what explains an alarm of `test`; return how much of `detail` is used.

    `row` and `real` are one employee's numbers (`rows`), `distinct` how many amounts are remembered of him. What is told of a period's end
    is left 0.
    """
    n = row[DISTINCT]
    hits, expected, late = row[HITS : HITS + PLACES], real[EXPECTED : EXPECTED + PLACES], real[LATE : LATE + 22]
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
    place, size = named_by(real, test)
    trials = n if place < 9 else (row[BAND_TRIALS] if place == BAND_PLACE else row[TRIALS])
    postings = np.zeros(DRIVERS * ENTRY, np.int64)
    many = drivers_of(row, distinct, place, postings)
    head = (
        float(test), e, held, alpha, level, float(row[RESTARTS + test]), float(row[YEAR]), float(row[PERIOD]), float(row[POSTINGS]),
        float(n), reference[0], reference[1], 1.0 if fits else 0.0, rho, float(row[LIMIT_LOW]), float(row[LIMIT_HIGH]),
        float(row[FIRST_AT]), float(row[LAST_AT]), float(row[LEFT_OUT]), float(exponent),
    )  # fmt: skip
    rest = (
        x, float(df), p, excess, effect, late_n, late_p, float(place), SIZES[size],
        float(hits[place]), float(trials), expected[place], float(row[APPROVAL]), width, float(many), 0.0, 0.0, 0.0,
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
    for k in range(many * ENTRY):
        detail[used + k] = postings[k]
    return used + many * ENTRY
