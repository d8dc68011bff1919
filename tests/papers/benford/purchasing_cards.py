"""Real amounts: does the log-normal law hold on 95,076 purchases with 1,634 cards, and what does the amounts' own law do for them?

The data carry no labels: a rejected card is not a false alarm for certain. What can be told for certain is what a limit alone does:
amounts drawn from *other* cards' purchases and cut at M have nothing to tell except that they are cut. So the cards are split in
two halves; one makes the references, the other is tested.

Repeated amounts (the same fee again and again) are a test of their own. Here, as in the detector, the digits are those of the
*distinct* amounts of a card.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
from scipy.stats import chi2

from detectors.benford.empirical import PRIOR_AMOUNTS, empirical_law, semi_parametric_law
from detectors.benford.fit_check import check_log_normal
from detectors.benford.reference import benford_probabilities, digit_probabilities
from state.log_histogram import LARGEST, histogram_of
from tests.papers.benford.counted import count_digits

FILE = "employees/nigrini_purchasing_cards_2010.parquet"
LEAST, LEVEL = 100, 0.05
DRAWN = 1_000  # amounts a set
LIMITS = (250, 500, 1_000, 2_500, None)  # the last: none


def place() -> Path | None:
    """Where the purchases lie: under ``$NILOMETER_DATA`` or ``../shared/data``; None where they do not."""
    root = Path(__file__).resolve().parents[3]
    for folder in (os.environ.get("NILOMETER_DATA"), root.parent / "shared" / "data"):
        if folder and (Path(folder) / FILE).is_file():
            return Path(folder) / FILE
    return None


def purchases(path: Path, *, distinct: bool) -> tuple[np.ndarray, np.ndarray]:
    """Cards (n,) as numbers, and amounts in cents (n,); with `distinct`, an amount once a card, where it first stands."""
    import pyarrow.parquet as pq

    table = pq.read_table(path, columns=["card", "amount"])
    _, cards = np.unique(np.array(table["card"].to_pylist()), return_inverse=True)
    amounts = np.round(100.0 * table["amount"].to_numpy()).astype(np.int64)
    if distinct:
        _, first = np.unique(np.stack([cards, amounts]), axis=1, return_index=True)
        cards, amounts = cards[np.sort(first)], amounts[np.sort(first)]
    return cards, amounts


def laws(amounts: np.ndarray, limit: int | None) -> dict[str, np.ndarray]:
    """The references that a half of the cards makes for amounts of at most `limit` (major units)."""
    logs, high = np.log10(amounts) - 2.0, LARGEST if limit is None else 100 * limit + 1
    mu, sigma = logs.mean(), logs.std(ddof=1)
    histogram = histogram_of(amounts)
    mixed, own = np.zeros(9), np.zeros(9)
    empirical_law(histogram, 1, high, own)
    semi_parametric_law(histogram, mu, sigma, 1, high, 2, PRIOR_AMOUNTS, mixed)
    return {
        "Benford": benford_probabilities(),
        "log-normal": digit_probabilities(mu, sigma, 0.01, math.inf if limit is None else high / 100.0),
        "empirical": own,
        "semi-parametric": mixed,
    }


def report(path: Path, sets: int, seed: int = 0) -> list[str]:
    """The fit check, what a limit alone does, and every card against the other half's references."""
    lines = ["Does the log-normal hold for the digits below a limit? *holds for*: postings up to which a 5 % test rejects at most 7 %.", ""]
    lines += [
        "| amounts | limit | amounts below | mean deviation of digits | p | holds for | for 1,000? |",
        "|---|--:|--:|--:|--:|--:|---|",
    ]
    for distinct in (False, True):
        _, amounts = purchases(path, distinct=distinct)
        logs = np.log10(amounts) - 2.0
        histogram = histogram_of(amounts)
        for limit in LIMITS:
            high = LARGEST if limit is None else 100 * limit + 1
            check = check_log_normal(histogram, float(logs.mean()), float(logs.std(ddof=1)), high=high)
            lines.append(
                f"| {'distinct' if distinct else 'all'} | {'none' if limit is None else f'{limit:,}'} | {check.amounts:,} |"
                f" {check.deviation:.4f} | {check.p_value:.1g} | {check.holds_for:,.0f} | {'yes' if check.holds(DRAWN) else 'no'} |"
            )

    cards, amounts = purchases(path, distinct=True)
    rng = np.random.default_rng(seed)
    teaches = rng.permutation(cards.max() + 1) % 2 == 0
    names = list(laws(amounts, None))
    lines += ["", f"What a limit alone does: {sets:,} sets of {DRAWN:,} distinct amounts of the tested half; per cent rejected at 5 %.", ""]
    lines += ["| limit | " + " | ".join(names) + " |", "|--:|" + "--:|" * len(names)]
    for limit in LIMITS:
        there = amounts <= (LARGEST if limit is None else 100 * limit)
        counts = count_digits(amounts[there & ~teaches[cards]])
        drawn = rng.multinomial(DRAWN, counts / counts.sum(), sets)
        cells = [f"{100 * _rejected(drawn, law).mean():.0f}" for law in laws(amounts[teaches[cards]], limit).values()]
        lines.append(f"| {'none' if limit is None else f'{limit:,}'} | " + " | ".join(cells) + " |")

    lines += ["", f"Cards with {LEAST} and more amounts up to 2,500, each against the references of the half that it is not in:", ""]
    lines += ["| amounts | cards | " + " | ".join(names) + " |", "|---|--:|" + "--:|" * len(names)]
    for distinct in (False, True):
        cards, amounts = purchases(path, distinct=distinct)
        kept = amounts <= 250_000
        references = {half: laws(amounts[kept & (teaches[cards] == half)], 2_500) for half in (False, True)}
        tested, rejected = 0, dict.fromkeys(names, 0)
        for card in range(len(teaches)):
            counts = count_digits(amounts[kept & (cards == card)])
            if counts.sum() >= LEAST:
                tested += 1
                for name, law in references[not teaches[card]].items():
                    rejected[name] += int(_rejected(counts[None], law)[0])
        lines.append(
            f"| {'distinct' if distinct else 'all'} | {tested} | " + " | ".join(f"{100 * r / tested:.0f}" for r in rejected.values()) + " |"
        )
    return lines


def _rejected(counts: np.ndarray, law: np.ndarray) -> np.ndarray:
    expected = counts.sum(axis=1, keepdims=True) * law
    x = np.divide((counts - expected) ** 2, expected, out=np.zeros(expected.shape), where=expected > 0).sum(axis=1)
    return x > chi2.isf(LEVEL, int((law > 0).sum()) - 1)
