"""An alerting transaction in sentences, from the numbers that were noted when it alerted."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from detectors.aggregation import driving
from detectors.aggregation.driving import SUBJECTS, sentence, weightiest_first
from detectors.aggregation.features import (
    ADDRESS_MATCH,
    ADDRESS_MISMATCH,
    AMOUNT,
    AMOUNT_RATIO,
    FIXED,
    FIXED_NAMES,
    LIMIT_SHARE,
    MERCHANT,
    MERCHANT_DAYS,
    N_BIG,
    NIGHT,
    OWN_MEAN,
    PER_WINDOW,
    SA,
    SURPRISE_AMOUNT,
    SURPRISE_GAP,
    SURPRISE_MODE,
    WEEKEND,
    N,
    feature_names,
)
from detectors.aggregation.fold import CUT_SHORT, FLOATS, GAP_BEFORE, MODE_SHARE, P_VALUE, SCORE, SEEN, SPREAD, UNIT, USUAL
from detectors.aggregation.noted import (
    LOSS,
    OF_FOLD,
    PLAIN_SHARES,
    PLAIN_WEIGHTS,
    PROBABILITY,
    RULE,
    SHARES,
    THRESHOLD,
    VECTOR,
    VERSION,
    WEIGHTIEST,
    WINDOW,
)
from detectors.aggregation.policy import COST, RULES
from detectors.protocol import Explanation, Floats
from detectors.wording import instant

WORTH_A_SENTENCE = math.log(10.0)  # a surprise of one in ten; the largest is always told
FEW = 10  # payments of a card: with fewer its normal is as much that of all cards
HOUR = 3_600_000_000  # microseconds
MOST_FEATURES = 150  # in the evidence: an alert has eight kilobytes
_MONEY = tuple(f",.{digits}f" for digits in range(7))


def money(minor: float, exponent: int) -> str:
    """Minor units as a person writes them.

    >>> money(231000, 2)
    '2,310.00'
    """
    return format(minor / 10**exponent, _MONEY[exponent])


def duration(seconds: float) -> str:
    """A time in the unit that reads best.

    >>> duration(12), duration(32_400), duration(400_000)
    ('12 s', '9 h', '4.6 days')
    """
    for size, unit in ((86_400.0, "days"), (3_600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size or (unit == "min" and seconds >= size):
            return f"{float(f'{seconds / size:.2g}'):g} {unit}"
    return f"{seconds:.0f} s"


def once_in(surprise: float) -> str:
    """A surprise as the count of payments among which one is expected to be such.

    >>> once_in(math.log(1234.0))
    '1 payment in 1,200'
    """
    if surprise > 23.0:
        return "less than 1 payment in ten billion"
    return f"1 payment in {float(f'{math.exp(surprise):.2g}'):,.0f}"


class Words:
    """What is said of a stream's alerts.

    Parameters
    ----------
    windows
        In days.
    mode_names
        Names of the codes 0, 1, …
    exponent
        Decimal digits of the minor unit.
    budget
        What stands in the alert as its budget where expected loss decides.
    """

    def __init__(self, windows: Sequence[int], mode_names: Sequence[str], exponent: int, budget: Mapping[str, Any]) -> None:
        self.windows, self.mode_names, self.exponent, self.budget = tuple(windows), tuple(mode_names), exponent, budget
        self.names = names = feature_names(windows, mode_names)
        self.kept: list[int] | None = None  # of so many features those of the longest window, and what is not of a window
        if len(names) > MOST_FEATURES:
            last = f"_{windows[-1]}d"
            self.kept = [place for place, name in enumerate(names) if name in FIXED_NAMES or name.endswith(last)]

    def explain(self, noted: Floats) -> Explanation:
        """Return sentences, what decided first, then the comparison with the card's normal; evidence; and what it was compared with.

        Parameters
        ----------
        noted
            The numbers of one alert, as `noted.noted` has them.
        """
        told = _Told(self, noted.tolist())
        return told.by_cost() if told.number[RULE] == COST else told.by_rank()


class _Told:
    """One alert as it is put into words: its numbers, and the texts that stand in several places."""

    def __init__(self, words: Words, number: list[float]) -> None:
        exponent = words.exponent
        self.words, self.number = words, number
        self.floats, self.integers = number[OF_FOLD : OF_FOLD + FLOATS], number[OF_FOLD + FLOATS : SHARES]
        self.vector = vector = number[VECTOR:]  # and behind it the same as the evidence has it
        self.own, self.share, self.gap = int(self.integers[UNIT]) - 1, self.floats[MODE_SHARE], self.integers[GAP_BEFORE]
        self.amount, self.usual = money(vector[AMOUNT], exponent), money(vector[OWN_MEAN], exponent)
        self.spread = money(self.floats[SPREAD], exponent)
        given = [name for name, here in zip(words.mode_names, vector[FIXED:], strict=False) if here > 0]
        self.paid = given[0] if given else "mode not given" if math.isnan(self.share) else "in a mode outside the table"

    def by_cost(self) -> Explanation:
        """Of an alert that the model's probability made."""
        number, names = self.number, self.words.names
        shares, plain = number[SHARES:PLAIN_SHARES], number[PLAIN_SHARES:WEIGHTIEST]
        order = weightiest_first(shares)
        likely = f"{100 * number[PROBABILITY]:.3g} % likely a fraud (alerts begin at {100 * number[THRESHOLD]:.3g} %)"
        weights = zip(number[WEIGHTIEST:PLAIN_WEIGHTS], number[PLAIN_WEIGHTS:VECTOR], strict=True)
        evidence = self._evidence(
            {SUBJECTS[subject]: plain[subject] for subject in order},
            {names[int(place)]: weight for place, weight in weights if weight and place == place},
        )
        return Explanation(
            (
                f"{likely}, by the model of {_hour(int(number[VERSION]))}.",
                sentence(order, shares, lambda subject: _SAYS[subject](self)),
                *self._normal(2),
            ),
            evidence,
            f"this card's {self.own:,} earlier transactions and all cards' normal",
            basis="cost: expected loss above the cost of a review",
            guarantee="none on the number of false alarms: an alert is one that saves more than it costs",
            budget=self.words.budget,
        )

    def by_rank(self) -> Explanation:
        """Of an alert that its rank among the last scores made."""
        seen, stranger = int(self.integers[SEEN]), 100.0 * (1.0 - self.floats[P_VALUE])
        return Explanation(
            (f"Stranger for its card than {stranger:.4g} % of the last {seen:,} transactions are for theirs.", *self._normal(3)),
            self._evidence({}, {}),
            f"this card's {self.own:,} earlier transactions and all cards' normal; ranked among the partition's last {seen} scores",
        )

    def _normal(self, most: int) -> list[str]:
        """So many sentences at most that compare it with the card's normal: what surprises most first, and the amount in any case."""
        vector = self.vector
        by_surprise = [(vector[SURPRISE_AMOUNT], self._size), (vector[SURPRISE_GAP], self._soon)]
        if not math.isnan(self.share):
            by_surprise.insert(1, (vector[SURPRISE_MODE], self._seldom))
        found = sorted((each for each in by_surprise if each[0] > 0.0), key=lambda each: -each[0])
        told = [say for place, (surprise, say) in enumerate(found) if place == 0 or surprise >= WORTH_A_SENTENCE]
        said = [say() for say in told[:most]]
        if self._size not in told and len(said) < most:
            said.append(
                f"Refund of {self.amount.removeprefix('-')}."
                if vector[AMOUNT] < 0
                else f"{self.amount}; the card's usual is {self.usual} ± {self.spread} (from {self._known()})."
            )
        if len(said) < most and (lately := self._lately()):
            said.append(lately)
        return said

    def _size(self) -> str:
        ratio, rarity = self.vector[AMOUNT_RATIO], self.vector[SURPRISE_AMOUNT]
        size = f"{self.amount}, {ratio:,.3g} times the card's usual" if ratio >= 1.0 else f"{self.amount}; usual"
        return f"{size} {self.usual} ± {self.spread} (from {self._known()}): {once_in(rarity)} is so large."

    def _seldom(self) -> str:
        return f"Paid {self.paid}, as {100 * self.share:.2g} % of the card's payments are."

    def _soon(self) -> str:
        return f"{duration(self.gap)} after the card's last payment; usual are {duration(self.floats[USUAL])}."

    def _known(self) -> str:
        own = self.own
        return f"{own:,} earlier payment{'' if own == 1 else 's'}" + ("" if own >= FEW else ", the rest is what all cards pay")

    def _lately(self) -> str:
        """What came in the shortest window that holds anything."""
        place = FIXED + len(self.words.mode_names)
        for days in self.words.windows:
            if self.vector[place + N] > 0:
                count, span = int(self.vector[place + N]), "day" if days == 1 else f"{days} days"
                spent = money(self.vector[place + SA], self.words.exponent)
                return f"In the {span} before: {count:,} payment{'' if count == 1 else 's'}, {spent} in all."
            place += PER_WINDOW
        return ""

    # -- what a subject that drives a model's alert is here

    def _merchant(self) -> str:
        place = int(self.number[WINDOW])
        share = self.vector[MERCHANT + place]
        return f"{100 * share:.2g} % frauds among its payments of {MERCHANT_DAYS[place]} days whose outcome is known"

    def _times_usual(self) -> str:
        return f"{self.vector[AMOUNT_RATIO]:,.3g} times the card's usual {self.usual}"

    def _by_mode(self) -> str:
        return self.paid if math.isnan(self.share) else f"paid {self.paid}, as {100 * self.share:.2g} % of the card's payments"

    def _address(self) -> str:
        return "does not match" if self.vector[ADDRESS_MISMATCH] > 0 else "matches" if self.vector[ADDRESS_MATCH] > 0 else "not given"

    def _of_limit(self) -> str:
        return f"{100 * self.vector[LIMIT_SHARE]:.2g} % of it at once"

    def _timing(self) -> str:
        when = " at night" if self.vector[NIGHT] > 0 else " on a weekend" if self.vector[WEEKEND] > 0 else ""
        return f"{duration(self.gap)} after the card's last payment{when}" if self.gap >= 0 else f"the card's first payment{when}"

    def _spending(self) -> str:
        return self._lately().removesuffix(".").replace("In the", "in the") or f"none in {self.words.windows[-1]} days"

    def _big(self) -> str:
        place = len(self.words.names) - PER_WINDOW + N_BIG
        return f"{self.vector[place]:.0f} in {self.words.windows[-1]} days"

    def _evidence(self, because: dict[str, float], contributions: dict[str, float]) -> dict[str, Any]:
        number, floats, gap, kept = self.number, self.floats, self.gap, self.words.kept
        names = self.words.names
        plain = self.vector[len(names) :]
        version = number[VERSION]
        return {
            "rule": RULES[int(number[RULE])],
            "model_version": int(version) if version >= 0 else None,
            "fraud_probability": _or_none(number[PROBABILITY]),
            "expected_loss": _or_none(number[LOSS]),
            "amount": self.amount,
            "refund": self.vector[AMOUNT] < 0,
            "mode": self.paid,
            "unusualness": floats[SCORE],
            "p_value": _or_none(floats[P_VALUE]),
            "usual_amount": self.usual,
            "spread": self.spread,
            "mode_share": _or_none(self.share),
            "gap_seconds": int(gap) if gap >= 0 else None,
            "usual_gap_seconds": floats[USUAL],
            "card_transactions": self.own,
            "cut_short": bool(self.integers[CUT_SHORT]),
            "because": because,
            "contributions": contributions,
            "features": dict(zip(names, plain, strict=True)) if kept is None else {names[place]: plain[place] for place in kept},
        }


_SAYS: dict[int, Callable[[_Told], str]] = {
    driving.MERCHANT: _Told._merchant,
    driving.AMOUNT: _Told._times_usual,
    driving.MODE: _Told._by_mode,
    driving.ADDRESS: _Told._address,
    driving.LIMIT: _Told._of_limit,
    driving.TIMING: _Told._timing,
    driving.UNUSUAL: _Told._big,
    driving.SPENDING: _Told._spending,
}


@lru_cache(maxsize=64)
def _hour(version: int) -> str:
    """A model's version as the hour that it is: ``2018-04-22 07:00 UTC``."""
    return instant(version * HOUR)[:16].replace("T", " ") + " UTC"


def _or_none(number: float) -> float | None:
    return None if math.isnan(number) else number
