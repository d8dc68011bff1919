"""Card transactions: the aggregates of conditional weighted transaction aggregation, and an unusualness calibrated by rank.

See `equations` (aggregates), `features` (the vector), `unusualness` (score and p-value), `population`, `shares` and `model` (what is
adopted), `fold` (one event's steps and its rules), `policy` (the decision), `noted` and `reasons` (sentences).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from detectors.aggregation import model as models
from detectors.aggregation.decision import DECISION, LOSS, PROBABILITY, RULE, decide_each, no_model, threshold_of
from detectors.aggregation.equations import PAPER, RECENCY
from detectors.aggregation.features import DEFAULT_MODES, DEFAULT_WINDOWS, feature_names
from detectors.aggregation.fold import (
    CUT_SHORT,
    FLOATS,
    INTEGERS,
    P_VALUE,
    REASON,
    SCORE,
    SEEN,
    THRESHOLD,
    UNIT,
    score_then_learn,
)
from detectors.aggregation.groups import MOST_MODES, number_of_groups
from detectors.aggregation.noted import noted
from detectors.aggregation.policy import ALERT, COST, DECISIONS, RULES, new_pace
from detectors.aggregation.population import Population, added_up, merge
from detectors.aggregation.reasons import Words
from detectors.aggregation.shares import KnownShares
from detectors.aggregation.unusualness import needed_scores
from detectors.protocol import Alarms, Build, Columns, Explanation, Floats, Ints, Verdicts
from state import decay
from state.keys import KeyIndex
from state.slab import Slab
from state.snapshot import Section, upgraded
from state.sorted_window import SortedWindow
from state.tiles import MOST_GROUPS as TILE_GROUPS
from state.tiles import TiledWindows
from state.window import SlidingWindows

DAY = 86_400  # seconds
CRITICAL_SHARE = 0.01  # of the budget
MOST_WINDOWS = 24  # each adds thirteen features to every vector
_TXGAP_FORMS = {"paper": PAPER, "recency": RECENCY}
_VERSION = 3
_RULE_NAMES = np.array(RULES)
_DECISION_NAMES = np.array([name.partition(":")[0] for name in DECISIONS])


class CardsState:
    """What a partition remembers: a row per card, what it counts for the population, what it has adopted, and the last scores.

    Attributes
    ----------
    windows
        Rings and sliding sums (`state.window`).
    cards
        Slab with `own` (float64, `state.decay`), `paid` (int64, transactions by mode) and `judged` (int64, those with a verdict).
    population
        Counted and adopted.
    shares
        Merchants' shares of known frauds, adopted.
    model
        The model in force, adopted; its version is −1 while there is none.
    pace, head
        The policy's memory of the last day's alerts.
    turned_away
        How many were late and added, too late, repeated.
    scores
        The partition's last scores.
    """

    def __init__(
        self, keys: KeyIndex, windows: SlidingWindows | TiledWindows, population: Population, features: int, scores: SortedWindow
    ) -> None:
        self.keys = keys
        self.windows = windows
        self.cards = Slab(own=decay.no_sums(), paid=np.zeros(population.modes, np.int64), judged=np.int64(0))
        self.population = population
        self.shares = KnownShares.none()
        self.model = no_model(features)
        self.pace, self.head = new_pace()
        self.turned_away = np.zeros(3, np.int64)
        self.scores = scores


class AggregationDetector:
    """Conditional weighted transaction aggregation (Lim, Sachan, Thing, 2014), with a calibrated unusualness before labels.

    Parameters
    ----------
    epsilon
        ε: alert iff the p-value is at most this; a probability a transaction. Needs 1/ε − 1 past scores of the partition.
    windows
        d: the windows in whole days, ascending. p_c is made of what has left the longest: choose it no shorter than the label delay.
    modes
        The payment modes of the table, by name or by number: codes 0 … len − 1.
    mode_slots
        How many modes are kept apart; codes beyond the table share the slots beyond it (code modulo their number).
    txgap
        Which form of Eq. (3) the features hold: "paper" (w = N − i, as printed) or "recency" (w = i, as described).
    prior_weight
        n₀: how many transactions the population counts as in a card's normal.
    normal_days
        d of a card's own normal, in days: its sums decay with λ = 3/d.
    unusual_ratio
        An amount above this many times the card's own mean is one unusual for the card.
    alerts_per_day
        The most alerts in any 24 hours of the partition, those that save most first; 0: no cap.
    review_cost
        What it costs to look at one alert, in the unit of `fraud_loss`: a model's alert must save more.
    fraud_loss, fraud_loss_share
        What a missed fraud loses: so much, and this share of its amount (minor units). By default the constants of Eq. (6).
    critical_loss
        An alert of an expected loss above this is critical.
    aggregates
        "exact": sums to the second, in whole numbers. "tiles": by quarters of a day, for many cards (see `state.tiles`).
    ring_limit
        The most transactions (in tiles: cells) of a card that the windows hold; beyond it the oldest leave early, and the row says
        `cut_short`.
    calibration
        m: among how many of the partition's last scores a score is ranked.
    quiet_units
        Alerting transactions of a card at most this many apart are one episode.
    key_limit
        The most cards that a partition keeps.
    exponent
        Decimal digits of the currency's minor unit; used in sentences only.

    Raises
    ------
    ValueError
        For a setting that cannot be, by its name.
    """

    name: ClassVar[str] = "aggregation"
    tests: ClassVar[tuple[str, ...]] = ("unusualness",)
    fields: ClassVar[Mapping[str, type]] = MappingProxyType(
        dict.fromkeys(("amount", "mode", "address_match", "credit_limit", "merchant", "transaction"), np.int64)
    )
    unit: ClassVar[str] = "transaction"
    verdict_closes: ClassVar[bool] = False

    def __init__(
        self,
        *,
        epsilon: float = 0.001,
        windows: Sequence[int] = DEFAULT_WINDOWS,
        modes: int | Sequence[str] = DEFAULT_MODES,
        mode_slots: int = 3,
        txgap: str = "paper",
        prior_weight: float = 5.0,
        normal_days: float = 30.0,
        unusual_ratio: float = 2.5,
        alerts_per_day: float = 1_000.0,
        review_cost: float = 1.0,
        fraud_loss: float = 100.0,
        fraud_loss_share: float = 0.0,
        critical_loss: float = 50.0,
        aggregates: str = "exact",
        ring_limit: int = 4096,
        calibration: int = 4000,
        quiet_units: int = 3,
        key_limit: int = 1_000_000,
        exponent: int = 2,
    ) -> None:
        self.mode_names = tuple(f"mode {code}" for code in range(modes)) if isinstance(modes, int) else tuple(modes)
        if not 0.0 < epsilon < 1.0:
            raise ValueError(f"epsilon = {epsilon}: wanted a probability strictly between 0 and 1")
        if not 0 < calibration <= 1_000_000:
            raise ValueError(f"calibration = {calibration}: wanted between 1 and 1,000,000 scores")
        self.needed = needed_scores(epsilon)
        if self.needed > calibration:
            raise ValueError(f"epsilon = {epsilon}: needs {self.needed:,} past scores, calibration keeps only {calibration:,}")
        if (
            not 1 <= len(windows) <= MOST_WINDOWS
            or any(d < 1 for d in windows)
            or list(windows) != sorted(set(windows))
            or windows[-1] > 366
        ):
            raise ValueError(f"windows = {list(windows)}: wanted 1 to {MOST_WINDOWS} lengths in whole days, ascending, at most 366")
        if not 0 < len(self.mode_names) <= mode_slots <= MOST_MODES:
            raise ValueError(
                f"mode_slots = {mode_slots}: wanted at least one for each of the {len(self.mode_names)} modes, at most {MOST_MODES}"
            )
        if txgap not in _TXGAP_FORMS:
            raise ValueError(f"txgap = {txgap!r}: wanted 'paper' or 'recency'")
        if aggregates not in ("exact", "tiles"):
            raise ValueError(f"aggregates = {aggregates!r}: wanted 'exact' or 'tiles'")
        if aggregates == "tiles" and number_of_groups(mode_slots) > TILE_GROUPS:
            raise ValueError(f"mode_slots = {mode_slots}: wanted at most {TILE_GROUPS - number_of_groups(0)} in tiles")
        if not 0.0 < prior_weight < np.inf:
            raise ValueError(f"prior_weight = {prior_weight}: wanted a positive number of transactions")
        if not 0.0 < normal_days <= 3_660.0:
            raise ValueError(f"normal_days = {normal_days}: wanted a positive number of days, at most 3,660")
        if not 1.0 < unusual_ratio < np.inf:
            raise ValueError(f"unusual_ratio = {unusual_ratio}: wanted a ratio above 1")
        costs = {"review_cost": review_cost, "fraud_loss": fraud_loss, "fraud_loss_share": fraud_loss_share, "critical_loss": critical_loss}
        for name, value in {"alerts_per_day": alerts_per_day, **costs}.items():
            if not 0.0 <= value < np.inf:
                raise ValueError(f"{name} = {value}: wanted 0 or more")
        for name, value in (("ring_limit", ring_limit), ("key_limit", key_limit)):
            if value < 1:
                raise ValueError(f"{name} = {value}: wanted at least 1")
        if quiet_units < 0:
            raise ValueError(f"quiet_units = {quiet_units}: wanted 0 or more")
        if not 0 <= exponent <= 6:
            raise ValueError(f"exponent = {exponent}: wanted between 0 and 6 decimal digits")
        self.epsilon, self.windows, self.mode_slots, self.txgap = epsilon, tuple(windows), mode_slots, txgap
        self.prior_weight, self.ring_limit, self.calibration = float(prior_weight), ring_limit, calibration
        self.aggregates = aggregates
        self.normal_days, self.unusual_ratio = float(normal_days), float(unusual_ratio)
        self.quiet_units: tuple[int, ...] = (quiet_units,)
        self.key_limit, self.exponent = key_limit, exponent
        self.features = feature_names(self.windows, self.mode_names)
        self.critical_loss = critical_loss
        budget = {"review_cost": review_cost, "fraud_loss": fraud_loss, "alerts_per_day": alerts_per_day}
        self._words = Words(self.windows, self.mode_names, exponent, budget)
        self._terms = np.array([epsilon, review_cost, fraud_loss, fraud_loss_share, alerts_per_day], np.float64)
        self._settings = np.array([epsilon, prior_weight, decay.rate_of(self.normal_days), unusual_ratio], np.float64)

    def new_state(self) -> CardsState:
        """A state in which nothing has been seen."""
        return self._state(KeyIndex(self.key_limit), SortedWindow(self.calibration))

    def process(self, state: CardsState, columns: Columns) -> Verdicts:
        """Score each transaction, then learn it; all events are folded."""
        n, windows, population = len(columns), state.windows, state.population
        windows.rows.fit(state.keys.capacity)
        state.cards.fit(state.keys.capacity)
        vectors, floats = np.full((n, len(self.features)), np.nan), np.full((n, FLOATS), np.nan)
        integers = np.zeros((n, INTEGERS), np.int64)
        shape = np.array(
            [len(self.mode_names), self.mode_slots, _TXGAP_FORMS[self.txgap], self.needed, self.aggregates == "tiles"], np.int64,
        )  # fmt: skip
        fields = columns.fields
        row = 0
        while True:
            row = score_then_learn(
                row, columns.at, columns.slots, fields["amount"], fields["mode"], fields["address_match"], fields["credit_limit"],
                fields["merchant"], fields["transaction"], shape, self._settings, windows.spans,
                windows.rows["rings"], windows.plan, windows.arena.data, windows.arena.header,
                state.cards["own"], state.cards["paid"], state.cards["judged"],
                population.seen, population.counts, population.curves, population.low, population.numbers,
                state.shares.merchants, state.shares.shares, state.turned_away,
                state.scores.ring, state.scores.ordered, state.scores.counts, vectors, floats, integers,
            )  # fmt: skip
            if row == n:
                break
            windows.grow_arena()
        said, decided = np.empty((n, 2)), np.zeros((n, 2), np.int64)
        model = state.model
        decide_each(
            columns.at, fields["amount"], vectors, floats, integers, self._terms, model.version, model.frauds, model.logs, model.mean,
            model.inverse, model.weights, model.clip, model.curve, state.pace, state.head, said, decided,
        )  # fmt: skip
        return self._verdicts(columns, model, vectors, floats, integers, said, decided)

    def _verdicts(
        self, columns: Columns, model: models.ActingModel, vectors: Floats, floats: Floats, integers: Ints, said: Floats, decided: Ints
    ) -> Verdicts:
        numbers, whole = np.ascontiguousarray(floats.T), np.ascontiguousarray(integers.T)
        probability, by_cost, alert = said[:, PROBABILITY].copy(), decided[:, RULE] == COST, decided[:, DECISION] == ALERT
        needed = np.full(len(columns), self.needed, np.int64)
        verdicts = Verdicts(
            numbers[SCORE], numbers[THRESHOLD], numbers[P_VALUE], alert, whole[SEEN], needed, whole[UNIT], whole[REASON].astype(np.int8)
        )
        critical = numbers[P_VALUE] <= CRITICAL_SHARE * self.epsilon
        if by_cost.any():
            limit = threshold_of(columns.fields["amount"].astype(np.float64), *self._terms[1:4].tolist())
            verdicts.score = np.where(by_cost, probability, verdicts.score)
            verdicts.threshold = np.where(by_cost, limit, verdicts.threshold)
            verdicts.needed[by_cost] = 0
            critical = np.where(by_cost, said[:, LOSS] > self.critical_loss, critical)
        rows = np.flatnonzero(alert)
        if len(rows):
            detail = noted(self.features, model, rows, decided, said, verdicts.threshold, floats, integers, vectors)
            verdicts.alarms = Alarms.of_rows(
                alert, columns.slots, verdicts.unit, verdicts.score, verdicts.threshold, verdicts.p_value, critical,
                detail.ravel(), detail.shape[1] * np.cumsum(alert, dtype=np.int64),
            )  # fmt: skip
        verdicts.evidence = {
            "unusualness": numbers[SCORE],
            "fraud_probability": probability,
            "rule": _RULE_NAMES[decided[:, RULE]],
            "decision": _DECISION_NAMES[decided[:, DECISION]],
            "model_version": np.full(len(columns), model.version, np.int64),
            "cut_short": whole[CUT_SHORT],
            **dict(zip(self.features, vectors.T, strict=True)),
        }
        return verdicts

    def due(self, state: CardsState) -> list[Build]:
        """Nothing is built aside."""
        return []

    def hand_over(self, state: CardsState, build: Build, result: Any) -> None:
        """Nothing is built aside, so nothing can be handed over."""
        raise ValueError("aggregation has no builds")

    def adopt(self, state: CardsState, inputs: Mapping[str, Any]) -> Alarms:
        """Take in the population's normal (`population.merge`), merchants' shares of known frauds (`shares`) and a model (`model`).

        Raises
        ------
        ValueError
            If one of them is of other settings or another format; the message says which.
        """
        if "population" in inputs:
            state.population.adopt(inputs["population"])
        if "shares" in inputs:
            state.shares = KnownShares.of_record(inputs["shares"])
        if "model" in inputs:
            state.model = models.acting(inputs["model"], self.features)
        return Alarms.none()

    def contribution(self, state: CardsState) -> Mapping[str, Any] | None:
        """What this partition has counted for the population's normal."""
        return state.population.record(added_up(state.windows.past))

    def merged(self, contributions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The population's normal, added up."""
        return {"population": merge(contributions)}

    def forget(self, state: CardsState, slots: Ints) -> None:
        """Clear the rows of evicted cards; what they taught the population stays, but for their part in p_c."""
        state.windows.clear(slots)
        state.cards.clear(slots)

    def freeze(self, state: CardsState) -> dict[str, Section]:
        """The state in canonical form, cards sorted by key; what there is of each card is made when it is written."""
        state.windows.rows.fit(state.keys.capacity)
        state.cards.fit(state.keys.capacity)
        order = state.keys.order()
        arrays = {
            "turned_away": state.turned_away.copy(),
            "scores": state.scores.values(),
            "pace": state.pace.copy(),
            "head": state.head.copy(),
        }
        shares = {"hour": np.array([state.shares.hour]), "merchants": state.shares.merchants, "shares": state.shares.shares}
        return {
            "aggregation.keys": Section(1, state.keys.freeze()),
            "aggregation": Section(_VERSION, arrays, later={**state.windows.later(order), **state.cards.later(order)}),
            "aggregation.population": Section(1, state.population.freeze()),
            "aggregation.shares": Section(1, shares),
            "aggregation.model": Section(2, state.model.arrays()),
        }

    def thaw(self, sections: Mapping[str, Section]) -> CardsState:
        """The state of frozen sections."""
        arrays = dict(upgraded("aggregation", sections["aggregation"], _VERSION, {2: _without_sums}).arrays)
        shares = upgraded("aggregation.shares", sections["aggregation.shares"], 1, {}).arrays
        keys = KeyIndex.thaw(dict(upgraded("aggregation.keys", sections["aggregation.keys"], 1, {}).arrays), self.key_limit)
        state = self._state(keys, SortedWindow.thaw({"values": arrays.pop("scores")}, self.calibration))
        state.turned_away = arrays.pop("turned_away").astype(np.int64)
        state.cards.thaw({name: arrays.pop(name) for name in ("own", "paid", "judged")})
        state.pace, state.head = arrays.pop("pace").astype(np.int64), arrays.pop("head").astype(np.int64)
        state.windows.thaw(arrays)
        state.population.thaw(upgraded("aggregation.population", sections["aggregation.population"], 1, {}).arrays)
        state.shares = KnownShares(int(shares["hour"][0]), shares["merchants"].astype(np.int64), shares["shares"].astype(np.float64))
        state.model = models.ActingModel.of_arrays(upgraded("aggregation.model", sections["aggregation.model"], 2, {1: _plain}).arrays)
        return state

    def state_signature(self) -> dict[str, Any]:
        """The settings that shape the state; not ε and not the form of the transaction gap, which are applied when it is read."""
        return {
            "aggregates": self.aggregates,
            "windows": list(self.windows),
            "modes": list(self.mode_names),
            "mode_slots": self.mode_slots,
            "prior_weight": self.prior_weight,
            "normal_days": self.normal_days,
            "unusual_ratio": self.unusual_ratio,
            "ring_limit": self.ring_limit,
            "calibration": self.calibration,
        }

    def explain(self, alarms: Alarms, i: int) -> Explanation:
        """Say why there is the i-th alarm, from the alarms alone."""
        return self._words.explain(alarms.detail_of(i))

    def _state(self, keys: KeyIndex, scores: SortedWindow) -> CardsState:
        groups = number_of_groups(self.mode_slots)
        kept = SlidingWindows if self.aggregates == "exact" else TiledWindows
        windows = kept([days * DAY for days in self.windows], groups, self.ring_limit)
        return CardsState(keys, windows, Population(self.mode_slots, groups), len(self.features), scores)


def _without_sums(section: Section) -> Section:
    """Version 2: sums, heads and origins beside the transactions that they are made of."""
    arrays = dict(section.arrays)
    rings = arrays["rings"]  # of its columns these are still written: next place, newest second, the last that left early
    del arrays["sums"]
    held = rings[:, 2] if "cells" in arrays else rings[:, 2] - rings[:, -1]  # the last column is the longest window's head
    arrays["rings"] = np.stack([held, rings[:, 3], rings[:, 4]], axis=1)
    return Section(3, arrays, section.meta)


def _plain(section: Section) -> Section:
    """Version 1 of a model: no feature entered as its logarithm."""
    return Section(2, {**section.arrays, "logs": np.zeros(len(section.arrays["mean"]), np.int64)}, section.meta)
