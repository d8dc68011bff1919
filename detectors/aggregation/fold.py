"""One transaction after another: the windows turn, aggregates are read, the transaction is scored and ranked, then all of it is learned.

Rules for what is not plain:

- repeated (its number is in the card's ring: that of a transaction in the longest window back from the card's newest): REPEATED,
  changes nothing;
- late (older than the card's newest): LATE, no score; inside the longest window it enters the aggregates in its place, beyond it is
  only counted; it teaches no normal and no gap;
- equal times are not late: transactions of one second are taken in their order of arrival;
- refund (amount < 0): adds negatively at its own time; it, and an amount of 0, has no amount surprise and teaches no amount;
- mode not given: no mode surprise, all gates closed, part of the totals.
"""

from __future__ import annotations

import math

from numba import njit

from detectors.aggregation.equations import attribute_slot, read
from detectors.aggregation.unusualness import (
    ABOVE,
    MEAN,
    MODES,
    SQUARES,
    TRANSACTIONS,
    amount_surprise,
    gap_surprise,
    learn_amount,
    learn_gap,
    mode_share,
    mode_surprise,
    rank_p_value,
    rank_threshold,
    shrunk_mean,
    shrunk_variance,
    usual_gap,
)
from detectors.aggregation.unusualness import AMOUNTS as SEEN_AMOUNTS
from detectors.protocol import JUDGED, LATE, MICROSECONDS, REPEATED
from state.sorted_window import below, push
from state.window import LEFT_EARLY, NEVER, NEWEST, advance, holds, insert, make_room

# Rows of the kernel's float and integer outputs; after INTEGERS come ten aggregates per window.
SCORE, THRESHOLD, P_VALUE, AMOUNT_SURPRISE, MODE_SURPRISE, GAP_SURPRISE, MODE_SHARE = range(7)
FLOATS = 7
SEEN, UNIT, REASON, GAP, CUT_SHORT = range(5)
INTEGERS = 5
PER_WINDOW = 10

# What `detail` holds of an alerting row; after DETAILS come the ten aggregates of each window.
(
    D_SCORE, D_THRESHOLD, D_P_VALUE, D_HELD, D_AMOUNT_SURPRISE, D_MODE_SURPRISE, D_GAP_SURPRISE, D_AMOUNT, D_MEAN, D_DEVIATION,
    D_MODE, D_MODE_SHARE, D_GAP, D_USUAL_GAP, D_CARD_COUNT, D_POPULATION_COUNT, D_CUT_SHORT,
) = range(17)  # fmt: skip
DETAILS = 17


@njit(cache=True)  # type: ignore[untyped-decorator]
def score_then_learn(  # type: ignore[no-untyped-def]
    first, at, slots, amount, mode, transaction, epsilon, needed, prior_weight, shape, spans,
    rings, sums, data, header, whole, moments, all_whole, all_moments, turned_away, ring, ordered, counts,
    floats, integers, alert, detail, detail_stop,
):  # fmt: skip
    """Fold events `first` …; return the one to go on with once the arena has grown, or their number.

    Parameters
    ----------
    epsilon, needed
        The budget, and the past scores that it takes.
    shape
        int64: named modes, mode slots, ring limit, mass limit, form of the transaction gap.
    rings, sums, data, header
        `state.window`'s arrays and arena.
    whole, moments
        A row per card: whole numbers and moments of log amounts; all_whole
        and all_moments are the population's.
    turned_away
        int64: late ones that were added, late ones that were too late, repeats.
    ring, ordered, counts
        The window of past scores.
    floats, integers, alert, detail, detail_stop
        Outputs: (7, n), (5 + 10 · windows, n), n, room for all details, n.
    """
    named, modes, limit, mass_limit, form = shape[0], shape[1], shape[2], shape[3], shape[4]
    windows = len(spans)
    longest = spans[windows - 1]
    written = detail_stop[first - 1] if first > 0 else 0
    for row in range(first, len(at)):
        slot = slots[row]
        now = at[row] // MICROSECONDS
        newest = rings[slot, NEWEST]
        attribute = attribute_slot(mode[row], named, modes)
        detail_stop[row] = written
        integers[SEEN, row] = counts[0]
        integers[UNIT, row] = whole[slot, TRANSACTIONS]
        if holds(rings, data, spans, slot, transaction[row]):
            integers[REASON, row] = REPEATED
            turned_away[2] += 1
            continue
        late = now < newest
        if late and now <= newest - longest:
            integers[REASON, row] = LATE
            turned_away[1] += 1
            continue
        if not late:
            advance(rings, sums, data, spans, slot, now)
        if not make_room(rings, data, header, spans, slot, limit):
            if not late:
                rings[slot, NEWEST] = newest  # as it was: this event comes again
            return row
        if late:
            insert(rings, sums, data, spans, slot, now, amount[row], attribute, transaction[row], limit, mass_limit)
            integers[REASON, row] = LATE
            turned_away[0] += 1
            continue

        # -- read and score
        integers[REASON, row] = JUDGED
        for window in range(windows):
            read(rings, sums, spans, slot, window, attribute, now, form, integers[INTEGERS + PER_WINDOW * window :], row)
        cut_short = rings[slot, LEFT_EARLY] > now - longest
        gap = now - newest if newest != NEVER else -1
        card = whole[slot]
        mean = shrunk_mean(prior_weight, all_moments[MEAN], card[SEEN_AMOUNTS], moments[slot, MEAN])
        variance = shrunk_variance(prior_weight, all_whole[ABOVE], all_moments[SQUARES], card[ABOVE], moments[slot, SQUARES])
        log_amount = math.log(float(amount[row])) if amount[row] > 0 else 0.0
        by_amount = amount_surprise(log_amount, mean, variance) if amount[row] > 0 and all_whole[SEEN_AMOUNTS] > 0 else 0.0
        share = mode_share(attribute, modes, all_whole, card, prior_weight) if attribute < modes else math.nan
        by_mode = mode_surprise(attribute, modes, all_whole, card, prior_weight) if attribute < modes else 0.0
        usual = usual_gap(all_whole, card, prior_weight)
        by_gap = gap_surprise(gap, usual)
        score = by_amount + by_mode + by_gap
        held = counts[0]
        at_least = held - below(ordered, held, score)
        p_value = rank_p_value(at_least, held)
        floats[SCORE, row] = score
        floats[AMOUNT_SURPRISE, row] = by_amount
        floats[MODE_SURPRISE, row] = by_mode
        floats[GAP_SURPRISE, row] = by_gap
        floats[MODE_SHARE, row] = share
        integers[GAP, row] = gap
        integers[CUT_SHORT, row] = cut_short
        integers[UNIT, row] = card[TRANSACTIONS] + 1
        floats[THRESHOLD, row] = math.inf
        if held >= needed:
            floats[P_VALUE, row] = p_value
            floats[THRESHOLD, row] = rank_threshold(ordered, held, epsilon)
            alert[row] = p_value <= epsilon
        if alert[row]:
            numbers = detail[written : written + DETAILS + PER_WINDOW * windows]
            numbers[D_SCORE] = score
            numbers[D_THRESHOLD] = floats[THRESHOLD, row]
            numbers[D_P_VALUE] = p_value
            numbers[D_HELD] = held
            numbers[D_AMOUNT_SURPRISE] = by_amount
            numbers[D_MODE_SURPRISE] = by_mode
            numbers[D_GAP_SURPRISE] = by_gap
            numbers[D_AMOUNT] = amount[row]
            numbers[D_MEAN] = mean
            numbers[D_DEVIATION] = math.sqrt(variance)
            numbers[D_MODE] = mode[row]
            numbers[D_MODE_SHARE] = share
            numbers[D_GAP] = gap
            numbers[D_USUAL_GAP] = usual
            numbers[D_CARD_COUNT] = card[TRANSACTIONS]
            numbers[D_POPULATION_COUNT] = all_whole[TRANSACTIONS]
            numbers[D_CUT_SHORT] = cut_short
            for i in range(PER_WINDOW * windows):
                numbers[DETAILS + i] = integers[INTEGERS + i, row]
            written += DETAILS + PER_WINDOW * windows
            detail_stop[row] = written

        # -- learn
        push(ring, ordered, counts, score)
        insert(rings, sums, data, spans, slot, now, amount[row], attribute, transaction[row], limit, mass_limit)
        if amount[row] > 0:
            learn_amount(card, moments[slot], log_amount)
            learn_amount(all_whole, all_moments, log_amount)
        if gap >= 0:
            learn_gap(card, gap)
            learn_gap(all_whole, gap)
        if attribute < modes:
            card[MODES + attribute] += 1
            all_whole[MODES + attribute] += 1
        card[TRANSACTIONS] += 1
        all_whole[TRANSACTIONS] += 1
    return len(at)
