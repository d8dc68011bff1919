"""The population's normal: how large amounts, how short gaps and which modes are usual among all cards of a stream.

A partition counts what it sees in whole numbers; the counts of all partitions are added up and adopted at a cut, and only what has
been adopted is ever used. So a card is judged alike however the cards are spread over partitions, and a new card is judged by
everybody's normal from its first transaction.

Three histograms, each of a logarithm in steps of an eighth: the amount; the amount over the card's own mean; the gap over the card's
usual gap. Their tails say how rare a value is *without* a shape being assumed: amounts are not log-normal, payments do not come at
an even rate, and a card's own few payments could not tell. −ln of a tail is a surprise; `curves` holds it at the edges of the
steps, straight lines join them. Each tail counts one imaginary transaction of a shape (`_start`), so that a surprise is finite, grows on
beyond all that was seen, and says something before anything was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.special import erfc

from detectors.protocol import Floats, Ints

AMOUNT, RATIO, GAP = range(3)  # ln amount (minor units); ln(amount / own mean); ln(gap / usual gap)
BINS = 352
STEP = 0.125
LOW = np.array([0.0, -22.0, -22.0])  # where the first bin begins: amounts up to 2⁶³, ratios of e^±22

# Places of `counts`; after them the modes' counts (all transactions), then those of groups that have left the longest window (these
# a partition adds up over its cards when it contributes).
GAP_COUNT, GAP_SECONDS, MODE_COUNTS = range(3)
# Places of `numbers`; after them the modes' shares, then the groups'.
MEDIAN, USUAL_GAP, TRANSACTIONS, MODE_SHARES = range(4)

SMALLEST = np.finfo(np.float64).tiny

LONGEST_GAP = 365 * 86_400  # seconds: a card that rests longer teaches a year


def _start() -> Floats:
    """Tails of the imaginary transaction at the edges, shape (3, BINS + 1).

    An amount is anything, a ratio log-normal about 1 (an e-fold each way), a gap exponential: the usual assumptions, worth one
    transaction in all.
    """
    edges = LOW[:, None] + STEP * np.arange(BINS + 1)
    amount = 1.0 - np.arange(BINS + 1) / (BINS + 1.0)
    ratio = 0.5 * erfc(edges[RATIO] / np.sqrt(2.0))
    gap = -np.expm1(-np.exp(edges[GAP]))
    return np.stack([amount, ratio, gap])


@njit(cache=True)  # type: ignore[untyped-decorator]
def bin_of(which, x, low):  # type: ignore[no-untyped-def]
    """The step that x lies in; the outermost take what lies beyond."""
    return min(max(int((x - low[which]) / STEP), 0), BINS - 1)


@njit(cache=True)  # type: ignore[untyped-decorator]
def surprise(curves, which, x, low):  # type: ignore[no-untyped-def]
    """−ln P(a value as extreme as x), by the line between the edges beside it; constant beyond the outermost."""
    place = (x - low[which]) / STEP
    if place <= 0.0:
        return curves[which, 0]
    if place >= BINS:
        return curves[which, BINS]
    left = int(place)
    return curves[which, left] + (place - left) * (curves[which, left + 1] - curves[which, left])


@njit(cache=True)  # type: ignore[untyped-decorator]
def _tails(seen, start):  # type: ignore[no-untyped-def]
    """P(a value as extreme as each edge): upper tails of AMOUNT and RATIO, the lower tail of GAP; above 0 whatever was seen."""
    out = np.empty(start.shape)
    for which in range(3):
        total = float(seen[which].sum())
        above = total
        for edge in range(BINS + 1):
            tail = total - above if which == GAP else above
            out[which, edge] = max((tail + start[which, edge]) / (total + 1.0), SMALLEST)
            if edge < BINS:
                above -= seen[which, edge]
    return out


@njit(cache=True)  # type: ignore[untyped-decorator]
def added_up(rows):  # type: ignore[no-untyped-def]
    """The sums of the columns of whole numbers; an hour's contribution adds up a row of every card."""
    out = np.zeros(rows.shape[1], np.int64)
    for row in range(len(rows)):
        for column in range(len(out)):
            out[column] += rows[row, column]
    return out


class Population:
    """What a partition has counted, and what has been adopted.

    Attributes
    ----------
    seen, counts
        The partition's own, to be merged: histograms, shape (3, BINS), and whole numbers.
    adopted_seen, adopted_counts
        The stream's, as last adopted; zeros before.
    curves
        Surprises at the edges, shape (3, BINS + 1): upper tails of AMOUNT and RATIO, the lower tail of GAP.
    numbers
        Median amount (0: none yet), mean gap in seconds (0: none yet), transactions, the modes' shares (one transaction a mode
        added), the groups' shares of what has left the longest window (none of it: 0).
    """

    def __init__(self, modes: int, groups: int) -> None:
        self.modes, self.groups = modes, groups
        self.seen: Ints = np.zeros((3, BINS), np.int64)
        self.counts: Ints = np.zeros(MODE_COUNTS + modes + groups, np.int64)
        self.adopted_seen, self.adopted_counts = self.seen.copy(), self.counts.copy()
        self.low = LOW.copy()
        self._derive()

    def record(self, past: Ints) -> dict[str, Any]:
        """What this partition contributes, for `merge`; `past` counts what has left its cards' longest windows, group by group."""
        counts = self.counts.copy()
        counts[MODE_COUNTS + self.modes :] = past
        return {"histograms": self.seen.tolist(), "counts": counts.tolist()}

    def adopt(self, record: Mapping[str, Any]) -> None:
        """Take in the merged counts of all partitions.

        Raises
        ------
        ValueError
            If they are of another shape: of other settings.
        """
        try:
            seen, counts = np.array(record["histograms"], np.int64), np.array(record["counts"], np.int64)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"no population of cards: {error!r}") from None
        if seen.shape != self.seen.shape or counts.shape != self.counts.shape:
            raise ValueError(f"a population of shapes {seen.shape} and {counts.shape}: wanted {self.seen.shape} and {self.counts.shape}")
        self.adopt_counts(seen, counts)

    def adopt_counts(self, seen: Ints, counts: Ints) -> None:
        """Let these merged counts be in force."""
        self.adopted_seen, self.adopted_counts = seen, counts
        self._derive()

    def freeze(self) -> dict[str, NDArray[Any]]:
        """The counts; everything else follows from them."""
        return {name: getattr(self, name).copy() for name in _FROZEN}

    def thaw(self, frozen: Mapping[str, NDArray[Any]]) -> None:
        """Take frozen counts."""
        for name in _FROZEN:
            setattr(self, name, frozen[name].astype(np.int64))
        self._derive()

    def _derive(self) -> None:
        counts = self.adopted_counts
        self.curves: Floats = -np.log(_tails(self.adopted_seen, _START))
        self.numbers: Floats = np.zeros(MODE_SHARES + self.modes + self.groups)
        amounts = int(self.adopted_seen[AMOUNT].sum())
        if amounts:
            half = int(np.searchsorted(np.cumsum(self.adopted_seen[AMOUNT]), (amounts + 1) // 2))
            self.numbers[MEDIAN] = np.exp(LOW[AMOUNT] + STEP * (half + 0.5))
        if counts[GAP_COUNT]:
            self.numbers[USUAL_GAP] = counts[GAP_SECONDS] / counts[GAP_COUNT]
        paid = counts[MODE_COUNTS : MODE_COUNTS + self.modes]
        past = counts[MODE_COUNTS + self.modes :]
        self.numbers[TRANSACTIONS] = amounts
        self.numbers[MODE_SHARES : MODE_SHARES + self.modes] = (paid + 1.0) / (paid.sum() + self.modes)
        self.numbers[MODE_SHARES + self.modes :] = past / max(1, int(past[0]))


_START = _start()
_FROZEN = ("seen", "counts", "adopted_seen", "adopted_counts")


def merge(records: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Add up what partitions contribute; their order does not matter.

    >>> merge([{"histograms": [[1, 2]], "counts": [3]}, {"histograms": [[4, 5]], "counts": [6]}])
    {'histograms': [[5, 7]], 'counts': [9]}
    """
    first, *others = records
    if not others:
        return {"histograms": first["histograms"], "counts": first["counts"]}
    histograms, counts = np.array(first["histograms"], np.int64), np.array(first["counts"], np.int64)
    for record in others:
        histograms += np.array(record["histograms"], np.int64)
        counts += np.array(record["counts"], np.int64)
    return {"histograms": histograms.tolist(), "counts": counts.tolist()}
