"""Simulated card transactions with frauds, in the spirit of the aggregation paper's simulator, seeded.

Lim, Sachan and Thing (2014) draw every amount from a mixture of three normals (low, medium, high amounts, cut off below), with mixing
probabilities that depend on the cardholder's profile (low, medium or high spender) and other mixtures for two kinds of fraudster:
*active* (few, large purchases) and *passive* (many that look ordinary). Frauds come only after fraud-free months, in episodes of one
card.

What is the paper's: the mixture, the three profiles, the two kinds of fraudster, 10 months of which the first four are fraud-free,
modes online and offline, an address match that is not given offline. What is **ours**, because the paper does not print it or we do
not have it: every number of `SPENDING` and `MIXTURES` below, arrival rates, lengths of episodes, how often a card pays online
(Beta(3, 7) a card; .95 in a fraud), how often addresses do not match (.05; .9 in a fraud), the credit limits, merchants and
employees, the hours of the day.

Such data are easier than life. Use them to see that things work, and to compare detectors with each other; not for promises.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.protocol import MICROSECONDS

DAY = 86_400
MONTH = 30  # days

# Mean, standard deviation and least amount of low, medium and high amounts, in major units. Ours.
SPENDING = ((25.0, 12.0, 2.0), (120.0, 40.0, 30.0), (600.0, 250.0, 150.0))
# Probability of a low, medium and high amount. Ours.
MIXTURES = {
    "low spender": (0.85, 0.14, 0.01),
    "medium spender": (0.62, 0.33, 0.05),
    "high spender": (0.45, 0.38, 0.17),
    "active": (0.10, 0.30, 0.60),
    "passive": (0.60, 0.33, 0.07),
}
PROFILES = ("low spender", "medium spender", "high spender")
PROFILE_SHARES = (0.5, 0.3, 0.2)
CREDIT_LIMITS = (2_000, 5_000, 10_000)  # major units, by profile

Columns = dict[str, NDArray[Any]]


def simulate_cards(
    *,
    cards: int = 200,
    days: int = 300,
    seed: int = 0,
    start: int = 1_700_000_000,
    rate: float = 1.0,
    active_rate: float = 3.0,
    passive_rate: float = 1.5,
    active_days: float = 4.0,
    passive_days: float = 10.0,
    episode_probability: float = 0.15,
    fraud_free: float = 0.4,
    fraud_online: float = 0.95,
    fraud_mismatch: float = 0.9,
    mismatch: float = 0.05,
    merchants: int = 500,
    employees: int = 0,
) -> Columns:
    """Simulate every transaction of some cards, in order of time.

    Parameters
    ----------
    cards, days
        How many cards, over how many days.
    seed
        Equal seeds give equal transactions.
    start
        Time of the first day, seconds since 1970 UTC.
    rate, active_rate, passive_rate
        Transactions a day of a card's holder and of the two kinds of fraudster. A holder's own rate spreads about `rate` (gamma).
    active_days, passive_days
        Length of a fraud episode.
    episode_probability
        Chance that a card has an episode in a month of 30 days, after the fraud-free time.
    fraud_free
        Share of the days before the first fraud.
    fraud_online, fraud_mismatch, mismatch
        Chance that a fraud is online; that the address of an online fraud, and of the holder's own payment, does not match.
    merchants
        How many there are; a card visits a few of them most of the time.
    employees
        How many employees the first cards belong to, a card each; 0: no such column.

    Returns
    -------
    Arrays of one length, by name: `transaction_id`, `card_id`, `merchant_id` and `mode` (str), `at` (int64, microseconds since 1970
    UTC, whole seconds), `amount` and `credit_limit` (int64, minor units), `address_match` (int64, −1 not given, 0, 1), `label` (int8, 1
    fraud); with employees `employee_id` (str, empty where the card is nobody's).

    Raises
    ------
    ValueError
        If there is nothing to simulate.
    """
    if cards < 1 or days < 1:
        raise ValueError(f"cards = {cards}, days = {days}: wanted at least one of each")
    if rate <= 0 or merchants < 1 or not 0 <= employees <= cards:
        raise ValueError(f"rate = {rate}, merchants = {merchants}, employees = {employees}: wanted > 0, ≥ 1, and at most one a card")
    pieces = [
        _card(
            np.random.default_rng((seed, card)), card, days, rate, (active_rate, passive_rate), (active_days, passive_days),
            episode_probability, fraud_free, fraud_online, fraud_mismatch, mismatch, merchants,
        )
        for card in range(cards)
    ]  # fmt: skip
    seconds, card, amount, online, match, limit, merchant, label = (np.concatenate(column) for column in zip(*pieces, strict=True))
    order = np.lexsort((card, seconds))  # numbers follow the time, so that none betrays a fraud
    card, online = card[order], online[order]
    columns: Columns = {
        "transaction_id": np.char.add("tx-", np.char.zfill(np.arange(len(order)).astype(str), 9)),
        "card_id": np.char.add("card-", np.char.zfill(card.astype(str), 6)),
        "at": (start + seconds[order]) * MICROSECONDS,
        "amount": amount[order],
        "mode": np.where(online, "online", "offline"),
        "address_match": np.where(online, match[order], -1),
        "credit_limit": limit[order],
        "merchant_id": np.char.add("merchant-", np.char.zfill(merchant[order].astype(str), 5)),
        "label": label[order].astype(np.int8),
    }
    if employees:
        columns["employee_id"] = np.where(card < employees, np.char.add("employee-", np.char.zfill(card.astype(str), 5)), "")
    return columns


def _card(
    rng: np.random.Generator,
    card: int,
    days: int,
    rate: float,
    fraud_rates: tuple[float, float],
    fraud_days: tuple[float, float],
    episode_probability: float,
    fraud_free: float,
    fraud_online: float,
    fraud_mismatch: float,
    mismatch: float,
    merchants: int,
) -> tuple[NDArray[Any], ...]:
    """One card's transactions and its fraudsters', in columns; times in seconds since the start."""
    profile = int(rng.choice(3, p=PROFILE_SHARES))
    p_online = rng.beta(3.0, 7.0)
    favourites = rng.integers(0, merchants, 12)
    own = rng.poisson(rate * rng.gamma(4.0, 0.25) * days)
    times = [_daytime(rng, rng.integers(0, days, own))]
    amounts, online = [_amounts(rng, PROFILES[profile], own)], [rng.random(own) < p_online]
    match = [rng.random(own) >= mismatch]
    shops = [np.where(rng.random(own) < 0.8, rng.choice(favourites, own), rng.integers(0, merchants, own))]
    labels = [np.zeros(own, np.int64)]
    first = fraud_free * days
    while first < days:
        length = min(float(MONTH), days - first)
        if rng.random() < episode_probability * length / MONTH:
            kind = int(rng.integers(0, 2))
            begin = first + length * rng.random()
            lasts = min(fraud_days[kind], days - begin)
            stolen = rng.poisson(fraud_rates[kind] * lasts)
            times.append(((begin + lasts * rng.random(stolen)) * DAY).astype(np.int64))
            amounts.append(_amounts(rng, ("active", "passive")[kind], stolen))
            online.append(rng.random(stolen) < fraud_online)
            match.append(rng.random(stolen) >= fraud_mismatch)
            shops.append(rng.integers(0, merchants, stolen))
            labels.append(np.ones(stolen, np.int64))
        first += MONTH
    n = own + sum(len(column) for column in labels[1:])
    return (
        np.concatenate(times),
        np.full(n, card, np.int64),
        np.concatenate(amounts),
        np.concatenate(online),
        np.concatenate(match).astype(np.int64),
        np.full(n, 100 * CREDIT_LIMITS[profile], np.int64),
        np.concatenate(shops),
        np.concatenate(labels),
    )


def _amounts(rng: np.random.Generator, mixture: str, n: int) -> NDArray[np.int64]:
    """Minor units, from the mixture of three normals, each cut off at its least amount."""
    parts = np.array(SPENDING)[rng.choice(3, n, p=MIXTURES[mixture])].reshape(n, 3)
    drawn = np.maximum(parts[:, 2], parts[:, 0] + parts[:, 1] * rng.standard_normal(n))
    return np.asarray(np.round(100.0 * drawn), np.int64)


def _daytime(rng: np.random.Generator, day: NDArray[np.int64]) -> NDArray[np.int64]:
    """Seconds since the start: on these days, most of them between morning and evening."""
    hour = np.clip(14.0 + 4.5 * rng.standard_normal(len(day)), 0.0, 23.99)
    return np.asarray(day * DAY + np.floor(hour * 3600.0), np.int64)
