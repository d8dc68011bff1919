"""Simulated card transactions with frauds: the simulator of the aggregation paper, seeded.

Lim, Sachan and Thing (*Conditional weighted transaction aggregation for credit card fraud detection*, 2014) draw every amount from a
mixture of three normals, of low, medium and high amounts, each cut off below (their Eq. 5). How likely each is depends on the
cardholder, a low, medium or high spender, and on the fraudster: an *active* one makes few large purchases, a *passive* one many that
look ordinary. Their Tables 1–3 hold the numbers; here they are one value, `Tables`, that can be given. A mixture whose row does not add
up to 1 is scaled to (one of the paper's adds up to .99).

What is the paper's: the mixture, the three spenders, the two fraudsters, 10 months of which the first five are without fraud (the
first four of them teach p_c), modes online and offline, an address match that is not given offline, a second family of data sets in
which fraudsters pay as often as holders do.

What is **ours**, because the paper does not print it, or because its text was not at hand when this was written (the numbers in
`TABLES` and `SHARES`): see the defaults of `simulate_cards`. They were set before anything was measured on them, for fraud that is
faster than the holder, as in the paper (whose results move when the rates are made equal).

Such data are easier than life; how much a single column finds is printed by `make papers PAPER=aggregation ARGS="--table difficulty"`.
Use them to see that things work, and to compare detectors with each other; not for promises.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.protocol import MICROSECONDS

DAY = 86_400
MONTH = 30  # days

Row = tuple[float, float, float]


class Tables(NamedTuple):
    """The paper's Tables 1–3, in major units.

    Attributes
    ----------
    amounts
        Mean, standard deviation and least amount of low, medium and high amounts.
    holders
        Probability of a low, medium and high amount for a low, medium and high spender.
    fraudsters
        The same for an active and a passive fraudster.
    """

    amounts: tuple[Row, Row, Row]
    holders: tuple[Row, Row, Row]
    fraudsters: tuple[Row, Row]


TABLES = Tables(
    amounts=((25.0, 12.0, 2.0), (120.0, 40.0, 30.0), (600.0, 250.0, 150.0)),
    holders=((0.85, 0.14, 0.01), (0.62, 0.33, 0.05), (0.45, 0.38, 0.17)),
    fraudsters=((0.10, 0.30, 0.60), (0.60, 0.33, 0.07)),
)
SHARES = (0.5, 0.3, 0.2)  # of low, medium and high spenders among the cards
CREDIT_LIMITS = (2_000, 5_000, 10_000)  # major units, of low, medium and high spenders

Columns = dict[str, NDArray[Any]]


class _Fraudster(NamedTuple):
    """One of the two kinds: transactions a day, days of an episode, the mixture of amounts."""

    rate: float
    days: float
    mixture: Row


class _World(NamedTuple):
    """What all cards of a simulation share; see `simulate_cards`."""

    days: int
    rate: float
    fraudsters: tuple[_Fraudster, ...]
    tables: Tables
    episode_probability: float
    fraud_free: float
    fraud_online: float
    fraud_mismatch: float
    mismatch: float
    merchants: int


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
    equal_rates: bool = False,
    episode_probability: float = 0.15,
    fraud_free: float = 0.5,
    fraud_online: float = 0.95,
    fraud_mismatch: float = 0.9,
    mismatch: float = 0.05,
    merchants: int = 500,
    employees: int = 0,
    tables: Tables = TABLES,
) -> Columns:
    """Simulate every transaction of some cards, in order of time.

    Parameters
    ----------
    cards, days
        How many cards, over how many days. The paper: 10 months.
    seed
        Equal seeds give equal transactions.
    start
        Time of the first day, seconds since 1970 UTC.
    rate, active_rate, passive_rate
        Transactions a day of a card's holder and of the two kinds of fraudster. A holder's own rate spreads about `rate` (gamma, shape
        4); within a day most come between morning and evening (normal about 14:00, standard deviation 4.5 hours). Ours.
    active_days, passive_days
        Length of a fraud episode. Ours.
    equal_rates
        Let fraudsters pay as often as holders do on average, in episodes so much longer or shorter that they make as many payments.
    episode_probability
        Chance that a card has an episode in a month of 30 days, after the fraud-free time; active and passive are as likely. Ours.
    fraud_free
        Share of the days before the first fraud. The paper: frauds in months 6–10.
    fraud_online, fraud_mismatch, mismatch
        Chance that a fraud is online; that the address of an online fraud, and of the holder's own payment, does not match. A holder
        pays online with a probability of the card's own, drawn from Beta(3, 7). Ours.
    merchants
        How many there are; a card visits twelve of them four times out of five. Ours.
    employees
        How many employees the first cards belong to, a card each; 0: no such column.
    tables
        What the paper's Tables 1–3 hold.

    Returns
    -------
    Arrays of one length, by name: `transaction_id`, `card_id`, `merchant_id` and `mode` (str), `at` (int64, microseconds since 1970
    UTC, whole seconds), `amount` and `credit_limit` (int64, minor units), `address_match` (int64, −1 not given, 0, 1), `label` (int8, 1
    fraud); with employees `employee_id` (str, empty where the card is nobody's).

    Raises
    ------
    ValueError
        If there is nothing to simulate, or the tables hold no probabilities.
    """
    if cards < 1 or days < 1:
        raise ValueError(f"cards = {cards}, days = {days}: wanted at least one of each")
    if rate <= 0 or merchants < 1 or not 0 <= employees <= cards:
        raise ValueError(f"rate = {rate}, merchants = {merchants}, employees = {employees}: wanted > 0, ≥ 1, and at most one a card")
    _check(tables)
    kinds = zip((active_rate, passive_rate), (active_days, passive_days), tables.fraudsters, strict=True)
    fraudsters = tuple(
        _Fraudster(rate, often * lasts / rate, mixture) if equal_rates else _Fraudster(often, lasts, mixture)
        for often, lasts, mixture in kinds
    )
    world = _World(
        days, rate, fraudsters, tables, episode_probability, fraud_free, fraud_online, fraud_mismatch, mismatch, merchants
    )  # fmt: skip
    pieces = [_card(np.random.default_rng((seed, card)), card, world) for card in range(cards)]
    seconds, card, amount, online, match, limit, merchant, label = (np.concatenate(column) for column in zip(*pieces, strict=True))
    if not len(seconds):
        raise ValueError(f"cards = {cards}, days = {days}, rate = {rate}: nobody pays anything in that time; wanted more of one of them")
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


def read_tables(file: Path) -> Tables:
    """Tables from a TOML file: `amounts`, `holders` and `fraudsters`, arrays of rows of three numbers.

    Raises
    ------
    ValueError
        If the file holds something else.
    """
    try:
        tables = Tables(**tomllib.loads(file.read_text()))
        _check(tables)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, TypeError, ValueError) as error:
        raise ValueError(f"tables {file}: {error}. Wanted amounts, holders and fraudsters, rows of three numbers each") from None
    return tables


def _check(tables: Tables) -> None:
    """Refuse tables of another shape, and rows that are no probabilities."""
    shapes = {"amounts": (3, 3), "holders": (3, 3), "fraudsters": (2, 3)}
    for name, shape in shapes.items():
        rows = np.array(getattr(tables, name), np.float64)
        if rows.shape != shape or not np.isfinite(rows).all() or (rows < 0).any():
            raise ValueError(f"tables: {name} = {getattr(tables, name)}: wanted {shape[0]} rows of three numbers, none negative")
        if name != "amounts" and not np.allclose(rows.sum(axis=1), 1.0, atol=0.02):
            raise ValueError(f"tables: {name} = {getattr(tables, name)}: wanted rows that add up to 1")


def _card(rng: np.random.Generator, card: int, world: _World) -> tuple[NDArray[Any], ...]:
    """One card's transactions and its fraudsters', in columns; times in seconds since the start."""
    days, tables, merchants = world.days, world.tables, world.merchants
    spender = int(rng.choice(3, p=SHARES))
    p_online = rng.beta(3.0, 7.0)
    favourites = rng.integers(0, merchants, 12)
    own = rng.poisson(world.rate * rng.gamma(4.0, 0.25) * days)
    times = [_daytime(rng, rng.integers(0, days, own))]
    amounts, online = [_amounts(rng, tables, tables.holders[spender], own)], [rng.random(own) < p_online]
    match = [rng.random(own) >= world.mismatch]
    shops = [np.where(rng.random(own) < 0.8, rng.choice(favourites, own), rng.integers(0, merchants, own))]
    labels = [np.zeros(own, np.int64)]
    first = world.fraud_free * days
    while first < days:
        length = min(float(MONTH), days - first)
        if rng.random() < world.episode_probability * length / MONTH:
            thief = world.fraudsters[int(rng.integers(0, 2))]
            begin = first + length * rng.random()
            lasts = min(thief.days, days - begin)
            stolen = rng.poisson(thief.rate * lasts)
            times.append(((begin + lasts * rng.random(stolen)) * DAY).astype(np.int64))
            amounts.append(_amounts(rng, tables, thief.mixture, stolen))
            online.append(rng.random(stolen) < world.fraud_online)
            match.append(rng.random(stolen) >= world.fraud_mismatch)
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
        np.full(n, 100 * CREDIT_LIMITS[spender], np.int64),
        np.concatenate(shops),
        np.concatenate(labels),
    )


def _amounts(rng: np.random.Generator, tables: Tables, mixture: Row, n: int) -> NDArray[np.int64]:
    """Minor units, Eq. (5): from the mixture of three normals, each cut off at its least amount."""
    chances = np.array(mixture) / np.sum(mixture)
    parts = np.array(tables.amounts)[rng.choice(3, n, p=chances)].reshape(n, 3)
    drawn = np.maximum(parts[:, 2], parts[:, 0] + parts[:, 1] * rng.standard_normal(n))
    return np.asarray(np.round(100.0 * drawn), np.int64)


def _daytime(rng: np.random.Generator, day: NDArray[np.int64]) -> NDArray[np.int64]:
    """Seconds since the start: on these days, most of them between morning and evening."""
    hour = np.clip(14.0 + 4.5 * rng.standard_normal(len(day)), 0.0, 23.99)
    return np.asarray(day * DAY + np.floor(hour * 3600.0), np.int64)
