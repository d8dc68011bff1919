"""The fold over postings: one after another, scored first, learned then."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from detectors.benford.digits import leading_digit
from detectors.benford.fit import chi_square, chi_square_tail, cramers_v, deviations, look_tail, look_threshold
from detectors.benford.looks import accounting_year, level_of_look
from detectors.benford.reference import digit_law
from detectors.protocol import NO_LOOK, NO_REFERENCE, NOT_TESTABLE
from state.arena import NO_ROOM, allocate, release
from state.moments import learn_moment

FIRST_ROOM = 10  # postings an employee's block holds at first: most employees never fill a window
GROWTH = 4  # a longer block is this many times as long: two moves to a window, and little left behind of shorter blocks
ENTRY = 5  # numbers kept of a posting: amount, the employee's own number of it, event time, partition and offset of its record
LONGEST = 4  # windows: where a digit is still too rare then, nothing is tested and a new window begins
DRIVERS = 20  # postings named in an alert

# The scalars at the head of an alert's detail; observed counts (9), expected counts (9) and ENTRY numbers a driver follow.
DETAIL = (
    "n", "chi_square", "df", "p_value", "paper_p_value", "level", "look_of_year", "look", "year", "alpha", "mu", "sigma",
    "limit_low", "limit_high", "first_at", "last_at", "excess_mad", "cramers_v", "left_out", "exponent", "digit", "drivers",
)  # fmt: skip
SCALARS = len(DETAIL)
LARGEST_DETAIL = SCALARS + 18 + ENTRY * DRIVERS

NO_LIMIT = -1
UNITS_A_YEAR = 1_000_000  # a look's unit is 1,000,000 · its accounting year + its number: two years are never one episode
POSTINGS, COUNT, LEFT_OUT, LIMIT_LOW, LIMIT_HIGH, LOOKS, YEAR, YEAR_LOOKS = range(8)  # columns of `rows`
BLOCK, ROOM, LAW_LIMIT, LAW_EPOCH = range(4)  # columns of `places`: where things lie, no part of the state


@njit(cache=True)  # type: ignore[untyped-decorator]
def _tell(  # type: ignore[no-untyped-def]
    detail, used, row, observed, expected, entries, alpha, mu, sigma, exponent, x, df, p, level, excess, effect
):
    """Write down what explains an alert; return how much of `detail` is used."""
    n = row[COUNT]
    worst, most = 0, -1.0
    for d in range(9):
        if expected[d] > 0.0 and observed[d] > expected[d] and (observed[d] - expected[d]) ** 2 / expected[d] > most:
            worst, most = d, (observed[d] - expected[d]) ** 2 / expected[d]
    first_at = last_at = entries[2]
    for i in range(n):
        first_at = min(first_at, entries[ENTRY * i + 2])
        last_at = max(last_at, entries[ENTRY * i + 2])
    drivers = min(observed[worst], DRIVERS)
    skip = observed[worst] - drivers  # the latest are named
    head = (
        float(n), x, float(df), p, chi_square_tail(x, df), level, float(row[YEAR_LOOKS]), float(row[LOOKS]), float(row[YEAR]),
        alpha, mu, sigma, float(row[LIMIT_LOW]), float(row[LIMIT_HIGH]), float(first_at), float(last_at), excess, effect,
        float(row[LEFT_OUT]), float(exponent), float(worst + 1), float(drivers),
    )  # fmt: skip
    for i in range(SCALARS):
        detail[used + i] = head[i]
    used += SCALARS
    for d in range(9):
        detail[used + d] = observed[d]
        detail[used + 9 + d] = expected[d]
    used += 18
    for i in range(n):
        if leading_digit(entries[ENTRY * i]) == worst + 1:
            if skip > 0:
                skip -= 1
                continue
            for j in range(ENTRY):
                detail[used + j] = entries[ENTRY * i + j]
            used += ENTRY
    return used


@njit(cache=True)  # type: ignore[untyped-decorator]
def fold_postings(  # type: ignore[no-untyped-def]
    from_row, slots, at, amounts, limits, partitions, offsets, rows, observed, expected, places, laws, data, header, moments,
    reference, epoch, alpha, window, minimum_expected, year_start, exponent,
    score, threshold, p_value, alert, critical, seen, needed, unit, reason, excess_mad, effect_size, detail, detail_stop,
):  # fmt: skip
    """Fold postings from `from_row` on; return the row before which it stopped for want of room in `data` or `detail`.

    `rows` (keys × 8) and `places` (keys × 4) are int64 with the columns named above; `observed`, `expected`, `laws` are
    (keys × 9); `data`, `header` the arena of blocks; `reference` = [mu, sigma], NaN while there is none.

    A posting's steps: (1) under the reference in force and its own limit, what was its digit expected to be? (2) count it,
    (3) is the window full? then look and start anew, (4) the population's moments learn its amount.
    """
    used = detail_stop[from_row - 1] if from_row > 0 else 0
    mu, sigma = reference[0], reference[1]
    for i in range(from_row, len(slots)):
        slot = slots[i]
        row, place = rows[slot], places[slot]
        amount, limit = amounts[i], max(limits[i], NO_LIMIT)
        if row[COUNT] == place[ROOM]:
            longer = FIRST_ROOM
            while longer <= row[COUNT]:
                longer *= GROWTH
            block = allocate(data, header, ENTRY * longer)
            if block == NO_ROOM:
                return i
            if place[ROOM] > 0:
                for j in range(ENTRY * row[COUNT]):
                    data[block + j] = data[place[BLOCK] + j]
                release(data, header, place[BLOCK], ENTRY * place[ROOM])
            place[BLOCK], place[ROOM] = block, longer
        if used + LARGEST_DETAIL > len(detail):
            return i

        row[POSTINGS] += 1
        reason[i] = NO_LOOK if mu == mu else NO_REFERENCE
        lawful = mu == mu and amount > 0 and (limit == NO_LIMIT or amount <= limit)
        if lawful:
            if place[LAW_EPOCH] != epoch or place[LAW_LIMIT] != limit:
                # in whole minor units: an amount a stands for [a, a + 1), so a limit M leaves [1, M + 1)
                digit_law(mu + exponent, sigma, 1.0, np.inf if limit == NO_LIMIT else limit + 1.0, laws[slot])
                place[LAW_EPOCH], place[LAW_LIMIT] = epoch, limit
            digit = leading_digit(amount) - 1
            # given that an amount is within its limit the cut-off law is its law; beyond it, it is no matter of digits
            lawful = laws[slot, digit] > 0.0
        if lawful:
            entry = place[BLOCK] + ENTRY * row[COUNT]
            data[entry], data[entry + 1], data[entry + 2] = amount, row[POSTINGS], at[i]
            data[entry + 3], data[entry + 4] = partitions[i], offsets[i]
            row[COUNT] += 1
            observed[slot, digit] += 1
            for d in range(9):
                expected[slot, d] += laws[slot, d]
            if limit != NO_LIMIT:
                row[LIMIT_LOW] = limit if row[LIMIT_LOW] == NO_LIMIT else min(row[LIMIT_LOW], limit)
                row[LIMIT_HIGH] = max(row[LIMIT_HIGH], limit)
        elif mu == mu:
            row[LEFT_OUT] += 1

        n = row[COUNT]
        needed[i] = window if n < window else LONGEST * window
        seen[i] = needed[i] if row[LOOKS] > 0 else n
        if n >= window and lawful:
            x, df = chi_square(observed[slot], expected[slot])
            rarest, rarity = np.inf, 0.0
            for d in range(9):
                if expected[slot, d] > 0.0:
                    rarest = min(rarest, expected[slot, d])
                    rarity += n / expected[slot, d]
            over = n >= LONGEST * window
            if df > 0 and rarest >= minimum_expected:
                year = accounting_year(at[i], year_start)
                if year > row[YEAR]:  # a year that is over does not begin again
                    row[YEAR], row[YEAR_LOOKS] = year, 0
                row[YEAR_LOOKS] += 1
                row[LOOKS] += 1
                level = level_of_look(alpha, row[YEAR_LOOKS])
                found, usual = deviations(observed[slot], expected[slot], n)
                score[i], p_value[i], threshold[i] = x, look_tail(x, df, n, rarity), look_threshold(level, df, n, rarity)
                excess_mad[i], effect_size[i] = found - usual, cramers_v(x, n, df)
                alert[i], critical[i] = p_value[i] <= level, p_value[i] <= level / 100.0
                reason[i], seen[i], needed[i] = 0, n, n
                if alert[i]:
                    used = _tell(
                        detail, used, row, observed[slot], expected[slot], data[place[BLOCK] : place[BLOCK] + ENTRY * n],
                        alpha, mu, sigma, exponent, x, df, p_value[i], level, excess_mad[i], effect_size[i],
                    )  # fmt: skip
                over = True
            elif over:
                reason[i] = NOT_TESTABLE
            if over:
                row[COUNT], row[LEFT_OUT], row[LIMIT_LOW], row[LIMIT_HIGH] = 0, 0, NO_LIMIT, NO_LIMIT
                observed[slot] = 0
                expected[slot] = 0.0
        unit[i] = UNITS_A_YEAR * max(accounting_year(at[i], year_start), row[YEAR]) + row[LOOKS]
        detail_stop[i] = used
        if amount > 0:
            learn_moment(moments, math.log10(amount) - exponent)
    return len(slots)
