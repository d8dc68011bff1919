"""The feature vectors of whole arrays of transactions, for training in batches: `features`' definitions, card after card.

The sums are `offline`'s, the surprises `unusualness`'; what a stream adopts at cuts is given as arrays: the population's normals with
the time from which each is in force, and merchants' shares. `hourly` makes the normals as one partition would at the hours of event
time. Late and repeated transactions are the stream's affair: here each is taken once, in its place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit

from detectors.aggregation import features as f
from detectors.aggregation.equations import attribute_slot
from detectors.aggregation.offline import COUNT, NONE, PLACED, RECENT, SIMPLE, TIMED, WEIGHT, Floats, Histories, Ints
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
    mode_surprise,
    shrunk_mean,
    shrunk_variance,
    usual_gap,
)
from detectors.aggregation.unusualness import AMOUNTS as SEEN_AMOUNTS

DAY, HOUR = 86_400, 3_600  # seconds
OWN_DECAY = 3.0 / (30 * DAY)  # λ a second: the mean age of what counts is that of a linear window of 30 days
UNUSUAL = 2.5  # times the card's own mean
LEAST_SPREAD = 0.01  # of the mean: a card that always pays the same is not certain to the cent
LONGEST_GAP = 30 * DAY
_SURPRISE_AMOUNT, _SURPRISE_MODE, _SURPRISE_GAP, _GAP, _COUNT, _MEAN, _RATIO, _Z, _UNUSUAL = range(9)


class Normals(NamedTuple):
    """The population's normals that were in force, k of them.

    Attributes
    ----------
    since
        The time in seconds from which each holds, ascending, shape (k,); rows before the first have none.
    whole, moments
        As `unusualness` names their columns, shapes (k, MODES + modes) and (k, 2).
    """

    since: Ints
    whole: Ints
    moments: Floats

    def in_force(self, time: Ints) -> Normals:
        """With an empty one before all others, and `since` replaced by the number of the one in force at each time."""
        whole = np.concatenate([np.zeros((1, self.whole.shape[1]), np.int64), self.whole])
        moments = np.concatenate([np.zeros((1, 2)), self.moments])
        return Normals(np.searchsorted(self.since, time, side="right").astype(np.int64), whole, moments)


class Transactions(NamedTuple):
    """Columns in order of arrival, each int64 of shape (n,); −1 where something is not given.

    Attributes
    ----------
    card, merchant
        Their numbers.
    time
        Whole seconds since 1970 UTC.
    amount, credit_limit
        Minor units.
    mode, address_match
        The payment mode's code; 0 or 1.
    """

    card: Ints
    time: Ints
    amount: Ints
    mode: Ints
    address_match: Ints
    credit_limit: Ints
    merchant: Ints


@njit(cache=True)  # type: ignore[untyped-decorator]
def _learn(time, amount, gap, mode, modes, ends, whole, moments):  # type: ignore[no-untyped-def]
    """Fill whole[k] and moments[k] with what the first ends[k] events have taught; events in order of arrival."""
    running, running_moments, row = np.zeros(whole.shape[1], np.int64), np.zeros(2), 0
    for k in range(len(ends)):
        while row < ends[k]:
            if amount[row] > 0:
                learn_amount(running, running_moments, math.log(float(amount[row])))
            if gap[row] >= 0:
                learn_gap(running, gap[row])
            if 0 <= mode[row] < modes:
                running[MODES + mode[row]] += 1
            running[TRANSACTIONS] += 1
            row += 1
        whole[k] = running
        moments[k] = running_moments


@njit(cache=True)  # type: ignore[untyped-decorator]
def _compare(begins, time, amount, mode, modes, n0, force, all_whole, all_moments, out):  # type: ignore[no-untyped-def]
    """Compare each transaction with its card's normal, then learn it; rows sorted by card, out[_SURPRISE_AMOUNT …, row]."""
    for card in range(len(begins) - 1):
        whole, moments = np.zeros(all_whole.shape[1], np.int64), np.zeros(2)
        count, total, squares = 0.0, 0.0, 0.0  # decayed to the last payment
        for row in range(begins[card], begins[card + 1]):
            everybody, everybodys = all_whole[force[row]], all_moments[force[row]]
            gap = time[row] - time[row - 1] if row > begins[card] else -1
            if gap > 0:
                fade = math.exp(-OWN_DECAY * gap)
                count, total, squares = count * fade, total * fade, squares * fade
            pays = amount[row] > 0
            log_amount = math.log(float(amount[row])) if pays else 0.0
            if pays and everybody[SEEN_AMOUNTS] > 0:
                mean = shrunk_mean(n0, everybodys[MEAN], whole[SEEN_AMOUNTS], moments[MEAN])
                variance = shrunk_variance(n0, everybody[ABOVE], everybodys[SQUARES], whole[ABOVE], moments[SQUARES])
                out[0, row] = amount_surprise(log_amount, mean, variance)
            if 0 <= mode[row] < modes:
                out[1, row] = mode_surprise(mode[row], modes, everybody, whole, n0)
            out[2, row] = gap_surprise(gap, usual_gap(everybody, whole, n0))
            out[3, row] = gap
            out[4, row] = count
            prior = n0 if everybody[SEEN_AMOUNTS] > 0 else 0.0
            if prior + count > 0.0:
                median = math.exp(everybodys[MEAN])
                own = (prior * median + total) / (prior + count)
                deviations = max(0.0, squares - 2.0 * own * total + own * own * count)
                spread = max(LEAST_SPREAD * own, math.sqrt((prior * median * median + deviations) / (prior + count)))
                out[5, row] = own
                out[6, row] = amount[row] / own
                out[7, row] = (amount[row] - own) / spread
                out[8, row] = amount[row] > UNUSUAL * own
            if pays:
                learn_amount(whole, moments, log_amount)
                count, total, squares = count + 1.0, total + amount[row], squares + float(amount[row]) ** 2
            if gap >= 0:
                learn_gap(whole, gap)
            if 0 <= mode[row] < modes:
                whole[MODES + mode[row]] += 1


def gaps(histories: Histories) -> Ints:
    """Seconds since the card's last transaction, −1 for its first; rows as they arrived."""
    gap = np.diff(histories.time, prepend=0)
    gap[histories.begins[:-1]] = NONE
    arrived = np.empty_like(gap)
    arrived[histories.order] = gap
    return arrived


def hourly(of: Transactions, modes: int, slots: int | None = None) -> Normals:
    """The normals that a stream of one partition adopts: at each hour of event time, of all that came before."""
    slot = _slots(of.mode, modes, slots or modes)
    hour = of.time // HOUR
    fresh = np.flatnonzero(np.diff(np.maximum.accumulate(hour))) + 1
    whole, moments = np.zeros((len(fresh), MODES + (slots or modes)), np.int64), np.zeros((len(fresh), 2))
    gap = gaps(Histories.of(of.card, of.time, of.amount))
    _learn(of.time, of.amount, gap, slot, slots or modes, fresh, whole, moments)
    return Normals(HOUR * hour[fresh], whole, moments)


def vectors(
    of: Transactions,
    normals: Normals,
    shares: Floats,
    *,
    windows: Sequence[int] = f.DEFAULT_WINDOWS,
    modes: Sequence[str] = f.DEFAULT_MODES,
    mode_slots: int | None = None,
    txgap: str = "paper",
    prior_weight: float = 5.0,
) -> Floats:
    """The feature vectors, as `features.feature_names(windows, modes)` names their places.

    Parameters
    ----------
    of
        The transactions in order of arrival.
    normals
        The population's, and when they came into force.
    shares
        The merchants' shares of known frauds that were in force, shape (3, n).
    windows, modes, mode_slots, txgap, prior_weight
        As the detector's.

    Returns
    -------
    Shape (n, features).
    """
    slots = mode_slots or len(modes)
    n, spans = len(of.card), [days * DAY for days in windows]
    histories = Histories.of(of.card, of.time, of.amount)
    mode = _slots(of.mode, len(modes), slots)
    compared = _compared(histories, mode, slots, prior_weight, normals.in_force(of.time))
    unusual = compared[_UNUSUAL].astype(np.int64)

    shape = f.feature_names(windows, modes)
    out = np.zeros((n, len(shape)))
    out[:, f.AMOUNT] = of.amount
    out[:, f.LOG_AMOUNT] = np.log(np.maximum(of.amount, 1))
    out[:, f.NIGHT] = of.time % DAY < 7 * HOUR
    out[:, f.WEEKEND] = (of.time // DAY + 3) % 7 >= 5  # 1970-01-01 was a Thursday
    out[:, f.ADDRESS_MATCH], out[:, f.ADDRESS_MISMATCH] = of.address_match == 1, of.address_match == 0
    given = of.credit_limit > 0
    out[given, f.LIMIT_SHARE] = of.amount[given] / of.credit_limit[given]
    gap = compared[_GAP]
    out[:, f.LOG_GAP] = np.log1p(np.where(gap < 0, LONGEST_GAP, np.minimum(gap, LONGEST_GAP)))
    out[:, f.SURPRISE_AMOUNT : f.SURPRISE_GAP + 1] = compared[_SURPRISE_AMOUNT : _SURPRISE_GAP + 1].T
    out[:, f.OWN_COUNT : f.AMOUNT_Z + 1] = compared[_COUNT : _Z + 1].T
    out[:, f.MERCHANT : f.FIXED] = shares.T
    for code in range(len(modes)):
        out[:, f.FIXED + code] = mode == code

    rarity = 1.0 - _old_share(histories, mode, slots, spans[-1], prior_weight)
    out[:, f.MODE_RARITY] = np.where(mode == NONE, 0.0, rarity)
    unusual_rarity = 1.0 - _old_share(histories, unusual, 2, spans[-1], prior_weight, np.ones(n, np.int64))
    every, alike = histories.sums(spans), histories.sums(spans, mode)
    matching, big = histories.sums(spans, of.address_match), histories.sums(spans, unusual, np.ones(n, np.int64))
    placed = PLACED if txgap == "paper" else RECENT
    for window, span in enumerate(spans):
        block = out[:, f.FIXED + len(modes) + window * f.PER_WINDOW :]
        for sums, (count, simple, timed, gapped) in (
            (every[window], (f.N, f.SA, f.TG, f.TXGAP)),
            (alike[window], (f.N_MODE, f.SA_MODE, f.TG_MODE, f.TXGAP_MODE)),
        ):
            block[:, count], block[:, simple] = sums[COUNT], sums[SIMPLE]
            block[:, timed], block[:, gapped] = sums[TIMED] / span, sums[placed]
        weight = every[window, WEIGHT]
        block[:, f.MEAN] = np.divide(every[window, TIMED], weight, out=np.zeros(n), where=weight > 0)
        block[:, f.COND_MODE] = out[:, f.MODE_RARITY] * block[:, f.TG_MODE]
        block[:, f.TG_MATCH] = matching[window, TIMED] / span
        block[:, f.N_BIG] = big[window, COUNT]
        own = compared[_MEAN]
        block[:, f.COND_BIG] = unusual_rarity * np.divide(big[window, TIMED] / span, own, out=np.zeros(n), where=own > 0)
    return out


def _compared(histories: Histories, mode: Ints, slots: int, prior_weight: float, normals: Normals) -> Floats:
    """`_compare` over rows as they arrived, shape (9, n)."""
    order, found = histories.order, np.zeros((9, len(mode)))
    _compare(
        histories.begins, histories.time, histories.amount, mode[order], slots, prior_weight, normals.since[order],
        normals.whole, normals.moments, found,
    )  # fmt: skip
    arrived = np.empty_like(found)
    arrived[:, order] = found
    return arrived


def _old_share(histories: Histories, group: Ints, groups: int, delay: int, prior_weight: float, asked: Ints | None = None) -> Floats:
    """p_c: the share that a card's transactions of this value had among those older than `delay`, shrunk to an even share."""
    ever = [int(np.ptp(histories.time)) + 1] if len(group) else [1]
    own = histories.sums(ever, group, asked, delay=delay)[0, COUNT]
    known = histories.sums(ever, np.where(group == NONE, NONE, 0), np.zeros(len(group), np.int64), delay=delay)[0, COUNT]
    share: Floats = (own + prior_weight / groups) / (known + prior_weight)
    return share


def _slots(mode: Ints, named: int, slots: int) -> Ints:
    """Where each code is kept apart, NONE where it is not given."""
    codes = np.unique(mode)
    place = np.array([NONE if code < 0 else attribute_slot(code, named, slots) for code in codes.tolist()], np.int64)
    return place[np.searchsorted(codes, mode)]
