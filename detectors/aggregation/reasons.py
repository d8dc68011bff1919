"""An alerting transaction in sentences, from the numbers that were noted when it alerted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from detectors.aggregation import features
from detectors.aggregation.driving import sentence, shares
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
from detectors.wording import instant

WORTH_A_SENTENCE = math.log(10.0)  # a surprise of one in ten; the largest is always told
WEIGHTY = 8  # contributions that stand in the evidence
FEW = 10  # payments of a card: with fewer its normal is as much that of all cards
HOUR = 3_600_000_000  # microseconds

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
    '1 payment in 1,200'
    """
    if surprise > 23.0:
        return "less than 1 payment in ten billion"
    return f"1 payment in {float(f'{math.exp(surprise):.2g}'):,.0f}"


def explain(
    detail: Floats, names: Sequence[str], windows: Sequence[int], mode_names: Sequence[str], exponent: int, budget: Mapping[str, Any]
) -> Explanation:
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
    budget
        What stands in the alert as its budget where expected loss decides.
    """
    at = HEAD + FLOATS + INTEGERS
    floats, integers = detail[HEAD : HEAD + FLOATS].tolist(), detail[HEAD + FLOATS : at].tolist()
    vector, contributions = detail[at : at + len(names)], detail[at + len(names) :]
    value = dict(zip(names, vector.tolist(), strict=True))
    by_cost = int(detail[D_RULE]) == COST
    own, share, gap = int(integers[UNIT]) - 1, floats[MODE_SHARE], integers[GAP_BEFORE]
    amount, usual, spread = (money(number, exponent) for number in (value["amount"], value["own_mean"], floats[SPREAD]))
    paid = _mode(value, share, mode_names)
    lately = _lately(value, windows, exponent)

    rarity = value["surprise_amount"]
    ratio = value["amount_ratio"]
    known = f"{own:,} earlier payment{'' if own == 1 else 's'}" + ("" if own >= FEW else ", the rest is what all cards pay")
    size = f"{amount}, {ratio:,.3g} times the card's usual" if ratio >= 1.0 else f"{amount}; usual"
    told = [
        (rarity, f"{size} {usual} ± {spread} (from {known}): {once_in(rarity)} is so large."),
        (value["surprise_mode"], "" if math.isnan(share) else f"Paid {paid}, as {100 * share:.2g} % of the card's payments are."),
        (value["surprise_gap"], f"{duration(gap)} after the card's last payment; usual are {duration(floats[USUAL])}."),
    ]
    told = sorted((pair for pair in told if pair[0] > 0.0 and pair[1]), key=lambda pair: -pair[0])
    normal = [text for number, (surprise, text) in enumerate(told) if number == 0 or surprise >= WORTH_A_SENTENCE]
    if not any(text.startswith(amount) for text in normal):
        refund = f"Refund of {amount.removeprefix('-')}"
        normal.append(f"{refund}." if value["amount"] < 0 else f"{amount}; the card's usual is {usual} ± {spread} (from {known}).")
    if lately:
        normal.append(lately)
    driving: dict[str, float] = {}
    if by_cost:
        driving = shares(names, contributions)
        says = {
            "merchant": lambda: _merchant(value, contributions, names),
            "amount": lambda: f"{ratio:,.3g} times the card's usual {usual}",
            "payment mode": lambda: paid if math.isnan(share) else f"paid {paid}, as {100 * share:.2g} % of the card's payments",
            "address": lambda: (
                "does not match" if value["address_mismatch"] > 0 else "matches" if value["address_match"] > 0 else "not given"
            ),
            "credit limit": lambda: f"{100 * value['limit_share']:.2g} % of it at once",
            "timing": lambda: _timing(value, gap),
            "spending of late": lambda: lately.removesuffix(".").replace("In the", "in the") or f"none in {windows[-1]} days",
            "unusual amounts of late": lambda: f"{value[f'n_big_{windows[-1]}d']:.0f} in {windows[-1]} days",
        }
        likely = f"{100 * detail[D_PROBABILITY]:.3g} % likely a fraud (alerts begin at {100 * detail[D_THRESHOLD]:.3g} %)"
        sentences = [f"{likely}, by the model of {_hour(int(detail[D_VERSION]))}.", sentence(driving, says), *normal[:2]]
    else:
        stranger = 100.0 * (1.0 - floats[P_VALUE])
        sentences = [
            f"Stranger for its card than {stranger:.4g} % of the last {int(integers[SEEN]):,} transactions are for theirs.",
            *normal[:3],
        ]
    weighty = np.argsort(-np.abs(contributions), kind="stable")[:WEIGHTY].tolist() if by_cost else []
    rounded = significant(vector, 6).tolist()
    if len(names) > MOST_FEATURES:  # an alert has eight kilobytes: those of the longest window, and what is not of a window
        last = f"_{windows[-1]}d"
        kept = {name: x for name, x in zip(names, rounded, strict=True) if name in features.FIXED_NAMES or name.endswith(last)}
    else:
        kept = dict(zip(names, rounded, strict=True))
    evidence: dict[str, Any] = {
        "rule": RULES[int(detail[D_RULE])],
        "model_version": int(detail[D_VERSION]) if detail[D_VERSION] >= 0 else None,
        "fraud_probability": _or_none(float(detail[D_PROBABILITY])),
        "expected_loss": _or_none(float(detail[D_LOSS])),
        "amount": amount,
        "refund": value["amount"] < 0,
        "mode": paid,
        "unusualness": floats[SCORE],
        "p_value": _or_none(floats[P_VALUE]),
        "usual_amount": usual,
        "spread": spread,
        "mode_share": _or_none(share),
        "gap_seconds": int(gap) if gap >= 0 else None,
        "usual_gap_seconds": floats[USUAL],
        "card_transactions": own,
        "cut_short": bool(integers[CUT_SHORT]),
        "because": {subject: float(f"{part:.3g}") for subject, part in driving.items()},
        "contributions": {names[f]: float(f"{contributions[f]:.4g}") for f in weighty if contributions[f] != 0.0},
        "features": kept,
    }
    return Explanation(
        tuple(sentences),
        evidence,
        f"this card's {own:,} earlier transactions and all cards' normal"
        + ("" if by_cost else f"; ranked among the partition's last {int(integers[SEEN])} scores"),
        basis="cost: expected loss above the cost of a review" if by_cost else None,
        guarantee="none on the number of false alarms: an alert is one that saves more than it costs" if by_cost else None,
        budget=budget if by_cost else None,
    )


def significant(values: Floats, digits: int) -> Floats:
    """Numbers to so many significant digits, as their decimals would be read.

    >>> significant(np.array([19733.0, 0.123456789, -2.5e-9, 0.0, 93207123.0]), 6).tolist()
    [19733.0, 0.123457, -2.5e-09, 0.0, 93207100.0]
    """
    size = np.floor(np.log10(np.abs(values), where=values != 0.0, out=np.zeros(len(values))))
    power = 10.0 ** np.abs(digits - 1 - size)
    fine = size <= digits - 1
    rounded: Floats = np.where(fine, np.rint(values * np.where(fine, power, 1.0)) / power, np.rint(values / power) * power)
    return rounded


def _mode(value: Mapping[str, float], share: float, mode_names: Sequence[str]) -> str:
    mode = next((name for name in mode_names if value[f"mode_{name}"] > 0), None)
    return mode if mode is not None else "mode not given" if math.isnan(share) else "in a mode outside the table"


def _lately(value: Mapping[str, float], windows: Sequence[int], exponent: int) -> str:
    """What came in the shortest window that holds anything."""
    for days in windows:
        if value[f"n_{days}d"] > 0:
            count, span = int(value[f"n_{days}d"]), "day" if days == 1 else f"{days} days"
            return f"In the {span} before: {count:,} payment{'' if count == 1 else 's'}, {money(value[f'sa_{days}d'], exponent)} in all."
    return ""


def _merchant(value: Mapping[str, float], contributions: Floats, names: Sequence[str]) -> str:
    weight = dict(zip(names, contributions.tolist(), strict=True))
    name = max((f"merchant_{days}d" for days in features.MERCHANT_DAYS), key=lambda each: weight[each])
    return f"{100 * value[name]:.2g} % frauds among its payments of {name.split('_')[1][:-1]} days whose outcome is known"


def _address(value: Mapping[str, float]) -> str:
    return "does not match" if value["address_mismatch"] > 0 else "matches" if value["address_match"] > 0 else "not given"


def _timing(value: Mapping[str, float], gap: float) -> str:
    when = " at night" if value["night"] > 0 else " on a weekend" if value["weekend"] > 0 else ""
    return f"{duration(gap)} after the card's last payment{when}" if gap >= 0 else f"the card's first payment{when}"


def _hour(version: int) -> str:
    """A model's version as the hour that it is: ``2018-04-22 07:00 UTC``."""
    return instant(version * HOUR)[:16].replace("T", " ") + " UTC"


MOST_FEATURES = 150


def _or_none(number: float) -> float | None:
    return None if math.isnan(number) else number
