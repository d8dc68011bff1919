"""The trainer: what a stream's scored transactions and their late labels teach, in one order, whatever came first.

At each hour of event time, every transaction whose label delay is over is learned: in the order (at, number), with the outcome known
by then, once. That order knows nothing of partitions, of batches, or of when a record was read; so 1, 4 and 12 partitions, the live
worker and the backtest make the same model to the last bit. A label younger than the delay waits with its transaction.

What is known later than that is made up for: where an outcome changes after it was learned, the model takes a step towards the right
one (`logistic.correct`), the merchant's sums are put right, and the transaction still counts once. That takes its features again:
`wanted` says of which. After `relabel_hours` nothing changes any more.

Nothing is pickled. A version of the model holds all that it needs to go on; the shares, and what has been learned when, come back by
feeding the same hours again (`resume`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from detectors.aggregation import model as versions
from detectors.aggregation.features import FEATURES, MERCHANT_DAYS, logarithmic
from detectors.aggregation.logistic import OnlineLogistic
from detectors.aggregation.recalibration import Recalibration
from detectors.aggregation.shares import MerchantShares
from detectors.protocol import JUDGED, Columns, Floats, Ints, Verdicts
from state.keys import PackedKeys
from streams import scores
from streams.agents.labels import Label, Labels, identities
from streams.agents.population import HOUR
from streams.challengers import Challenger, Scoreboard


@dataclass(frozen=True)
class Rows:
    """Scored transactions, in columns of length n.

    Attributes
    ----------
    at
        Event time, microseconds.
    number
        Of the transaction (`labels.identities`).
    merchant
        Hash, −1 not given.
    vectors
        Features, shape (n, F).
    """

    at: Ints
    number: Ints
    merchant: Ints
    vectors: Floats

    def __len__(self) -> int:
        return len(self.at)

    def take(self, rows: Any) -> Rows:
        """The rows of a mask or of places."""
        return Rows(self.at[rows], self.number[rows], self.merchant[rows], self.vectors[rows])

    def in_order(self) -> Rows:
        """Sorted by (at, number), each number once: the first is kept."""
        rows = self.take(np.lexsort((self.number, self.at)))
        return rows.take(np.sort(np.unique(rows.number, return_index=True)[1]))

    @staticmethod
    def join(parts: Sequence[Rows], features: int) -> Rows:
        """One after another; without any, no rows of so many features."""
        empty = np.empty(0, np.int64)
        parts = [Rows(empty, empty, empty, np.empty((0, features))), *parts]
        return Rows(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("at", "number", "merchant", "vectors")))

    @staticmethod
    def of_verdicts(columns: Columns, verdicts: Verdicts, names: Sequence[str] = FEATURES) -> Rows:
        """What a fold has just said; late and repeated transactions have no features and are left out."""
        vectors = np.stack([verdicts.evidence[name] for name in names], axis=1).astype(np.float64, copy=False)
        rows = Rows(columns.at, identities(columns.keys, columns.fields["transaction"]), columns.fields["merchant"], vectors)
        judged = verdicts.reason == JUDGED
        return rows if judged.all() else rows.take(judged)

    @staticmethod
    def of_record(record: Mapping[str, Any], names: Sequence[str] = FEATURES) -> Rows | None:
        """The same from a record of the score log; None where it was made under other settings, of other features."""
        vectors = scores.vectors_of(record, names)
        if vectors is None:
            return None
        judged = np.flatnonzero(np.array(record["reason"], np.int64) == JUDGED)
        cards = PackedKeys.pack([record["key"][row].encode() for row in judged.tolist()])
        at, transaction, merchant = (np.array(record[name], np.int64)[judged] for name in ("at", "transaction", "merchant"))
        return Rows(at, identities(cards, transaction), merchant, vectors if len(judged) == len(vectors) else vectors[judged])


class Ripening:
    """Scored transactions that wait in memory for their delay to be over, by hour: what a backtest keeps."""

    def __init__(self, features: int) -> None:
        self._features = features
        self._hours: dict[int, list[Rows]] = {}

    def add(self, rows: Rows) -> None:
        """Keep rows of any hours."""
        hour = rows.at // HOUR
        for each in np.unique(hour).tolist():
            self._hours.setdefault(each, []).append(rows.take(hour == each))

    def take(self, before: int) -> Rows:
        """Give away the rows of all hours before this one."""
        ripe = sorted(hour for hour in self._hours if hour < before)
        return Rows.join([part for hour in ripe for part in self._hours.pop(hour)], self._features)


class Trainer:
    """The models, shares and measures of one stream of card transactions.

    Parameters
    ----------
    names
        The features, in order.
    delay_hours
        The label delay.
    relabel_hours
        For how long after that an outcome may still change.
    rate, clip
        Of the logistic regression.
    days
        Windows of the merchants' shares.
    challengers
        What makes each model that is only measured, by name.

    Attributes
    ----------
    learned, frauds
        Matured transactions, each once, and how many of them are frauds as far as is known.
    through
        Everything of before this hour (hours since 1970) has been learned; None where nothing has.
    lost
        Outcomes that changed when the transaction's features could no longer be had: counted, not learned.
    """

    def __init__(
        self,
        names: Sequence[str] = FEATURES,
        *,
        delay_hours: int = 168,
        relabel_hours: int = 720,
        rate: float = 0.2,
        clip: float = 20.0,
        days: Sequence[int] = MERCHANT_DAYS,
        challengers: Mapping[str, Callable[[], Challenger]] | None = None,
    ) -> None:
        if delay_hours < 1:
            raise ValueError(f"delay_hours = {delay_hours}: wanted an hour at least")
        if relabel_hours < 0:
            raise ValueError(f"relabel_hours = {relabel_hours}: wanted 0 or more")
        self.names, self.delay_hours, self.relabel_hours = tuple(names), delay_hours, relabel_hours
        self.model, self.recalibration = OnlineLogistic(len(self.names), rate, clip, logarithmic(self.names)), Recalibration()
        self.shares, self.labels = MerchantShares(days), Labels()
        self.scoreboard = Scoreboard({name: make() for name, make in (challengers or {}).items()}, self.names)
        self.learned = self.frauds = self.lost = 0
        self.through: int | None = None
        self._memory: dict[int, tuple[Ints, Ints]] = {}  # by hour: numbers in order, outcomes as learned
        self._changed: dict[int, list[int]] = {}  # by hour: numbers whose outcome is another by now
        self._last = 0  # the latest hour that the recalibration has counted
        self._replay_to: int | None = None  # the hour up to which what is fed is known to the model

    def label(self, label: Label) -> None:
        """Take a label in, whenever it comes."""
        self.labels.add(label)

    def ripe_before(self, hour: int) -> int:
        """At `hour`, the transactions of all hours before this one have matured."""
        return hour - self.delay_hours

    def wanted(self, hour: int) -> dict[int, list[int]]:
        """Put labels in effect; return, by hour, the transactions that were learned with another outcome than is known now."""
        news = np.array(sorted(self.labels.take_effect(hour)), np.int64)
        now = self.labels.outcomes(news)
        self._changed = {}
        for then, (numbers, outcomes) in self._memory.items() if len(news) else ():
            place = numbers.searchsorted(news)
            place[place == len(numbers)] = 0
            here = numbers[place] == news
            if here.any():
                changed = here & (outcomes[place] != now)
                if changed.any():
                    self._changed[then] = news[changed].tolist()
        return self._changed

    def advance(self, hour: int, ripe: Rows, again: Rows | None = None) -> dict[str, Any]:
        """Learn what has matured by `hour`; return what partitions are to adopt: {"model": …, "shares": …}.

        Call `wanted(hour)` before it.

        Parameters
        ----------
        ripe
            The rows of before `ripe_before(hour)` that were not given yet, in any order; repeats are passed over.
        again
            Rows of the transactions that are wanted.
        """
        before = self.ripe_before(hour)
        self._put_right(before, again)
        rows = self._not_learned(ripe, before)
        outcomes = self.labels.outcomes(rows.number)
        hours = rows.at // HOUR
        for each in np.unique(hours).tolist():  # in order; late ones first
            mine = hours == each
            self._learn(each, rows.take(mine), outcomes[mine], known=self._replayed(before))
        self._forget(before)
        self.through = before if self.through is None else max(self.through, before)
        if self._replayed(before):
            return {}
        found: dict[str, Any] = {"shares": {**self.shares.record(self.through), "delay_hours": self.delay_hours}}
        return {"model": self.version(), **found} if self.learned else found

    def version(self) -> dict[str, Any]:
        """The champion as it stands, as JSON; its number is the hour through which it has learned."""
        version = versions.record(self.through or 0, self.names, self.model, self.recalibration, self.learned, self.frauds)
        return {**version, "delay_hours": self.delay_hours, "last": self._last}

    def resume(self, version: Mapping[str, Any]) -> None:
        """Go on from a version.

        Feed first what it had read, hour by hour up to its own: that teaches the shares, the challengers, and what was learned when;
        the model knows it. Then go on with what it had not read.

        Raises
        ------
        detectors.aggregation.model.ModelRefused
            It is of other features.
        """
        self.model, self.recalibration = versions.learner(version, self.names)
        self.learned, self.frauds, self._last = version["learned"], version["frauds"], version["last"]
        self.through = self._replay_to = version["version"]

    def _replayed(self, before: int) -> bool:
        return self._replay_to is not None and before <= self._replay_to

    def _not_learned(self, ripe: Rows, before: int) -> Rows:
        """Matured rows that have not been learned, each once, in the order of learning."""
        rows = ripe.take(ripe.at // HOUR < before).in_order()
        known = [self._memory[hour][0] for hour in np.unique(rows.at // HOUR).tolist() if hour in self._memory]
        return rows.take(~np.isin(rows.number, np.concatenate(known))) if known else rows

    def _learn(self, hour: int, rows: Rows, outcomes: Ints, known: bool) -> None:
        """Teach all that learns the rows of one hour."""
        said: Floats = np.full(len(rows), np.nan)
        if not known:
            said = self.model.learn(rows.vectors, outcomes)
            self.recalibration.fade(float(max(0, hour - self._last)) if self._last else 0.0)
            self.recalibration.count(said, outcomes)
            self._last = max(hour, self._last)
            self.learned += len(rows)
            self.frauds += int(outcomes.sum())
        self.scoreboard.learn(rows.vectors, outcomes, said)
        self.shares.add(hour, rows.merchant, outcomes)
        numbers, before = self._memory.get(hour, (rows.number[:0], outcomes[:0]))
        numbers, before = np.concatenate([numbers, rows.number]), np.concatenate([before, outcomes])
        order = np.argsort(numbers, kind="stable")
        self._memory[hour] = numbers[order], before[order]

    def _put_right(self, before: int, again: Rows | None) -> None:
        """Make up for outcomes that have changed since they were learned."""
        rows = (again or Rows.join([], len(self.names))).in_order()
        for hour, wanted in sorted(self._changed.items()):
            mine = rows.take(np.isin(rows.number, wanted))
            numbers, outcomes = self._memory[hour]
            place = np.searchsorted(numbers, mine.number)
            now = 1 - outcomes[place]
            outcomes[place] = now
            self.lost += len(wanted) - len(mine)
            self.shares.add(hour, mine.merchant, 1 - now, sign=-1)
            self.shares.add(hour, mine.merchant, now)
            if len(mine) and not self._replayed(before):
                self.model.correct(mine.vectors, now)
                self.frauds += int((2 * now - 1).sum())
            self._changed = {}

    def _forget(self, before: int) -> None:
        for hour in [hour for hour in self._memory if hour < before - self.relabel_hours]:
            del self._memory[hour]
        self.labels.forget(before - self.relabel_hours)


__all__ = ["Ripening", "Rows", "Trainer"]
