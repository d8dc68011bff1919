"""An alerting transaction in sentences, from the numbers that the kernel noted when it alerted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from detectors.aggregation.equations import AGGREGATES
from detectors.aggregation.fold import (
    D_AMOUNT,
    D_AMOUNT_SURPRISE,
    D_CARD_COUNT,
    D_CUT_SHORT,
    D_DEVIATION,
    D_GAP,
    D_GAP_SURPRISE,
    D_HELD,
    D_MEAN,
    D_MODE,
    D_MODE_SHARE,
    D_MODE_SURPRISE,
    D_P_VALUE,
    D_POPULATION_COUNT,
    D_SCORE,
    D_THRESHOLD,
    D_USUAL_GAP,
    DETAILS,
    PER_WINDOW,
)
from detectors.protocol import Explanation, Floats

SELDOM = 2.0  # standard deviations above the mean: one normal payment in forty-four
WORTH_A_SENTENCE = math.log(10.0)  # a surprise of one in ten; the largest is always told


def money(minor: float, exponent: int) -> str:
    """Minor units as a person writes them.

    >>> money(231000, 2)
    '2,310.00'
    """
    return f"{minor / 10**exponent:,.{exponent}f}"


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
    'one payment in 1,200'
    """
    if surprise > 23.0:
        return "less than one payment in ten billion"
    return f"one payment in {float(f'{math.exp(surprise):.2g}'):,.0f}"


def explain(detail: Floats, windows: Sequence[int], mode_names: Sequence[str], exponent: int, prior_weight: float) -> Explanation:
    """Return sentences, the largest surprise first, then the aggregates; evidence; and what the transaction was compared with.

    Parameters
    ----------
    detail
        The numbers of one alerting row, shape (17 + 10 · windows,), see `fold`; empty for a row that did not alert.
    windows
        In days.
    mode_names
        Names of the codes 0, 1, …
    exponent
        Decimal digits of the minor unit.
    prior_weight
        n₀, in transactions.
    """
    value = [float(x) for x in detail]
    usual, seldom_above = (money(math.exp(value[D_MEAN] + k * value[D_DEVIATION]), exponent) for k in (0.0, SELDOM))
    code = int(value[D_MODE])
    mode = "mode not given" if code < 0 else mode_names[code] if code < len(mode_names) else "a mode outside the table"
    refund = value[D_AMOUNT] < 0
    amount = money(value[D_AMOUNT], exponent)
    own = int(value[D_CARD_COUNT])
    known = own >= prior_weight  # the card's own payments count for as much as the population's
    who = "this card usually spends" if known else f"cards here spend (this one has {own} earlier payment{'' if own == 1 else 's'})"
    told = [
        (
            value[D_AMOUNT_SURPRISE],
            f"{amount}, where {who} about {usual} a payment and seldom more than {seldom_above}; "
            f"so much is expected of {once_in(value[D_AMOUNT_SURPRISE])}.",
        ),
        (
            value[D_MODE_SURPRISE],
            f"Paid {mode}, which {'this card does' if known else 'cards here do'} {100 * value[D_MODE_SHARE]:.2g} % of the time."
            if code >= 0
            else "",
        ),
        (
            value[D_GAP_SURPRISE],
            f"{duration(value[D_GAP])} after the previous one; usual gap {duration(value[D_USUAL_GAP])}.",
        ),
    ]
    told = sorted((pair for pair in told if pair[0] > 0.0), key=lambda pair: -pair[0])
    sentences = [text for number, (surprise, text) in enumerate(told) if number == 0 or surprise >= WORTH_A_SENTENCE]
    if not any(text.startswith(amount) for text in sentences):
        sentences.append(f"Refund of {amount.removeprefix('-')}." if refund else f"Amount {amount}, usual about {usual}.")
    aggregates = [dict(zip(AGGREGATES, value[DETAILS + PER_WINDOW * w :][:PER_WINDOW], strict=True)) for w in range(len(windows))]
    for days, sums in zip(windows, aggregates, strict=True):
        if sums["n"] > 0:
            one = "payment" if sums["n"] == 1 else "payments"
            span = "day" if days == 1 else f"{days} days"
            sentences.append(f"{sums['n']:.0f} {one} of {money(sums['sa'], exponent)} in all in the {span} before it.")
            break
    evidence: dict[str, Any] = {
        "amount": amount,
        "refund": refund,
        "mode": mode,
        "mode_code": code,
        "score": value[D_SCORE],
        "threshold": value[D_THRESHOLD],
        "p_value": value[D_P_VALUE],
        "surprises": {"amount": value[D_AMOUNT_SURPRISE], "mode": value[D_MODE_SURPRISE], "gap": value[D_GAP_SURPRISE]},
        "usual_amount": usual,
        "seldom_above": seldom_above,
        "log_amount_mean": value[D_MEAN],
        "log_amount_deviation": value[D_DEVIATION],
        "mode_share": value[D_MODE_SHARE] if code >= 0 else None,
        "gap_seconds": int(value[D_GAP]) if value[D_GAP] >= 0 else None,
        "usual_gap_seconds": value[D_USUAL_GAP],
        "card_transactions": int(value[D_CARD_COUNT]),
        "windows": [
            {
                "days": days,
                "cut_short": bool(value[D_CUT_SHORT]),
                **{name: int(number) for name, number in sums.items() if not name.startswith("weight")},
            }
            for days, sums in zip(windows, aggregates, strict=True)
        ],
    }
    return Explanation(
        tuple(sentences[:4]),
        evidence,
        f"this card's {own:,} earlier transactions, with all {int(value[D_POPULATION_COUNT]):,} of the partition counting as "
        f"{prior_weight:g} more; ranked among the partition's last {int(value[D_HELD]):,} scores",
    )
