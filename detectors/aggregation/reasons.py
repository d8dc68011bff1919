"""An alerting transaction in sentences, from the numbers that were noted when it alerted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from detectors.aggregation import features
from detectors.aggregation.fold import (
    CUT_SHORT,
    FLOATS,
    GAP_BEFORE,
    INTEGERS,
    MODE_SHARE,
    P_VALUE,
    SCORE,
    SEEN,
    SPREAD,
    UNIT,
    USUAL,
)
from detectors.aggregation.model import ActingModel
from detectors.aggregation.policy import COST, RULES
from detectors.protocol import Explanation, Floats, Ints

WORTH_A_SENTENCE = math.log(10.0)  # a surprise of one in ten; the largest is always told
TOLD_CONTRIBUTIONS = 3
WEIGHTY = 8  # contributions that stand in the evidence

# What is noted of an alerting transaction: these, then its rows of floats, integers, features, and of the features' contributions.
D_RULE, D_VERSION, D_PROBABILITY, D_LOSS, D_THRESHOLD = range(5)
HEAD = 5


def detail_of(
    model: ActingModel, rows: Ints, decided: Ints, said: Floats, threshold: Floats, floats: Floats, integers: Ints, vectors: Floats
) -> Floats:
    """What is noted of these rows, shape (rows, …); contributions are NaN where no model decided."""
    width = HEAD + FLOATS + INTEGERS + 2 * vectors.shape[1]
    detail = np.full((len(rows), width), np.nan)
    at = HEAD + FLOATS + INTEGERS
    for place, row in enumerate(rows.tolist()):
        noted = detail[place]
        noted[D_RULE], noted[D_VERSION], noted[D_THRESHOLD] = decided[row, 0], model.version, threshold[row]
        noted[D_PROBABILITY], noted[D_LOSS] = said[row]
        noted[HEAD : HEAD + FLOATS], noted[HEAD + FLOATS : at] = floats[row], integers[row]
        noted[at : at + vectors.shape[1]] = vectors[row]
        if decided[row, 0] == COST:
            noted[at + vectors.shape[1] :] = model.contributions(vectors[row])
    return detail


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


def explain(detail: Floats, names: Sequence[str], windows: Sequence[int], mode_names: Sequence[str], exponent: int) -> Explanation:
    """Return sentences, what decided first, then the comparison with the card's normal; evidence; and what it was compared with.

    Parameters
    ----------
    detail
        The numbers of one alerting row, as `detail_of` noted them.
    names
        The features.
    windows
        In days.
    mode_names
        Names of the codes 0, 1, …
    exponent
        Decimal digits of the minor unit.
    """
    at = HEAD + FLOATS + INTEGERS
    floats, integers = detail[HEAD : HEAD + FLOATS].tolist(), detail[HEAD + FLOATS : at].tolist()
    value = dict(zip(names, detail[at : at + len(names)].tolist(), strict=True))
    contribution = dict(zip(names, detail[at + len(names) :].tolist(), strict=True))
    by_cost = int(detail[D_RULE]) == COST
    amount, usual = money(value["amount"], exponent), money(value["own_mean"], exponent)
    spread = money(floats[SPREAD], exponent)
    own = int(integers[UNIT]) - 1
    mode = next((name for name in mode_names if value[f"mode_{name}"] > 0), None)
    share = floats[MODE_SHARE]
    paid = mode if mode is not None else "mode not given" if math.isnan(share) else "in a mode outside the table"
    refund = value["amount"] < 0
    who = f"usual {usual} ± {spread} over {own:,} earlier payment{'' if own == 1 else 's'} of the card and what all cards spend"
    told = [
        (value["surprise_amount"], f"{amount}; {who}: so much is expected of {once_in(value['surprise_amount'])}."),
        (
            value["surprise_mode"],
            "" if math.isnan(share) else f"Paid {paid}, which this card does {100 * share:.2g} % of the time.",
        ),
        (
            value["surprise_gap"],
            f"{duration(integers[GAP_BEFORE])} after the previous one; usual gap {duration(floats[USUAL])}.",
        ),
    ]
    told = sorted((pair for pair in told if pair[0] > 0.0 and pair[1]), key=lambda pair: -pair[0])
    normal = [text for number, (surprise, text) in enumerate(told) if number == 0 or surprise >= WORTH_A_SENTENCE]
    if not any(text.startswith(amount) for text in normal):
        normal.append(f"Refund of {amount.removeprefix('-')}." if refund else f"Amount {amount}; {who}.")
    for days in windows:
        if value[f"n_{days}d"] > 0:
            count = int(value[f"n_{days}d"])
            span = "day" if days == 1 else f"{days} days"
            normal.append(
                f"{count} payment{'' if count == 1 else 's'} of {money(value[f'sa_{days}d'], exponent)} in all in the {span} before it."
            )
            break
    weighty = sorted((name for name in names if contribution[name] != 0.0), key=lambda name: -abs(contribution[name])) if by_cost else []
    sentences = normal[:4]
    if by_cost:
        speaking = [name for name in weighty if contribution[name] > 0.0][:TOLD_CONTRIBUTIONS]
        spoken = ", ".join(f"{name} {value[name]:.4g} ({contribution[name]:+.2f})" for name in speaking) or "no single feature"
        sentences = [
            f"Fraud with a probability of {100 * detail[D_PROBABILITY]:.3g} % (model {int(detail[D_VERSION])}); "
            f"an alert pays above {100 * detail[D_THRESHOLD]:.3g} %.",
            f"What speaks for it most, in log odds: {spoken}.",
            *normal[:3],
        ]
    evidence: dict[str, Any] = {
        "rule": RULES[int(detail[D_RULE])],
        "model_version": int(detail[D_VERSION]) if detail[D_VERSION] >= 0 else None,
        "fraud_probability": _or_none(float(detail[D_PROBABILITY])),
        "expected_loss": _or_none(float(detail[D_LOSS])),
        "amount": amount,
        "refund": refund,
        "mode": paid,
        "unusualness": floats[SCORE],
        "p_value": _or_none(floats[P_VALUE]),
        "usual_amount": usual,
        "spread": spread,
        "mode_share": _or_none(share),
        "gap_seconds": int(integers[GAP_BEFORE]) if integers[GAP_BEFORE] >= 0 else None,
        "usual_gap_seconds": floats[USUAL],
        "card_transactions": own,
        "cut_short": bool(integers[CUT_SHORT]),
        "contributions": {name: float(f"{contribution[name]:.4g}") for name in weighty[:WEIGHTY]},
        "features": {name: float(f"{number:.6g}") for name, number in value.items()},
    }
    if len(names) > MOST_FEATURES:  # an alert has eight kilobytes: those of the longest window, and what is not of a window
        evidence["features"] = {
            name: number
            for name, number in evidence["features"].items()
            if name in features.FIXED_NAMES or name.endswith(f"_{windows[-1]}d")
        }
    return Explanation(
        tuple(sentences),
        evidence,
        f"this card's {own:,} earlier transactions and all cards' normal"
        + ("" if by_cost else f"; ranked among the partition's last {int(integers[SEEN])} scores"),
        basis="cost: expected loss above the cost of a review" if by_cost else None,
        guarantee="none on the number of false alarms: an alert is one that saves more than it costs" if by_cost else None,
    )


MOST_FEATURES = 150


def _or_none(number: float) -> float | None:
    return None if math.isnan(number) else number
