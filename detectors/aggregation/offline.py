"""The aggregates of whole arrays of transactions, for training and for the paper's tables: the stream's algebra, card after card.

Transactions are sorted by (card, time, arrival); then one pass over a card's rows keeps, for each window and attribute value j, the
sums n, T, S0, S1, Q of `state.window`, adds a row once and takes it out once, and reads Eqs. (1), (3) and (4) off them as `equations`
does. Everything is int64, so a row's aggregates are those of the stream to the last bit, without rings, slots or batches.

Windows are strictly causal: now − d < t ≤ now, and of equal times only what arrived before. The row itself is left out unless
`including` says otherwise (the paper does not say which it means). What is known only later, as labels are, has a `delay`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

NONE = -1  # no attribute value: part of the totals, in no group
COUNT, WEIGHT, SIMPLE, PLACED, RECENT, TIMED = range(6)  # n, Σ(d − age), Eq. (1), Eq. (3) as printed and as described, Eq. (4)
AGGREGATES = 6
_SAFE = 2.0**62


@njit(cache=True)  # type: ignore[untyped-decorator]
def _walk(begins, time, amount, group, asked, groups, spans, delay, including, out):  # type: ignore[no-untyped-def]
    """Fill out[window, aggregate, row] for rows sorted by card; begins[c] … begins[c + 1] are card c's."""
    for window in range(len(spans)):
        span = spans[window]
        sums = np.empty((groups, 5), np.int64)
        for card in range(len(begins) - 1):
            first, head, tail = begins[card], begins[card], begins[card]
            origin = time[first]
            sums[:] = 0
            for row in range(first, begins[card + 1]):
                now = time[row] - delay
                while tail < row + including and time[tail] <= now:  # what has come
                    s, a, since, place = group[tail], amount[tail], time[tail] - origin, tail - first
                    tail += 1
                    if s >= 0:
                        sums[s, 0] += 1
                        sums[s, 1] += since
                        sums[s, 2] += a
                        sums[s, 3] += a * since
                        sums[s, 4] += a * place
                while head < tail and time[head] <= now - span:  # what has left
                    s, a, since, place = group[head], amount[head], time[head] - origin, head - first
                    head += 1
                    if s >= 0:
                        sums[s, 0] -= 1
                        sums[s, 1] -= since
                        sums[s, 2] -= a
                        sums[s, 3] -= a * since
                        sums[s, 4] -= a * place
                j = asked[row]
                if j >= 0:
                    left = span - (now - origin)
                    out[window, 0, row] = sums[j, 0]
                    out[window, 1, row] = left * sums[j, 0] + sums[j, 1]
                    out[window, 2, row] = sums[j, 2]
                    out[window, 3, row] = (tail - 1 - first) * sums[j, 2] - sums[j, 4]
                    out[window, 4, row] = sums[j, 4] - (head - 1 - first) * sums[j, 2]
                    out[window, 5, row] = left * sums[j, 2] + sums[j, 3]


class Histories(NamedTuple):
    """Transactions sorted by card, time and arrival.

    Attributes
    ----------
    order
        Row numbers in that order, shape (n,).
    begins
        Where each card begins in it, and n: shape (cards + 1,).
    time, amount
        Whole seconds and minor units, in that order.
    """

    order: Ints
    begins: Ints
    time: Ints
    amount: Ints

    @classmethod
    def of(cls, card: NDArray[np.int64], time: Ints, amount: Ints) -> Histories:
        """Sort transactions given in order of arrival."""
        order = np.lexsort((time, card)).astype(np.int64)  # stable: equal times stay as they arrived
        card, time, amount = card[order], time[order].astype(np.int64), amount[order].astype(np.int64)
        fresh = np.flatnonzero(np.diff(card, prepend=card[:1] - 1 if len(card) else card)).astype(np.int64)
        begins = np.append(fresh, len(card)).astype(np.int64)
        return cls(order, begins, time, amount)

    def sums(
        self, spans: Sequence[int], group: Ints | None = None, asked: Ints | None = None, *, delay: int = 0, including: bool = False
    ) -> Ints:
        """The aggregates of each row's window.

        Parameters
        ----------
        spans
            d: windows in whole seconds.
        group
            The attribute value of each row as it arrived, 0 …, or NONE; without it all rows are of one.
        asked
            Whose sums a row wants, NONE for none (zeros); without it those of its own value: the gate C_j.
        delay
            Seconds by which every window ends before the row: what is younger is not known yet.
        including
            Whether a row is in its own aggregates.

        Returns
        -------
        int64 of shape (windows, AGGREGATES, n), rows as they arrived: COUNT, WEIGHT in seconds, SIMPLE, PLACED, RECENT in minor
        units, TIMED in minor units × seconds.

        Raises
        ------
        ValueError
            If a card's amounts × its history and window could leave int64.
        """
        n = len(self.order)
        if self._largest(max(spans) + delay) >= _SAFE:
            raise ValueError("a card's amounts × its history exceed 64 bits: wanted shorter windows or a shorter history")
        group = np.zeros(n, np.int64) if group is None else np.ascontiguousarray(group, np.int64)
        asked = group if asked is None else np.ascontiguousarray(asked, np.int64)
        groups = int(max(group.max(initial=0), asked.max(initial=0))) + 1
        found = np.zeros((len(spans), AGGREGATES, n), np.int64)
        _walk(
            self.begins, self.time, self.amount, group[self.order], asked[self.order], groups,
            np.array(spans, np.int64), delay, int(including), found,
        )  # fmt: skip
        arrived = np.empty_like(found)
        arrived[:, :, self.order] = found
        return arrived

    def _largest(self, span: int) -> float:
        """A bound of every sum over windows of `span` seconds: of the cards' Σ|a| times their history, in seconds or transactions."""
        if not len(self.order):
            return 0.0
        first, last = self.begins[:-1], self.begins[1:] - 1
        mass = np.add.reduceat(np.abs(self.amount).astype(np.float64), first)
        return float(np.max(mass * np.maximum(self.time[last] - self.time[first] + span, last - first)))


def merchant_shares(merchant: Ints, time: Ints, fraud: NDArray[np.bool_], spans: Sequence[int], delay: int) -> Floats:
    """A merchant's share of known frauds: each transaction weighs as much as is left of its window, which ends `delay` seconds ago.

    Parameters
    ----------
    merchant
        Number of the merchant, −1 not given.
    time
        Whole seconds.
    fraud
        Whether a transaction turned out to be fraud; known `delay` seconds later and not before.
    spans
        Lengths of the windows in seconds.
    delay
        The labels' delay in seconds.

    Returns
    -------
    Shape (windows, n): Σ w·fraud / Σ w over the window, 0 where it is empty or no merchant is given.
    """
    sums = Histories.of(merchant, time, fraud.astype(np.int64))
    found = sums.sums(spans, np.where(merchant >= 0, 0, NONE), delay=delay)
    return np.divide(found[:, TIMED], found[:, WEIGHT], out=np.zeros(found[:, 0].shape), where=found[:, WEIGHT] > 0)
