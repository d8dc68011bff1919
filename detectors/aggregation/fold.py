"""One transaction after another: the windows turn, the feature vector is read, the transaction is ranked, then all of it is learned.

Rules for what is not plain:

- repeated (its number is in the card's ring: that of a transaction in the longest window back from the card's newest; in tiles, of one
  of the card's last seven): REPEATED, changes nothing;
- late (older than the card's newest): LATE, no score and no vector; inside the longest window it enters the aggregates in its place and
  the card's own normal with the weight it has left, beyond it is only counted; it teaches the population nothing, and no gap;
- equal times are not late: transactions of one second are taken in their order of arrival;
- refund (amount < 0), or reversal: adds negatively at its own time; it, and an amount of 0, has no amount surprise and teaches no amount;
- mode or address match not given: its gate is closed, it is part of the totals.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from detectors.aggregation.equations import RECENCY, attribute_slot, read
from detectors.aggregation.features import (
    ADDRESS_MATCH,
    ADDRESS_MISMATCH,
    AMOUNT_RATIO,
    AMOUNT_Z,
    FIXED,
    LIMIT_SHARE,
    LOG_AMOUNT,
    LOG_GAP,
    MERCHANT,
    MODE_RARITY,
    NIGHT,
    OWN_COUNT,
    OWN_MEAN,
    PER_WINDOW,
    SURPRISE_AMOUNT,
    SURPRISE_GAP,
    SURPRISE_MODE,
    WEEKEND,
)
from detectors.aggregation.features import AMOUNT as AMOUNT_FEATURE
from detectors.aggregation.groups import MODES, UNUSUAL, groups_of
from detectors.aggregation.population import (
    AMOUNT,
    GAP,
    GAP_COUNT,
    GAP_SECONDS,
    LONGEST_GAP,
    MEDIAN,
    MODE_COUNTS,
    MODE_SHARES,
    RATIO,
    USUAL_GAP,
    bin_of,
    surprise,
)
from detectors.aggregation.shares import find
from detectors.aggregation.unusualness import (
    amount_surprise,
    mode_surprise,
    own_mean,
    own_spread,
    rank_p_value,
    rank_threshold,
    share_of,
    unusualness,
    usual_gap,
)
from detectors.aggregation.vector import GATES, open_gates, window_features
from detectors.protocol import JUDGED, LATE, MICROSECONDS, REPEATED
from state import decay
from state.busy import ENTRY
from state.prefetch import FAR, ask_for_row
from state.rings import LEFT_EARLY, NEVER, NEWEST, PAST, card_of, has_room, look_ahead
from state.sorted_window import below, push
from state.tiles import CELL, add_to_tile, advance_tiles, known, make_tile_room, read_tiles, remember
from state.window import advance, holds, insert, make_room
from state.words import address_of, peek, poke

DAY = 86_400
MONTH = 30 * DAY

# Columns of `floats`, a row a transaction: the score and its rank, and what a reason tells beside the feature vector.
SCORE, THRESHOLD, P_VALUE, SPREAD, MODE_SHARE, USUAL, OF_ANYBODY, OF_CARD = range(8)
FLOATS = 8
# Columns of `integers`.
SEEN, UNIT, REASON, GAP_BEFORE, CUT_SHORT = range(5)
INTEGERS = 5
# Places of `shape`.
NAMED, MODE_SLOTS, FORM, NEEDED, TILED = range(5)
# Places of `numbers`: settings that are no whole numbers.
EPSILON, PRIOR_WEIGHT, RATE, UNUSUAL_RATIO = range(4)


@njit(cache=True)  # type: ignore[untyped-decorator]
def score_then_learn(  # type: ignore[no-untyped-def]
    first, at, slots, amount, mode, address_match, credit_limit, merchant, transaction, shape, settings, spans,
    rings, plan_array, data, header, own, paid, judged, seen, counts, curves, low, normal, merchants, shares, turned_away,
    ring, ordered, ranked, vectors, floats, integers,
):  # fmt: skip
    """Fold events `first` …; return the one to go on with once the arena has grown, or their number.

    Parameters
    ----------
    shape, settings
        Whole numbers and others, as named above.
    rings, plan_array, data, header
        Rows, plan and arena of `state.window`, or of `state.tiles` where TILED.
    own, paid, judged
        A row per card: decayed sums (`state.decay`), transactions by mode, and how many were judged.
    seen, counts, curves, low, normal
        What the partition counts for the population, and what was adopted of it (`population`).
    merchants, shares
        Adopted shares of known frauds.
    turned_away
        int64: late ones that were added, late ones that were too late, repeats.
    ring, ordered, ranked
        The window of past scores.
    vectors, floats, integers
        Outputs, a row a transaction.
    """
    named, modes, form = shape[NAMED], shape[MODE_SLOTS], shape[FORM]
    n0, rate = settings[PRIOR_WEIGHT], settings[RATE]
    unusual_group = MODES + modes + UNUSUAL
    longest, tiled = spans[len(spans) - 1], shape[TILED] > 0
    arena, plan, words = address_of(data), address_of(plan_array), CELL if tiled else ENTRY
    mode_shares, gates, found = np.empty(modes), np.empty(GATES, np.int64), np.empty((GATES, len(spans), 5))
    for row in range(first, len(at)):
        look_ahead(rings, arena, slots, row, words)
        if row + FAR < len(slots):
            ask_for_row(own, slots[row + FAR])
            ask_for_row(paid, slots[row + FAR])
        slot = slots[row]
        now = at[row] // MICROSECONDS
        card = card_of(rings, slot)
        newest = peek(card, NEWEST)
        usually = own[slot]
        integers[row, SEEN] = ranked[0]
        integers[row, UNIT] = judged[slot]
        if known(card, plan, transaction[row]) if tiled else holds(card, arena, plan, transaction[row]):
            integers[row, REASON] = REPEATED
            turned_away[2] += 1
            continue
        late = now < newest
        if late and now <= newest - longest:
            integers[row, REASON] = LATE
            turned_away[1] += 1
            continue
        if not late:
            if tiled:
                advance_tiles(card, arena, plan, now)
            else:
                advance(card, arena, plan, now)
        if not has_room(card, plan, words):
            room = make_tile_room(card, data, header, plan) if tiled else make_room(card, data, header, plan)
            if not room:
                if not late:
                    poke(card, NEWEST, newest)  # as it was: this event comes again
                return row
        attribute = attribute_slot(mode[row], named, modes)
        if late:
            mean = own_mean(n0, normal[MEDIAN], usually[decay.WEIGHT], usually[decay.VALUES], float(amount[row]))
            groups = groups_of(attribute, modes, address_match[row], amount[row] > settings[UNUSUAL_RATIO] * mean)
            if tiled:
                add_to_tile(card, arena, plan, now, amount[row], groups)
                remember(card, plan, transaction[row])
            else:
                insert(card, arena, plan, now, amount[row], groups, transaction[row])
            if amount[row] > 0:
                decay.add_value(usually, float(amount[row]), decay.weight_of(usually, now, rate))
            if attribute >= 0:
                paid[slot, attribute] += 1
            integers[row, REASON] = LATE
            turned_away[0] += 1
            continue

        # -- the card's normal
        money = float(amount[row])
        gap = now - newest if newest != NEVER else -1
        decay.decay_to(usually, now, rate)
        mean = own_mean(n0, normal[MEDIAN], usually[decay.WEIGHT], usually[decay.VALUES], money)
        spread = own_spread(n0, mean, usually[decay.WEIGHT], usually[decay.VALUES], usually[decay.SQUARES])
        usual = usual_gap(n0, normal[USUAL_GAP], usually[decay.GAP_WEIGHT], usually[decay.GAPS])
        groups = groups_of(attribute, modes, address_match[row], money > settings[UNUSUAL_RATIO] * mean)

        # -- surprises
        by_amount, of_anybody, of_card, log_amount, log_ratio = 0.0, 0.0, 0.0, 0.0, 0.0
        if amount[row] > 0:
            log_amount = math.log(money)
            log_ratio = log_amount - math.log(mean)
            of_anybody = surprise(curves, AMOUNT, log_amount, low)
            of_card = surprise(curves, RATIO, log_ratio, low)
            by_amount = amount_surprise(of_anybody, of_card)
        by_mode, rarity, share = 0.0, 0.0, math.nan
        if attribute >= 0:
            all_ever, all_past = 0, 0
            for j in range(modes):
                all_ever += paid[slot, j]
                all_past += peek(card, PAST + MODES + j)
            for j in range(modes):
                mode_shares[j] = share_of(normal[MODE_SHARES + j], paid[slot, j], all_ever, n0)
            share = mode_shares[attribute]
            by_mode = mode_surprise(attribute, mode_shares)
            rarity = 1.0 - share_of(normal[MODE_SHARES + attribute], peek(card, PAST + MODES + attribute), all_past, n0)
        by_gap, log_gap_ratio = 0.0, 0.0
        if gap >= 0 and usual > 0.0:
            log_gap_ratio = math.log((gap + 1.0) / usual)  # whole seconds: a gap g means g … g + 1
            by_gap = surprise(curves, GAP, log_gap_ratio, low)
        unusual_share = share_of(
            normal[MODE_SHARES + modes + unusual_group], peek(card, PAST + unusual_group), peek(card, PAST), n0
        )  # fmt: skip

        # -- the vector
        vector = vectors[row]
        second = now % DAY
        weekday = (now // DAY + 3) % 7  # 1970 began on a Thursday; Monday is 0
        vector[AMOUNT_FEATURE] = money
        vector[LOG_AMOUNT] = log_amount
        vector[NIGHT] = second < 7 * 3_600
        vector[WEEKEND] = weekday >= 5
        vector[ADDRESS_MATCH] = address_match[row] > 0
        vector[ADDRESS_MISMATCH] = address_match[row] == 0
        vector[LIMIT_SHARE] = money / credit_limit[row] if credit_limit[row] > 0 else 0.0
        vector[LOG_GAP] = math.log(1.0 + min(gap if gap >= 0 else MONTH, MONTH))
        vector[SURPRISE_AMOUNT] = by_amount
        vector[SURPRISE_MODE] = by_mode
        vector[SURPRISE_GAP] = by_gap
        vector[MODE_RARITY] = rarity
        vector[OWN_COUNT] = usually[decay.WEIGHT]
        vector[OWN_MEAN] = mean
        vector[AMOUNT_RATIO] = money / mean
        vector[AMOUNT_Z] = (money - mean) / spread
        place = find(merchants, merchant[row]) if merchant[row] >= 0 else -1
        for i in range(shares.shape[1]):
            vector[MERCHANT + i] = shares[place, i] if place >= 0 else 0.0
        for j in range(named):
            vector[FIXED + j] = mode[row] == j
        open_gates(gates, attribute, modes, address_match[row])
        if tiled:
            read_tiles(card, arena, plan, now, form == RECENCY, gates, found)
        else:
            read(card, arena, plan, now, form, gates, found)
        for window in range(len(spans)):
            block = vector[FIXED + named + PER_WINDOW * window :]
            window_features(block, found[:, window], float(spans[window]), rarity, (1.0 - unusual_share) / mean)

        # -- score and rank
        score = unusualness(by_amount, by_mode, by_gap)
        held = ranked[0]
        floats[row, SCORE] = score
        floats[row, SPREAD] = spread
        floats[row, MODE_SHARE] = share
        floats[row, USUAL] = usual
        floats[row, OF_ANYBODY] = of_anybody
        floats[row, OF_CARD] = of_card
        floats[row, THRESHOLD] = math.inf
        if held >= shape[NEEDED]:
            floats[row, P_VALUE] = rank_p_value(held - below(ordered, held, score), held)
            floats[row, THRESHOLD] = rank_threshold(ordered, held, settings[EPSILON])
        integers[row, REASON] = JUDGED
        integers[row, GAP_BEFORE] = gap
        integers[row, CUT_SHORT] = peek(card, LEFT_EARLY) > now - longest
        integers[row, UNIT] = judged[slot] + 1

        # -- learn
        push(ring, ordered, ranked, score)
        if tiled:
            add_to_tile(card, arena, plan, now, amount[row], groups)
            remember(card, plan, transaction[row])
        else:
            insert(card, arena, plan, now, amount[row], groups, transaction[row])
        if amount[row] > 0:
            seen[AMOUNT, bin_of(AMOUNT, log_amount, low)] += 1
            seen[RATIO, bin_of(RATIO, log_ratio, low)] += 1
            decay.add_value(usually, money, 1.0)
        if gap >= 0:
            counts[GAP_COUNT] += 1
            counts[GAP_SECONDS] += min(gap, LONGEST_GAP)
            decay.add_gap(usually, float(min(gap, LONGEST_GAP)))
            if usual > 0.0:
                seen[GAP, bin_of(GAP, log_gap_ratio, low)] += 1
        if attribute >= 0:
            counts[MODE_COUNTS + attribute] += 1
            paid[slot, attribute] += 1
        judged[slot] += 1
    return len(at)
