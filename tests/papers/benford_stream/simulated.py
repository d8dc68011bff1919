"""Simulated employees, at the paper's setting, through the detector itself: how often it is wrong, how soon it is right.

Honest amounts are log-normal with median 350 and sigma 0.6 (of log10), drawn again until they keep the limit of 5,000; fraud amounts are
uniform just below 100, the approval limit. One posting in fifty repeats one of the employee's own amounts. What the detector knows of
the population (mu, sigma, how employees scatter, how often amounts repeat) it has learned from 200 other employees.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from detectors.benford.detector import BenfordDetector, BenfordState
from detectors.benford.digits import leading_digits
from detectors.benford.ebh import e_bh_threshold
from detectors.benford.fit import chi_square_tail
from detectors.benford.fold import PARTS
from detectors.benford.reference import digit_probabilities
from detectors.benford.rows import BAND_TEST, DIGITS, ONSET, REPEATS_TEST
from detectors.benford.shiryaev_roberts import boundary
from detectors.protocol import Columns, Verdicts, fold
from state.keys import PackedKeys

MU, SIGMA, LIMIT, APPROVAL = math.log10(350.0), 0.6, 500_000, 10_000  # limits in cents
REPEATED = 0.02
BEGIN, MINUTE = 1_767_225_600_000_000, 60_000_000
LEVEL = 0.05
LOOK = 100  # postings between two looks of the chi-square test
PILOTS, PILOT_POSTINGS = 200, 1_000
AT_ONCE = 100  # employees folded at once: evidence of every posting is kept
NAMES = {DIGITS: "digits", ONSET: "onset", BAND_TEST: "band", REPEATS_TEST: "repeats"}


def amounts_of(
    rng: np.random.Generator, employees: int, postings: int, fraud: float = 0.0, onset: int = 0, repeated: float = REPEATED
) -> NDArray[np.int64]:
    """Draw amounts in cents, shape (employees, postings)."""
    drawn = 10.0 ** rng.normal(MU + 2.0, SIGMA, (employees, postings))
    while (above := drawn >= LIMIT + 1).any():
        drawn[above] = 10.0 ** rng.normal(MU + 2.0, SIGMA, int(above.sum()))
    amounts = np.maximum(drawn.astype(np.int64), 1)
    again = rng.random((employees, postings)) < repeated
    for i in range(1, postings):
        rows = np.flatnonzero(again[:, i])
        amounts[rows, i] = amounts[rows, rng.integers(max(0, i - 100), i, len(rows))]
    guilty = rng.random((employees, postings)) < fraud
    guilty[:, :onset] = False
    amounts[guilty] = rng.integers(9_000, 10_000, int(guilty.sum()))
    return amounts


def columns_of(amounts: NDArray[np.int64], first: int = 0) -> Columns:
    """Amounts (employees, postings) as postings number `first` on of employees 0, 1, …, one employee after another."""
    employees, postings = amounts.shape
    n = amounts.size
    at = np.tile(BEGIN + MINUTE * (first + np.arange(postings)), employees)
    zeros = np.zeros(n, np.int64)
    return Columns(
        PackedKeys.pack(np.repeat(np.arange(employees), postings).astype(str).tolist()), at,
        {
            "amount": np.ascontiguousarray(amounts).reshape(-1), "limit": np.full(n, LIMIT), "approval_limit": np.full(n, APPROVAL),
            "upstream": zeros, "partition": zeros, "offset": np.arange(n),
        },
    )  # fmt: skip


def lessons(detector: BenfordDetector, postings: int, every: int, fraud: float = 0.0, seed: int = 98) -> list[dict[str, object]]:
    """What 200 other employees teach after each `every` of their postings; four of them are fraudsters, at that share."""
    rng, teacher, told = np.random.default_rng(seed), detector.new_state(), []
    amounts = amounts_of(rng, PILOTS, postings)
    amounts[: PILOTS // 50] = amounts_of(rng, PILOTS // 50, postings, fraud)
    for first in range(0, postings, every):
        watch(detector, teacher, amounts[:, first : first + every], first)
        told.append({"population": detector.merged([detector.contribution(teacher) or {}])["population"]})
    return told


def informed(detector: BenfordDetector) -> BenfordState:
    """A state that has adopted what 200 other employees teach by their first thousand postings."""
    state = detector.new_state()
    detector.adopt(state, _first_lesson())
    return state


@cache
def _first_lesson() -> dict[str, object]:
    return lessons(BenfordDetector(), PILOT_POSTINGS, PILOT_POSTINGS)[0]


def watch(detector: BenfordDetector, state: BenfordState, amounts: NDArray[np.int64], first: int = 0) -> dict[int, NDArray[np.float64]]:
    """Fold amounts; return the evidence of each test after every posting, (employees, postings)."""
    verdicts = Verdicts.join([part for _, part in fold(detector, state, columns_of(amounts, first))])
    return {test: verdicts.evidence[name].reshape(amounts.shape) for test, name in NAMES.items()}


def crossings(evidence: dict[int, NDArray[np.float64]], levels: dict[int, float]) -> dict[int, NDArray[np.int64]]:
    """The posting (from 1) at which each employee's evidence first reaches what the level asks for; 0 where it never does."""
    found = {}
    for test, values in evidence.items():
        if test == ONSET:
            held = np.array([boundary(levels[test], t) for t in range(1, values.shape[1] + 1)])
        else:
            held = np.full(values.shape[1], 1.0 / levels[test])
        crossed = values >= held
        found[test] = np.where(crossed.any(axis=1), crossed.argmax(axis=1) + 1, 0)
    return found


EACH_FIVE = dict.fromkeys(NAMES, LEVEL)
BY_DEFAULT = {test: 0.005 / PARTS[test] for test in NAMES}


def many(
    employees: int, postings: int, *, fraud: float = 0.0, onset: int = 0, seed: int = 1, every: int = 0
) -> dict[str, dict[int, NDArray[np.int64]]]:
    """Crossings of many employees at 5 % each and at the default budget.

    `every`: postings after which a reference is adopted that other employees have taught by as many of theirs, a few of them fraudsters.
    """
    rng, detector = np.random.default_rng(seed), BenfordDetector()
    told = lessons(detector, postings, every, 0.01) if every else []
    found: dict[str, list[dict[int, NDArray[np.int64]]]] = {"level": [], "budget": []}
    for first in range(0, employees, AT_ONCE):
        state = informed(detector)
        amounts = amounts_of(rng, min(AT_ONCE, employees - first), postings, fraud, onset)
        if every:
            parts = []
            for lesson, start in zip(told, range(0, postings, every), strict=True):
                parts.append(watch(detector, state, amounts[:, start : start + every], start))
                detector.adopt(state, lesson)
            evidence = {test: np.concatenate([part[test] for part in parts], axis=1) for test in NAMES}
        else:
            evidence = watch(detector, state, amounts)
        found["level"].append(crossings(evidence, EACH_FIVE))
        found["budget"].append(crossings(evidence, BY_DEFAULT))
    return {name: {test: np.concatenate([part[test] for part in parts]) for test in NAMES} for name, parts in found.items()}


def naive_chi_square(employees: int, postings: int, *, fraud: float = 0.0, seed: int = 1) -> float:
    """The share of employees whom a chi-square test at 5 %, looked at every 100 postings over all so far, ever rejects."""
    law = digit_probabilities(MU, SIGMA, 0.0, LIMIT / 100.0)
    law = (1.0 - fraud) * law + fraud * (np.arange(9) == 8)
    null = digit_probabilities(MU, SIGMA, 0.0, LIMIT / 100.0)
    counts = np.random.default_rng(seed).multinomial(LOOK, law, (employees, postings // LOOK)).cumsum(axis=1)
    wanted = null * LOOK * np.arange(1, postings // LOOK + 1)[:, None]
    x = ((counts - wanted) ** 2 / wanted).sum(axis=2)
    threshold = next(t / 100.0 for t in range(0, 10_000) if chi_square_tail(t / 100.0, 8) <= LEVEL)
    return float((x >= threshold).any(axis=1).mean())


def false_discoveries(
    repeats: int, *, employees: int = 1_000, fraudsters: int = 20, postings: int = 3_000, fraud: float = 0.02
) -> dict[str, tuple[float, float]]:
    """Mean false-discovery proportion and power of e-BH at 5 % on the e-values at the end, by test, and on their mean."""
    detector = BenfordDetector()
    told: dict[str, list[tuple[float, float]]] = {name: [] for name in ("digits", "band", "repeats", "their mean")}
    for repeat in range(repeats):
        rng, ends = np.random.default_rng(1_000 + repeat), []
        for first in range(0, employees, AT_ONCE):
            state = informed(detector)
            amounts = amounts_of(rng, AT_ONCE, postings)
            if first == 0:
                amounts[:fraudsters] = amounts_of(rng, fraudsters, postings, fraud)
            evidence = watch(detector, state, amounts)
            ends.append(np.stack([evidence[test][:, -1] for test in (DIGITS, BAND_TEST, REPEATS_TEST)]))
        e = np.concatenate(ends, axis=1)
        for name, values in zip(told, [*e, e.mean(axis=0)], strict=True):
            taken = np.flatnonzero(values >= e_bh_threshold(values, employees, LEVEL))
            true = int((taken < fraudsters).sum())
            told[name].append(((len(taken) - true) / max(len(taken), 1), true / fraudsters))
    return {name: (float(np.mean([f for f, _ in each])), float(np.mean([p for _, p in each]))) for name, each in told.items()}


def share(crossed: NDArray[np.int64], after: int = 0) -> float:
    """The share of employees alarmed, those after a posting."""
    return float(np.mean(crossed > after))


def median(crossed: NDArray[np.int64], after: int = 0) -> float:
    """The median posting of those alarmed after one, counted from it; nan where none is."""
    found = crossed[crossed > after]
    return float(np.median(found)) - after if len(found) else math.nan


def differing(rng: np.random.Generator, employees: int, postings: int, kappa: float) -> NDArray[np.int64]:
    """Honest amounts (employees, postings) of people whose digits follow laws of their own, scattered around the common one.

    Everybody's law is drawn from Dirichlet(κ · common); an amount is any honest one that begins with the digit drawn.
    """
    law = digit_probabilities(MU, SIGMA, 0.0, LIMIT / 100.0)
    pool = amounts_of(rng, 100, 10_000, repeated=0.0).reshape(-1)
    leading = leading_digits(pool)
    by_digit = [pool[leading == d] for d in range(1, 10)]
    amounts = np.empty((employees, postings), np.int64)
    for i, own in enumerate(rng.dirichlet(kappa * law, employees)):
        digits = rng.choice(9, postings, p=own)
        for d in range(9):
            rows = np.flatnonzero(digits == d)
            amounts[i, rows] = rng.choice(by_digit[d], len(rows))
    return amounts


def where_people_differ(employees: int, postings: int, kappa: float, *, allowed: bool, seed: int = 6) -> tuple[float, float]:
    """The share of differing honest employees whom the digits test at 5 % ever alarms, and ρ: estimated from others, or taken as 0."""
    rng, detector = np.random.default_rng(seed), BenfordDetector()
    teacher, first = detector.new_state(), _first_lesson()
    detector.adopt(teacher, first)
    watch(detector, teacher, differing(rng, PILOTS, PILOT_POSTINGS, kappa))
    told = detector.merged([detector.contribution(teacher) or {}])
    crossed, rho = [], 0.0
    for _ in range(0, employees, AT_ONCE):
        state = detector.new_state()
        detector.adopt(state, {"population": told["population"]} if allowed else first)
        rho = float(state.population.scatters[0])
        crossed.append(crossings(watch(detector, state, differing(rng, AT_ONCE, postings, kappa)), EACH_FIVE)[DIGITS])
    return share(np.concatenate(crossed)), rho
