"""The fold over postings: one after another, scored first, learned then."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from detectors.benford.band import INSIDE, OUTSIDE, band_of, next_limit
from detectors.benford.digits import leading_digit
from detectors.benford.evidence import bet, bet_without_onset, mean_of, no_bets, slope_of
from detectors.benford.fit import chi_square, cramers_v, deviations
from detectors.benford.lanes import BETS, LANES
from detectors.benford.laws import BAND, HIGHEST, law_of
from detectors.benford.repeats import fill_of, remember
from detectors.benford.rows import (
    ALARMED,
    APPROVAL,
    BAND_PLACE,
    BAND_TEST,
    BAND_TRIALS,
    BETS_AT,
    CLOSED,
    CLOSED_E,
    COUNTS,
    DIGITS,
    DISTINCT,
    EXPECTED,
    FIRST_AT,
    HEAD,
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
    MARKS,
    NO_LIMIT,
    ONSET,
    OWN_APPROVAL,
    OWN_LIMIT,
    PERIOD,
    PLACES,
    POSTINGS,
    REPEATS_PLACE,
    REPEATS_TEST,
    RESTARTS,
    TRIALS,
    UNIT,
    WINDOW,
    WINDOW_COUNTS,
    YEAR,
    YEAR_DISTINCT,
    driver_at,
    recent_at,
    remember_driver,
)
from detectors.benford.shiryaev_roberts import boundary
from detectors.benford.told import LARGEST_DETAIL, tell
from detectors.benford.years import MINUTE, MINUTES_A_DAY, NO_YEAR, calendar
from detectors.protocol import NO_REFERENCE
from state.log_histogram import learn_amount
from state.moments import learn_moment
from state.prefetch import FAR, NEAR, ask_for

# The year's level is divided by these: a third each to digits, band and repeats; that of the digits is halved between fraud from the
# start and late fraud.
PARTS = (6.0, 6.0, 3.0, 3.0)
CRITICAL_AT = 100.0  # times what the level asks for
LATEST_PERIOD, TOLD_PERIOD = range(2)  # of a partition: the latest that a posting lay in, the last at whose end employees were compared
_BAND_BETS, _REPEATS_BETS = BETS_AT + BAND_PLACE * LANES, BETS_AT + REPEATS_PLACE * LANES
# Of digits, onset, band and repeats: where the numbers begin whose mean is the test's, and over how many places it is taken.
_OF_TEST, _PLACES = (BETS_AT, BETS_AT + BETS, _BAND_BETS, _REPEATS_BETS), (9, BAND_PLACE + 1, 1, 1)
_CLOSED = (DIGITS, BAND_TEST, REPEATS_TEST)


@njit(cache=True)  # type: ignore[untyped-decorator]
def begin_year(row, real, distinct):  # type: ignore[no-untyped-def]
    """Begin an accounting year: evidence, counts and levels anew; what amounts are remembered stays, and so does the numbering."""
    for column in range(COUNTS):
        if column not in (POSTINGS, YEAR, PERIOD, CLOSED, UNIT, HEAD):
            row[column] = 0
    row[LIMIT_LOW], row[LIMIT_HIGH], row[APPROVAL] = NO_LIMIT, NO_LIMIT, NO_LIMIT
    row[ALARMED : ALARMED + 5] = NO_YEAR
    row[HITS : HITS + PLACES] = 0
    real[EXPECTED:CLOSED_E] = 0.0
    no_bets(real[BETS_AT:MARKS])
    row[driver_at(distinct, 0, 0) :] = 0


@njit(cache=True)  # type: ignore[untyped-decorator]
def close_period(row, real):  # type: ignore[no-untyped-def]
    """Keep the e-values as they stand at the end of the employee's last period."""
    row[CLOSED] = row[PERIOD]
    for k in range(3):
        real[CLOSED_E + k] = mean_of(real, _OF_TEST[_CLOSED[k]], _PLACES[_CLOSED[k]])


@njit(cache=True)  # type: ignore[untyped-decorator]
def describe_window(row, real, minimum_expected):  # type: ignore[no-untyped-def]
    """Return (excess MAD, Cramér's V) of a full window and begin the next one; NaN where a digit was too rare to tell."""
    observed, wanted = real[WINDOW_COUNTS : WINDOW_COUNTS + 9], real[WINDOW_COUNTS + 9 : WINDOW_COUNTS + 18]
    excess, effect, rarest = np.nan, np.nan, np.inf
    x, df = chi_square(observed, wanted)
    for d in range(9):
        if wanted[d] > 0.0:
            rarest = min(rarest, wanted[d])
    if df > 0 and rarest >= minimum_expected:
        found, usual = deviations(observed, wanted, row[WINDOW])
        excess, effect = found - usual, cramers_v(x, row[WINDOW], df)
    row[WINDOW] = 0
    real[WINDOW_COUNTS : WINDOW_COUNTS + 18] = 0.0
    return excess, effect


@njit(cache=True)  # type: ignore[untyped-decorator]
def _drive(row, distinct, place, amount, at, record, offset):  # type: ignore[no-untyped-def]
    """Count a posting that fell in a place, and remember it in place of the oldest of the few."""
    remember_driver(row, driver_at(distinct, place, row[HITS + place]), amount, row[POSTINGS], at, record, offset)
    row[HITS + place] += 1


@njit(cache=True)  # type: ignore[untyped-decorator]
def fold_postings(  # type: ignore[no-untyped-def]
    from_row, slots, at, amounts, limits, approvals, upstream, partitions, offsets,
    whole, reals, distinct, own_moments, own_histogram, own_fills, clock,
    reference, histogram, fits, rhos, repeat_shares, epoch, whose, laws, listed,
    alpha, window, minimum_expected, decay, width, year_start, months, utc_offset, exponent, usual_limit,
    score, threshold, p_value, alert, seen, needed, unit, reason, told_e, told_window, places, numbers, detail, detail_stop, used,
):  # fmt: skip
    """Fold postings from `from_row` on; return (row before which it stopped for want of room, alarms so far).

    `whole` and `reals` are the employees' rows (`rows`), `own_…` what the partition has learned of its amounts, `reference` to `listed`
    what is in force. `used` is how many alarms there are already.

    A posting's steps: (1) is it a new day, period, year? (2) has its amount been seen before? (3) under its own law, which place did it
    fall in? bet first, count then, (4) which tests have won enough? (5) the population learns.
    """
    today, year, period, here = NO_YEAR, NO_YEAR, NO_YEAR, NO_YEAR
    known = reference[0] == reference[0]
    first_recent, all_words = recent_at(distinct), whole.shape[1]
    for i in range(from_row, len(slots)):
        room = detail_stop[used - 1] if used > 0 else 0
        if used + 4 > len(places) or room + 4 * LARGEST_DETAIL > len(detail):
            return i, used
        if i + FAR < len(slots):  # with many employees their rows are not in the cache
            ask_for(whole, slots[i + FAR] * all_words, first_recent)
        if i + NEAR < len(slots):
            near = slots[i + NEAR]
            ask_for(whole, near * all_words + first_recent + whole[near, HEAD] % distinct, 1)
            if amounts[i + NEAR] > 0:
                digit = leading_digit(amounts[i + NEAR]) - 1
                ask_for(whole, near * all_words + driver_at(distinct, digit, whole[near, HITS + digit]), 4)
        slot, amount = slots[i], amounts[i]
        row, real = whole[slot], reals[slot]
        limit = limits[i] if limits[i] >= 0 else (row[OWN_LIMIT] if row[OWN_LIMIT] >= 0 else usual_limit)
        approval = approvals[i] if approvals[i] >= 0 else row[OWN_APPROVAL]
        day = (at[i] // MINUTE + utc_offset) // MINUTES_A_DAY
        if day != today:
            today = day
            year, period, here = calendar(day, year_start, months)
        clock[LATEST_PERIOD] = max(clock[LATEST_PERIOD], period)
        if period > row[PERIOD]:
            if row[PERIOD] != NO_YEAR:
                close_period(row, real)
            row[PERIOD] = period
        if year > row[YEAR]:  # a year that is over does not begin again
            begin_year(row, real, distinct)
            row[YEAR] = year
        row[UNIT] = max(row[UNIT], here)
        row[POSTINGS] += 1
        record = 2 * partitions[i] + upstream[i]

        repeated = False
        if amount > 0:
            fill = fill_of(min(row[HEAD], distinct))
            repeated = remember(row, MARKS, first_recent, distinct, row[HEAD], amount)
            own_fills[0, fill] += 1
            share = repeat_shares[fill]
            before = row[HITS + REPEATS_PLACE]
            bet_without_onset(real, _REPEATS_BETS, slope_of(share, before, row[TRIALS] - before, repeated, rhos[1]))
            row[TRIALS] += 1
            if share == share:
                real[EXPECTED + REPEATS_PLACE] += share
            if repeated:
                own_fills[1, fill] += 1
                _drive(row, distinct, REPEATS_PLACE, amount, at[i], record, offsets[i])
            else:
                row[HEAD] += 1

        lawful, cell, digit, place = known and amount > 0 and (limit == NO_LIMIT or amount <= limit), 0, 0, 0
        if lawful:
            place = next_limit(amount, listed)
            cell = law_of(place, reference, epoch, exponent, limit, approval, listed, width, histogram, fits, whose, laws)
            digit = leading_digit(amount) - 1
            lawful = laws[cell, digit] > 0.0  # beyond what the law allows it is no matter of digits
        if lawful and not repeated:
            law = laws[cell]
            if row[DISTINCT] == 0:
                row[FIRST_AT] = at[i]
            row[LAST_AT] = at[i]
            for d in range(9):
                before = row[HITS + d]
                bet(real, BETS_AT + LANES * d, slope_of(law[HIGHEST + d], before, row[DISTINCT] - before, d == digit, rhos[0]))
            for d in range(9):
                real[EXPECTED + d] += law[d]
                real[WINDOW_COUNTS + 9 + d] += law[d]
                real[LATE + d] *= decay
                real[LATE + 9 + d] = real[LATE + 9 + d] * decay + law[d]
            real[LATE + LATE_WEIGHT] = real[LATE + LATE_WEIGHT] * decay + 1.0
            real[LATE + LATE_SQUARES] = real[LATE + LATE_SQUARES] * decay * decay + 1.0
            real[LATE + LATE_BAND] *= decay
            real[LATE + LATE_BAND_EXPECTED] *= decay
            real[LATE + digit] += 1.0
            real[WINDOW_COUNTS + digit] += 1.0
            row[DISTINCT] += 1
            row[YEAR_DISTINCT] += 1
            row[WINDOW] += 1
            _drive(row, distinct, digit, amount, at[i], record, offsets[i])
            if limit != NO_LIMIT:
                row[LIMIT_LOW] = limit if row[LIMIT_LOW] == NO_LIMIT else min(row[LIMIT_LOW], limit)
                row[LIMIT_HIGH] = max(row[LIMIT_HIGH], limit)

            below = 0
            if approval < 0 and len(listed) > 0:
                approval = listed[place]
                below = listed[place - 1] if place > 0 else 0
            if approval >= 0 and law[HIGHEST + BAND] > 0.0:
                where = band_of(amount, approval, below, width)
                if fits or where != OUTSIDE:
                    before = row[HITS + BAND_PLACE]
                    inside = where == INSIDE
                    bet(real, _BAND_BETS, slope_of(law[HIGHEST + BAND], before, row[BAND_TRIALS] - before, inside, rhos[2]))
                    real[EXPECTED + BAND_PLACE] += law[BAND]
                    real[LATE + LATE_BAND_EXPECTED] += law[BAND]
                    row[BAND_TRIALS] += 1
                    row[APPROVAL] = approval
                    if inside:
                        real[LATE + LATE_BAND] += 1.0
                        _drive(row, distinct, BAND_PLACE, amount, at[i], record, offsets[i])
            if row[WINDOW] >= window:
                told_window[0, i], told_window[1, i] = describe_window(row, real, minimum_expected)
        elif known and not lawful:
            row[LEFT_OUT] += 1

        unit[i] = row[UNIT]
        seen[i], needed[i] = row[POSTINGS], 1
        if known:
            highest = 0.0
            held_late = boundary(1.0, row[YEAR_DISTINCT])
            for test in range(4):
                e = mean_of(real, _OF_TEST[test], _PLACES[test])
                told_e[test, i] = e
                parts = PARTS[test]
                if row[RESTARTS + test] > 0:
                    parts *= 2.0 ** row[RESTARTS + test]
                held = parts / alpha
                if test == ONSET:
                    held *= held_late
                highest = max(highest, e / held)
                if e >= held and row[UNIT] > row[ALARMED + test]:
                    row[ALARMED + test] = row[UNIT]
                    alert[i] = True
                    places[used, 0], places[used, 1], places[used, 2], places[used, 3] = i, slot, test, row[UNIT]
                    places[used, 4] = 1 if e >= CRITICAL_AT * held else 0
                    numbers[used, 0], numbers[used, 1] = e, held
                    numbers[used, 2] = min(1.0, held_late / e if test == ONSET else 1.0 / e)
                    numbers[used, 3] = np.nan if test == ONSET else e
                    rho = rhos[1 if test == REPEATS_TEST else 2 if test == BAND_TEST else 0]
                    room = tell(
                        detail, room, test, e, held, alpha, alpha / parts, reference, fits, rho, exponent, width, row, real, distinct,
                    )  # fmt: skip
                    detail_stop[used] = room
                    used += 1
            score[i], threshold[i] = highest, 1.0
            p_value[i] = min(1.0, alpha / highest) if highest > 0.0 else 1.0
        else:
            reason[i] = NO_REFERENCE
            needed[i] = row[POSTINGS] + 1
        # what the digits are counted of is what their law is learned from
        if amount > 0 and not repeated and learn_amount(own_histogram, amount, limit):
            learn_moment(own_moments, math.log10(amount) - exponent)
    return len(slots), used
