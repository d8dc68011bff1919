"""The fold over postings: one after another, scored first, learned then."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from detectors.benford.band import INSIDE, OUTSIDE, band_of, next_limit
from detectors.benford.digits import leading_digit
from detectors.benford.evidence import BETS, bet, mean_of, slope_of
from detectors.benford.fit import chi_square, cramers_v, deviations
from detectors.benford.laws import BAND, HIGHEST, law_of
from detectors.benford.repeats import fill_of, remember
from detectors.benford.shiryaev_roberts import boundary
from detectors.benford.told import (
    ALARMED,
    APPROVAL,
    BAND_PLACE,
    BAND_TEST,
    BAND_TRIALS,
    CLOSED,
    COUNTS,
    DIGITS,
    DISTINCT,
    DRIVERS,
    ENTRY,
    FIRST_AT,
    HEAD,
    LARGEST_DETAIL,
    LAST_AT,
    LATE,
    LATE_BAND,
    LATE_BAND_EXPECTED,
    LATE_SQUARES,
    LATE_WEIGHT,
    LEFT_OUT,
    LIMIT_HIGH,
    LIMIT_LOW,
    NO_LIMIT,
    ONSET,
    PERIOD,
    PLACES,
    POSTINGS,
    REPEATS_PLACE,
    REPEATS_TEST,
    RESTARTS,
    TRIALS,
    UNIT,
    WINDOW,
    YEAR,
    YEAR_DISTINCT,
    tell,
)
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


@njit(cache=True)  # type: ignore[untyped-decorator]
def begin_year(row, hits, evidence, onset, expected, window_counts, late, driven, drivers):  # type: ignore[no-untyped-def]
    """Begin an accounting year: evidence, counts and levels anew; what amounts are remembered stays, and so does the numbering."""
    for column in range(COUNTS):
        if column not in (POSTINGS, YEAR, PERIOD, CLOSED, UNIT, HEAD):
            row[column] = 0
    row[LIMIT_LOW], row[LIMIT_HIGH], row[APPROVAL] = NO_LIMIT, NO_LIMIT, NO_LIMIT
    row[ALARMED : ALARMED + 5] = NO_YEAR
    evidence[:] = 1.0
    onset[:] = 0.0
    hits[:] = 0
    expected[:] = 0.0
    window_counts[:] = 0.0
    late[:] = 0.0
    driven[:] = 0
    drivers[:] = 0


@njit(cache=True)  # type: ignore[untyped-decorator]
def _drive(driven, drivers, place, amount, number, at, record, offset):  # type: ignore[no-untyped-def]
    """Remember a posting that fell in a place, in place of the oldest of the few."""
    entry = drivers[place, driven[place] % DRIVERS]
    entry[0], entry[1], entry[2], entry[3], entry[4] = amount, number, at, record, offset
    driven[place] += 1


@njit(cache=True)  # type: ignore[untyped-decorator]
def fold_postings(  # type: ignore[no-untyped-def]
    from_row, slots, at, amounts, limits, approvals, upstream, partitions, offsets,
    counts, hits, evidence, onset, expected, window_counts, late, closed, recent, driven, drivers,
    own_moments, own_histogram, own_fills, clock,
    reference, histogram, fits, rhos, repeat_shares, epoch, whose, laws, listed,
    alpha, window, minimum_expected, decay, width, year_start, months, utc_offset, exponent,
    score, threshold, p_value, alert, seen, needed, unit, reason, told_e, told_window, places, numbers, detail, detail_stop, used,
):  # fmt: skip
    """Fold postings from `from_row` on; return (row before which it stopped for want of room, alarms so far).

    `counts` to `drivers` are the employees' rows (see `told` for their columns), `own_…` what the partition has learned of its amounts,
    `reference` to `listed` what is in force. `used` is how many alarms there are already.

    A posting's steps: (1) is it a new day, period, year? (2) has its amount been seen before? (3) under its own law, which place did it
    fall in? bet first, count then, (4) which tests have won enough? (5) the population learns.
    """
    today, year, period, here = NO_YEAR, NO_YEAR, NO_YEAR, NO_YEAR
    slopes, nothing = np.zeros(PLACES), np.zeros((BETS, PLACES))
    known = reference[0] == reference[0]
    for i in range(from_row, len(slots)):
        room = detail_stop[used - 1] if used > 0 else 0
        if used + 4 > len(places) or room + 4 * LARGEST_DETAIL > len(detail):
            return i, used
        if i + FAR < len(slots):  # with many employees their rows are not in the cache
            far = slots[i + FAR]
            ask_for(counts, far * COUNTS, COUNTS)
            ask_for(hits, far * PLACES, PLACES)
            ask_for(driven, far * PLACES, PLACES)
            ask_for(expected, far * PLACES, PLACES)
            ask_for(window_counts, far * 18, 18)
            ask_for(late, far * LATE, LATE)
            ask_for(evidence, far * BETS * PLACES, BETS * PLACES)
            ask_for(onset, far * BETS * (PLACES - 1), BETS * (PLACES - 1))
        if i + NEAR < len(slots):
            near = slots[i + NEAR]
            ask_for(recent, near * recent.shape[1], min(counts[near, HEAD], recent.shape[1]))
            if amounts[i + NEAR] > 0:
                digit = leading_digit(amounts[i + NEAR]) - 1
                ask_for(drivers, (near * PLACES + digit) * DRIVERS * ENTRY, DRIVERS * ENTRY)
        slot, amount, limit = slots[i], amounts[i], max(limits[i], NO_LIMIT)
        row = counts[slot]
        day = (at[i] // MINUTE + utc_offset) // MINUTES_A_DAY
        if day != today:
            today = day
            year, period, here = calendar(day, year_start, months)
        clock[LATEST_PERIOD] = max(clock[LATEST_PERIOD], period)
        if period > row[PERIOD]:
            if row[PERIOD] != NO_YEAR:
                row[CLOSED] = row[PERIOD]
                closed[slot, 0] = mean_of(evidence[slot], 0, 9)
                closed[slot, 1] = mean_of(evidence[slot], BAND_PLACE, BAND_PLACE + 1)
                closed[slot, 2] = mean_of(evidence[slot], REPEATS_PLACE, REPEATS_PLACE + 1)
            row[PERIOD] = period
        if year > row[YEAR]:  # a year that is over does not begin again
            begin_year(
                row, hits[slot], evidence[slot], onset[slot], expected[slot], window_counts[slot], late[slot], driven[slot], drivers[slot]
            )
            row[YEAR] = year
        row[UNIT] = max(row[UNIT], here)
        row[POSTINGS] += 1
        record = 2 * partitions[i] + upstream[i]

        repeated = False
        if amount > 0:
            fill = fill_of(min(row[HEAD], recent.shape[1]))
            repeated = remember(recent[slot], row[HEAD], amount)
            own_fills[0, fill] += 1
            share = repeat_shares[fill]
            before = hits[slot, REPEATS_PLACE]
            slopes[REPEATS_PLACE] = slope_of(share, before, row[TRIALS] - before, repeated, rhos[1])
            bet(slopes, evidence[slot], nothing, REPEATS_PLACE, REPEATS_PLACE + 1)
            row[TRIALS] += 1
            if share == share:
                expected[slot, REPEATS_PLACE] += share
            if repeated:
                own_fills[1, fill] += 1
                hits[slot, REPEATS_PLACE] += 1
                _drive(driven[slot], drivers[slot], REPEATS_PLACE, amount, row[POSTINGS], at[i], record, offsets[i])
            else:
                row[HEAD] += 1

        lawful, cell, digit, place = known and amount > 0 and (limit == NO_LIMIT or amount <= limit), 0, 0, 0
        if lawful:
            place = next_limit(amount, listed)
            cell = law_of(place, reference, epoch, exponent, limit, max(approvals[i], -1), listed, width, histogram, fits, whose, laws)
            digit = leading_digit(amount) - 1
            lawful = laws[cell, digit] > 0.0  # beyond what the law allows it is no matter of digits
        if lawful and not repeated:
            if row[DISTINCT] == 0:
                row[FIRST_AT] = at[i]
            row[LAST_AT] = at[i]
            for d in range(9):
                before = hits[slot, d]
                slopes[d] = slope_of(laws[cell, HIGHEST + d], before, row[DISTINCT] - before, d == digit, rhos[0])
                expected[slot, d] += laws[cell, d]
                window_counts[slot, 9 + d] += laws[cell, d]
                late[slot, d] *= decay
                late[slot, 9 + d] = late[slot, 9 + d] * decay + laws[cell, d]
            bet(slopes, evidence[slot], onset[slot], 0, 9)
            late[slot, LATE_WEIGHT] = late[slot, LATE_WEIGHT] * decay + 1.0
            late[slot, LATE_SQUARES] = late[slot, LATE_SQUARES] * decay * decay + 1.0
            late[slot, LATE_BAND] *= decay
            late[slot, LATE_BAND_EXPECTED] *= decay
            late[slot, digit] += 1.0
            window_counts[slot, digit] += 1.0
            hits[slot, digit] += 1
            row[DISTINCT] += 1
            row[YEAR_DISTINCT] += 1
            row[WINDOW] += 1
            _drive(driven[slot], drivers[slot], digit, amount, row[POSTINGS], at[i], record, offsets[i])
            if limit != NO_LIMIT:
                row[LIMIT_LOW] = limit if row[LIMIT_LOW] == NO_LIMIT else min(row[LIMIT_LOW], limit)
                row[LIMIT_HIGH] = max(row[LIMIT_HIGH], limit)

            approval, below = approvals[i], 0
            if approval < 0 and len(listed) > 0:
                approval = listed[place]
                below = listed[place - 1] if place > 0 else 0
            if approval >= 0 and laws[cell, HIGHEST + BAND] > 0.0:
                where = band_of(amount, approval, below, width)
                if fits or where != OUTSIDE:
                    before = hits[slot, BAND_PLACE]
                    inside = where == INSIDE
                    slopes[BAND_PLACE] = slope_of(laws[cell, HIGHEST + BAND], before, row[BAND_TRIALS] - before, inside, rhos[2])
                    bet(slopes, evidence[slot], onset[slot], BAND_PLACE, BAND_PLACE + 1)
                    expected[slot, BAND_PLACE] += laws[cell, BAND]
                    late[slot, LATE_BAND_EXPECTED] += laws[cell, BAND]
                    row[BAND_TRIALS] += 1
                    row[APPROVAL] = approval
                    if inside:
                        hits[slot, BAND_PLACE] += 1
                        late[slot, LATE_BAND] += 1.0
                        _drive(driven[slot], drivers[slot], BAND_PLACE, amount, row[POSTINGS], at[i], record, offsets[i])
            if row[WINDOW] >= window:
                x, df = chi_square(window_counts[slot, :9], window_counts[slot, 9:18])
                rarest = np.inf
                for d in range(9):
                    if window_counts[slot, 9 + d] > 0.0:
                        rarest = min(rarest, window_counts[slot, 9 + d])
                if df > 0 and rarest >= minimum_expected:
                    found, usual = deviations(window_counts[slot, :9], window_counts[slot, 9:18], row[WINDOW])
                    told_window[0, i], told_window[1, i] = found - usual, cramers_v(x, row[WINDOW], df)
                row[WINDOW] = 0
                window_counts[slot] = 0.0
        elif known and not lawful:
            row[LEFT_OUT] += 1

        unit[i] = row[UNIT]
        seen[i], needed[i] = row[POSTINGS], 1
        if known:
            highest = 0.0
            held_late = boundary(1.0, row[YEAR_DISTINCT])
            for test in range(4):
                if test == DIGITS:
                    e = mean_of(evidence[slot], 0, 9)
                elif test == ONSET:
                    e = mean_of(onset[slot], 0, BAND_PLACE + 1)
                elif test == BAND_TEST:
                    e = mean_of(evidence[slot], BAND_PLACE, BAND_PLACE + 1)
                else:
                    e = mean_of(evidence[slot], REPEATS_PLACE, REPEATS_PLACE + 1)
                told_e[test, i] = e
                parts = PARTS[test] * 2.0 ** row[RESTARTS + test]
                level, held = alpha / parts, parts / alpha
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
                        detail, room, test, e, held, alpha, level, reference, fits, rho, exponent, width,
                        row, hits[slot], evidence[slot], onset[slot], expected[slot], late[slot], driven[slot], drivers[slot], 0.0, 0, 0,
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
