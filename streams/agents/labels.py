"""`card.labels`: what became of transactions, days late. ``{"card_id", "transaction_id", "label", "at"}``, 1 for a fraud, 0 for none.

A label takes effect at the first hour of event time that its `at` has been reached in. The same label twice is one label; of two that
differ the later holds (by `at`; of one moment, the fraud). No label is a label, too: a transaction whose delay is over without one
was genuine, until somebody says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import msgspec
import numpy as np
from numba import njit

from detectors.protocol import Ints
from state.draws import GOLDEN, mix
from state.keys import PackedKeys
from streams.agents.population import HOUR
from streams.decoding import times
from streams.decoding.fields import hashes
from streams.decoding.times import Moment


class CardLabel(msgspec.Struct):
    """The outcome of one transaction."""

    card_id: str
    transaction_id: str
    label: bool | Literal[0, 1]
    at: float | Moment
    v: Literal[1] = 1


class Label(NamedTuple):
    """The same, by the transaction's number; `at` in microseconds."""

    transaction: int
    fraud: bool
    at: int


class Unreadable(ValueError):
    """No label; the message says why."""


_decode = msgspec.json.Decoder(CardLabel).decode


def read(value: bytes | None, latest: int | None = None) -> Label:
    """One record of the topic.

    Raises
    ------
    Unreadable
        If it cannot be read, or its `at` is after `latest` (microseconds): it would wait for ever.
    """
    if value is None:
        raise Unreadable("the value is null: a label is taken back by another label")
    try:
        told = _decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise Unreadable(str(problem)) from problem
    at = int(times.of_mixed([told.at])[0])
    if at == times.NO_TIME:
        raise Unreadable(f"at = {told.at}: {times.WANTED_TIME}")
    if latest is not None and at > latest:
        raise Unreadable(f"at = {told.at}: further ahead of its record than records.future_seconds")
    return Label(int(identities_of([told.card_id], [told.transaction_id])[0]), bool(told.label), at)


def identities_of(cards: Sequence[str], transactions: Sequence[str]) -> Ints:
    """Numbers of transactions by their ids, as `identities` makes them."""
    packed = PackedKeys.pack(text.encode(errors="surrogateescape") for text in transactions)
    return identities(PackedKeys.pack(text.encode(errors="surrogateescape") for text in cards), hashes(packed))


def identities(cards: PackedKeys, transaction: Ints) -> Ints:
    """A number for each transaction: of its card and its id, for an id need only be one card's own. 63 bits, never negative."""
    out = np.empty(len(transaction), np.int64)
    _identities(hashes(cards), transaction, out)
    return out


@njit(cache=True)  # type: ignore[untyped-decorator]
def _identities(card, transaction, out):  # type: ignore[no-untyped-def]
    for row in range(len(out)):
        out[row] = np.int64(mix(np.uint64(card[row]) + GOLDEN * np.uint64(transaction[row])) >> np.uint64(1))


class Labels:
    """All labels that may still matter, by transaction."""

    def __init__(self) -> None:
        self._waiting: dict[int, list[Label]] = {}  # by the hour that they take effect in
        self._known: dict[int, tuple[int, bool]] = {}  # in effect: at, fraud
        self._frauds: dict[int, None] = {}  # those of them that are frauds,
        self._sorted: Ints | None = None  # and sorted; None where they have changed

    def add(self, label: Label) -> None:
        """Take one in, in any order."""
        self._waiting.setdefault(-(-label.at // HOUR), []).append(label)

    def hours(self) -> list[int]:
        """The hours in which labels are still to take effect, in order."""
        return sorted(self._waiting)

    def take_effect(self, hour: int) -> list[int]:
        """Put in effect what `hour` (hours since 1970) has reached; return the transactions of which something new is known."""
        news: dict[int, None] = {}
        for due in sorted(h for h in self._waiting if h <= hour):
            for label in self._waiting.pop(due):
                before = self._known.get(label.transaction)
                if before is None or (label.at, label.fraud) > before:
                    self._known[label.transaction] = (label.at, label.fraud)
                    if label.fraud:
                        self._frauds[label.transaction] = None
                    else:
                        self._frauds.pop(label.transaction, None)
                    self._sorted = None
                    news[label.transaction] = None
        return list(news)

    def outcomes(self, transactions: Ints) -> Ints:
        """1 for those known as frauds, 0 for all others."""
        if not self._frauds:
            return np.zeros(len(transactions), np.int64)
        if self._sorted is None:
            self._sorted = np.array(sorted(self._frauds), np.int64)
        found: Ints = np.isin(transactions, self._sorted).astype(np.int64)
        return found

    def fraud(self, transaction: int) -> bool:
        """Whether a transaction is known as a fraud."""
        return self._known.get(transaction, (0, False))[1]

    def delays(self, transactions: Ints, at: Ints) -> list[float]:
        """Seconds from each of these transactions, at these times, to its label; of those that have one."""
        told = ((self._known.get(number), when) for number, when in zip(transactions.tolist(), at.tolist(), strict=True))
        return [(label[0] - when) / 1e6 for label, when in told if label is not None]

    def forget(self, before: int) -> None:
        """Let go of labels from before an hour: their transactions cannot change any more."""
        gone = [number for number, (at, _) in self._known.items() if at < before * HOUR]
        for number in gone:
            del self._known[number]
            if self._frauds.pop(number, 0) is None:
                self._sorted = None

    def __len__(self) -> int:
        return len(self._known) + sum(map(len, self._waiting.values()))


def of_file(transactions: Ints, at: Ints, label: Iterable[bool], delay: int) -> Iterable[Label]:
    """A labelled file's rows as the labels that would have come `delay` microseconds after each transaction; only frauds are told."""
    for number, when, fraud in zip(transactions.tolist(), at.tolist(), label, strict=True):
        if fraud:
            yield Label(number, True, when + delay)
