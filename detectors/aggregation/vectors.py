"""The feature vectors of whole arrays of transactions, for training in batches: the stream's algebra, card after card.

The windows' sums are `offline`'s, the card's normal and the surprises are the functions that the fold calls. What a stream adopts at
cuts is made as one partition would at the hours of event time (`hourly`); merchants' shares are given. Late and repeated transactions
are the stream's affair: here each is taken once, in its place. A test holds the vectors against those of the stream, row by row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit

from detectors.aggregation import features as f
from detectors.aggregation import population as p
from detectors.aggregation.equations import attribute_slot
from detectors.aggregation.groups import MODES, UNUSUAL, number_of_groups
from detectors.aggregation.offline import COUNT, NONE, PLACED, RECENT, SIMPLE, TIMED, WEIGHT, Floats, Histories, Ints
from detectors.aggregation.unusualness import amount_surprise, mode_surprise, own_mean, own_spread, share_of, usual_gap
from state import decay

DAY, HOUR = 86_400, 3_600  # seconds
_LONGEST = 30 * DAY  # the gap that stands in `log_gap` for a month and for a first transaction
_GAP, _COUNT, _MEAN, _RATIO, _Z, _UNUSUAL, _LOG_RATIO, _LOG_GAP_RATIO = range(8)


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


class Normals(NamedTuple):
    """The population's normals in the order in which they came into force, k of them, the first an empty one.

    Attributes
    ----------
    force
        Which one each transaction was judged by, shape (n,).
    curves, numbers
        As `Population` has them, shapes (k, 3, BINS + 1) and (k, …).
    compared
        What each transaction was to its card's own normal, shape (8, n).
    """

    force: Ints
    curves: Floats
    numbers: Floats
    compared: Floats


@njit(cache=True)  # type: ignore[untyped-decorator]
def _compare(begins, time, amount, n0, rate, ratio, force, numbers, out):  # type: ignore[no-untyped-def]
    """Compare each transaction with its card's normal, then learn it; rows sorted by card, out[_GAP …, row]."""
    for card in range(len(begins) - 1):
        own = np.zeros(6)
        for row in range(begins[card], begins[card + 1]):
            normal, paid = numbers[force[row]], float(amount[row])
            gap = time[row] - time[row - 1] if row > begins[card] else -1
            decay.decay_to(own, time[row], rate)
            mean = own_mean(n0, normal[p.MEDIAN], own[decay.WEIGHT], own[decay.VALUES], paid)
            usual = usual_gap(n0, normal[p.USUAL_GAP], own[decay.GAP_WEIGHT], own[decay.GAPS])
            out[_GAP, row] = gap
            out[_COUNT, row] = own[decay.WEIGHT]
            out[_MEAN, row] = mean
            out[_RATIO, row] = paid / mean
            out[_Z, row] = (paid - mean) / own_spread(n0, mean, own[decay.WEIGHT], own[decay.VALUES], own[decay.SQUARES])
            out[_UNUSUAL, row] = paid > ratio * mean
            out[_LOG_RATIO, row] = math.log(paid) - math.log(mean) if amount[row] > 0 else math.nan
            out[_LOG_GAP_RATIO, row] = math.log((gap + 1.0) / usual) if gap >= 0 and usual > 0.0 else math.nan
            if amount[row] > 0:
                decay.add_value(own, paid, 1.0)
            if gap >= 0:
                decay.add_gap(own, float(min(gap, p.LONGEST_GAP)))


@njit(cache=True)  # type: ignore[untyped-decorator]
def _surprise(amount, mode, modes, n0, force, curves, numbers, low, compared, paid_so, past_so, out):  # type: ignore[no-untyped-def]
    """Fill out[0:4]: the surprises of amount, mode and gap, and the rarity of the mode."""
    shares = np.empty(modes)
    for row in range(len(amount)):
        curve, normal = curves[force[row]], numbers[force[row]]
        if amount[row] > 0:
            of_anybody = p.surprise(curve, p.AMOUNT, math.log(float(amount[row])), low)
            out[0, row] = amount_surprise(of_anybody, p.surprise(curve, p.RATIO, compared[_LOG_RATIO, row], low))
        if mode[row] >= 0:
            everything, past = paid_so[:, row].sum(), past_so[:, row].sum()
            for j in range(modes):
                shares[j] = share_of(normal[p.MODE_SHARES + j], paid_so[j, row], everything, n0)
            out[1, row] = mode_surprise(mode[row], shares)
            out[3, row] = 1.0 - share_of(normal[p.MODE_SHARES + mode[row]], past_so[mode[row], row], past, n0)
        if not math.isnan(compared[_LOG_GAP_RATIO, row]):
            out[2, row] = p.surprise(curve, p.GAP, compared[_LOG_GAP_RATIO, row], low)


def hourly(
    of: Transactions,
    modes: int,
    slots: int | None = None,
    *,
    windows: Sequence[int] = f.DEFAULT_WINDOWS,
    prior_weight: float = 5.0,
    normal_days: float = 30.0,
    unusual_ratio: float = 2.5,
) -> Normals:
    """The normals that a stream of one partition adopts: at each hour of event time, of all that came before."""
    slots = slots or modes
    groups, mode, low = number_of_groups(slots), _slots(of.mode, modes, slots), p.LOW.copy()
    hour = np.maximum.accumulate(of.time // HOUR)
    fresh = np.concatenate([np.zeros(1, np.int64), np.flatnonzero(np.diff(hour)) + 1])  # where each normal begins
    force = np.searchsorted(fresh, np.arange(len(of.time)), side="right") - 1
    histories = Histories.of(of.card, of.time, of.amount)
    order = histories.order
    pays = of.amount > 0
    seen = np.zeros((len(fresh), 3, p.BINS), np.int64)
    counts = np.zeros((len(fresh), p.MODE_COUNTS + slots + groups), np.int64)
    gap = _arrived(_gaps(histories), order)
    seen[:, p.AMOUNT] = _before(force, _bins(p.AMOUNT, np.log(np.where(pays, of.amount, 1)), low), pays, len(fresh), p.BINS)
    gone = _gone_at(histories, windows[-1] * DAY)
    left = np.flatnonzero(gone >= 0)
    for column, rows, weight in [
        (p.GAP_COUNT, np.flatnonzero(gap >= 0), None),
        (p.GAP_SECONDS, np.flatnonzero(gap >= 0), np.minimum(gap, p.LONGEST_GAP)),
        *((p.MODE_COUNTS + j, np.flatnonzero(mode == j), None) for j in range(slots)),
    ]:
        counts[:, column] = _counted(force[rows], len(fresh), None if weight is None else weight[rows])
    counts[:, p.MODE_COUNTS + slots] = _counted(force[gone[left]], len(fresh))
    numbers = np.stack([_normal(seen[k], counts[k], slots, groups).numbers for k in range(len(fresh))])
    found = np.zeros((8, len(order)))
    _compare(
        histories.begins, histories.time, histories.amount, prior_weight, decay.rate_of(normal_days), unusual_ratio, force[order],
        numbers, found,
    )  # fmt: skip
    compared = np.empty_like(found)
    compared[:, order] = found
    for which, place in ((p.RATIO, _LOG_RATIO), (p.GAP, _LOG_GAP_RATIO)):
        there = ~np.isnan(compared[place])
        seen[:, which] = _before(force, _bins(which, np.where(there, compared[place], 0.0), low), there, len(fresh), p.BINS)
    unusual = left[compared[_UNUSUAL, left] > 0]
    counts[:, p.MODE_COUNTS + slots + MODES + slots + UNUSUAL] = _counted(force[gone[unusual]], len(fresh))
    normals = [_normal(seen[k], counts[k], slots, groups) for k in range(len(fresh))]
    return Normals(force, np.stack([x.curves for x in normals]), np.stack([x.numbers for x in normals]), compared)


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
        The population's, of the same settings.
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
    mode, compared = _slots(of.mode, len(modes), slots), normals.compared
    unusual, paid_so = compared[_UNUSUAL].astype(np.int64), np.zeros((slots, n), np.int64)
    past_so, ever = np.zeros_like(paid_so), [int(np.ptp(histories.time)) + 1] if n else [1]
    for j in range(slots):
        asked = np.full(n, j)
        paid_so[j] = histories.sums(ever, mode, asked)[0, COUNT]
        past_so[j] = histories.sums(ever, mode, asked, delay=spans[-1])[0, COUNT]
    surprises = np.zeros((4, n))
    _surprise(
        of.amount, mode, slots, prior_weight, normals.force, normals.curves, normals.numbers, p.LOW.copy(), compared, paid_so, past_so,
        surprises,
    )  # fmt: skip

    out = np.zeros((n, len(f.feature_names(windows, modes))))
    out[:, f.AMOUNT] = of.amount
    out[:, f.LOG_AMOUNT] = np.log(np.maximum(of.amount, 1))
    out[:, f.NIGHT] = of.time % DAY < 7 * HOUR
    out[:, f.WEEKEND] = (of.time // DAY + 3) % 7 >= 5  # 1970-01-01 was a Thursday
    out[:, f.ADDRESS_MATCH], out[:, f.ADDRESS_MISMATCH] = of.address_match == 1, of.address_match == 0
    given = of.credit_limit > 0
    out[given, f.LIMIT_SHARE] = of.amount[given] / of.credit_limit[given]
    gap = compared[_GAP]
    out[:, f.LOG_GAP] = np.log1p(np.where(gap < 0, _LONGEST, np.minimum(gap, _LONGEST)))
    out[:, [f.SURPRISE_AMOUNT, f.SURPRISE_MODE, f.SURPRISE_GAP, f.MODE_RARITY]] = surprises.T
    out[:, f.OWN_COUNT : f.AMOUNT_Z + 1] = compared[_COUNT : _Z + 1].T
    out[:, f.MERCHANT : f.FIXED] = shares.T
    for code in range(len(modes)):
        out[:, f.FIXED + code] = of.mode == code

    ones = np.ones(n, np.int64)
    old = histories.sums(ever, delay=spans[-1])[0, COUNT]
    old_unusual = histories.sums(ever, unusual, ones, delay=spans[-1])[0, COUNT]
    everybody = normals.numbers[normals.force, p.MODE_SHARES + slots + MODES + slots + UNUSUAL]
    unusual_weight = (1.0 - (old_unusual + prior_weight * everybody) / (old + prior_weight)) / compared[_MEAN]
    every, alike = histories.sums(spans), histories.sums(spans, mode)
    matching, big = histories.sums(spans, of.address_match), histories.sums(spans, unusual, ones)
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
        block[:, f.COND_BIG] = unusual_weight * (big[window, TIMED] / span)
    return out


def _gaps(histories: Histories) -> Ints:
    """Seconds since the card's last transaction, −1 for its first; sorted by card."""
    gap = np.diff(histories.time, prepend=0)
    gap[histories.begins[:-1]] = NONE
    return gap


def _gone_at(histories: Histories, span: int) -> Ints:
    """At which row's arrival a transaction has left the window, −1 if it never does: the card's first at least `span` later."""
    time, order = histories.time, histories.order
    gone = np.full(len(time), NONE, np.int64)
    for begin, end in zip(histories.begins[:-1].tolist(), histories.begins[1:].tolist(), strict=True):
        first = begin + np.searchsorted(time[begin:end], time[begin:end] + span)
        there = first < end
        gone[order[begin:end][there]] = order[first[there]]
    return gone


def _arrived(column: Ints, order: Ints) -> Ints:
    arrived = np.empty_like(column)
    arrived[order] = column
    return arrived


def _bins(which: int, values: Floats, low: Floats) -> Ints:
    steps: Ints = np.clip(((values - low[which]) / p.STEP).astype(np.int64), 0, p.BINS - 1)
    return steps


def _before(force: Ints, bins: Ints, there: np.ndarray, many: int, size: int) -> Ints:
    """Histograms of what came before each normal's begin, shape (many, size)."""
    counted = np.bincount(force[there] * size + bins[there], minlength=many * size).reshape(many, size)
    before: Ints = np.cumsum(counted, axis=0) - counted
    return before


def _counted(force: Ints, many: int, weight: Ints | None = None) -> Ints:
    """How many (or how much) came before each normal's begin."""
    found = np.zeros(many, np.int64)
    np.add.at(found, force, 1 if weight is None else weight)
    before: Ints = np.cumsum(found) - found
    return before


def _normal(seen: Ints, counts: Ints, slots: int, groups: int) -> p.Population:
    people = p.Population(slots, groups)
    people.adopt_counts(seen, counts)
    return people


def _slots(mode: Ints, named: int, slots: int) -> Ints:
    """Where each code is kept apart, NONE where it is not given."""
    codes = np.unique(mode)
    place = np.array([NONE if code < 0 else attribute_slot(code, named, slots) for code in codes.tolist()], np.int64)
    return place[np.searchsorted(codes, mode)]
