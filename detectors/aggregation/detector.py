"""Card transactions: the aggregates of conditional weighted transaction aggregation, and an unusualness calibrated by rank.

See `equations` (aggregates), `unusualness` (score and p-value), `fold` (one event's steps and its rules), `reasons` (sentences).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from detectors.aggregation import reasons
from detectors.aggregation.equations import AGGREGATES, PAPER, RECENCY, weighted_mean
from detectors.aggregation.fold import (
    AMOUNT_SURPRISE,
    CUT_SHORT,
    DETAILS,
    FLOATS,
    GAP,
    GAP_SURPRISE,
    INTEGERS,
    MODE_SHARE,
    MODE_SURPRISE,
    P_VALUE,
    PER_WINDOW,
    REASON,
    SCORE,
    SEEN,
    THRESHOLD,
    UNIT,
    score_then_learn,
)
from detectors.aggregation.unusualness import MODES, needed_scores
from detectors.protocol import Alarms, Build, Columns, Explanation, Ints, Verdicts
from state.keys import KeyIndex
from state.slab import Slab
from state.snapshot import Section, upgraded
from state.sorted_window import SortedWindow
from state.window import SlidingWindows

DAY = 86_400  # seconds
CRITICAL_SHARE = 0.01  # of the budget
MOST_WINDOWS = 24  # each takes a fifth of a kilobyte of an alert's eight
_TXGAP_FORMS = {"paper": PAPER, "recency": RECENCY}
_VERSION = 1


class CardsState:
    """What a partition remembers: a row per card, the population of its cards, and the last scores.

    Attributes
    ----------
    windows
        Rings and sliding sums (`state.window`).
    cards
        Slab with `whole` (int64) and `moments` (float64), as `unusualness` names their columns.
    all_whole, all_moments
        The same of the population.
    turned_away
        How many were late and added, too late, repeated.
    scores
        The partition's last scores.
    """

    def __init__(self, keys: KeyIndex, windows: SlidingWindows, modes: int, scores: SortedWindow) -> None:
        self.keys = keys
        self.windows = windows
        self.cards = Slab(whole=np.zeros(MODES + modes, np.int64), moments=np.zeros(2))
        self.all_whole = np.zeros(MODES + modes, np.int64)
        self.all_moments = np.zeros(2)
        self.turned_away = np.zeros(3, np.int64)
        self.scores = scores


class AggregationDetector:
    """Conditional weighted transaction aggregation (Lim, Sachan, Thing, 2014), with a calibrated unusualness before labels.

    Parameters
    ----------
    epsilon
        ε: alert iff the p-value is at most this; a probability a transaction. Needs 1/ε − 1 past scores of the partition.
    windows
        d: the windows in whole days, ascending.
    modes
        The payment modes of the table, by name or by number: codes 0 … len − 1.
    mode_slots
        How many modes are kept apart; codes beyond the table share the slots beyond it (code modulo their number).
    txgap
        Which form of Eq. (3) the evidence holds: "paper" (w = N − i, as printed) or "recency" (w = i, as described).
    prior_weight
        n₀: how many transactions the population counts as in a card's normal.
    ring_limit
        The most transactions of a card that the windows hold; beyond it the oldest leave early, and the row says `cut_short`.
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
        windows: Sequence[int] = (1, 3, 7),
        modes: int | Sequence[str] = ("online", "offline"),
        mode_slots: int = 4,
        txgap: str = "paper",
        prior_weight: float = 5.0,
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
        if not 0 < len(self.mode_names) <= mode_slots <= 64:
            raise ValueError(f"mode_slots = {mode_slots}: wanted at least one for each of the {len(self.mode_names)} modes, at most 64")
        if txgap not in _TXGAP_FORMS:
            raise ValueError(f"txgap = {txgap!r}: wanted 'paper' or 'recency'")
        if not 0.0 < prior_weight < np.inf:
            raise ValueError(f"prior_weight = {prior_weight}: wanted a positive number of transactions")
        for name, value in (("ring_limit", ring_limit), ("key_limit", key_limit)):
            if value < 1:
                raise ValueError(f"{name} = {value}: wanted at least 1")
        if quiet_units < 0:
            raise ValueError(f"quiet_units = {quiet_units}: wanted 0 or more")
        if not 0 <= exponent <= 6:
            raise ValueError(f"exponent = {exponent}: wanted between 0 and 6 decimal digits")
        self.epsilon, self.windows, self.mode_slots, self.txgap = epsilon, tuple(windows), mode_slots, txgap
        self.prior_weight, self.ring_limit, self.calibration = float(prior_weight), ring_limit, calibration
        self.quiet_units, self.key_limit, self.exponent = (quiet_units,) * len(self.tests), key_limit, exponent

    def new_state(self) -> CardsState:
        """A state in which nothing has been seen."""
        return self._state(KeyIndex(self.key_limit), SortedWindow(self.calibration))

    def process(self, state: CardsState, columns: Columns) -> Verdicts:
        """Score each transaction, then learn it; all events are folded."""
        n, windows, amounts = len(columns), state.windows, columns.fields["amount"]
        windows.rows.fit(state.keys.capacity)
        state.cards.fit(state.keys.capacity)
        floats, integers = np.full((FLOATS, n), np.nan), np.zeros((INTEGERS + PER_WINDOW * len(self.windows), n), np.int64)
        alert, detail_stop = np.zeros(n, np.bool_), np.zeros(n, np.int64)
        detail = np.empty(n * (DETAILS + PER_WINDOW * len(self.windows)))
        shape = np.array([len(self.mode_names), self.mode_slots, windows.limit, windows.mass_limit, _TXGAP_FORMS[self.txgap]], np.int64)
        row = 0
        while True:
            row = score_then_learn(
                row, columns.at, columns.slots, amounts, columns.fields["mode"], columns.fields["transaction"],
                self.epsilon, self.needed, self.prior_weight, shape, windows.spans,
                windows.rows["rings"], windows.rows["sums"], windows.arena.data, windows.arena.header,
                state.cards["whole"], state.cards["moments"], state.all_whole, state.all_moments, state.turned_away,
                state.scores.ring, state.scores.ordered, state.scores.counts,
                floats, integers, alert, detail, detail_stop,
            )  # fmt: skip
            if row == n:
                break
            windows.grow_arena()
        verdicts = Verdicts.blank(n)
        verdicts.score, verdicts.threshold, verdicts.p_value = floats[SCORE], floats[THRESHOLD], floats[P_VALUE]
        verdicts.alert = alert
        verdicts.seen, verdicts.unit, verdicts.reason = integers[SEEN], integers[UNIT], integers[REASON].astype(np.int8)
        verdicts.needed = np.full(n, self.needed, np.int64)
        verdicts.alarms = Alarms.of_rows(
            alert, columns.slots, verdicts.unit, verdicts.score, verdicts.threshold, verdicts.p_value,
            floats[P_VALUE] <= CRITICAL_SHARE * self.epsilon, detail[: detail_stop[-1] if n else 0].copy(), detail_stop,
        )  # fmt: skip
        verdicts.evidence = self._evidence(floats, integers)
        return verdicts

    def _evidence(self, floats: np.ndarray, integers: np.ndarray) -> dict[str, np.ndarray]:
        """Columns for the score log: the surprises, and per window d the aggregates as `sa_3d` (all modes), `sa_3d_mode` (gated)."""
        evidence: dict[str, np.ndarray] = {
            "surprise_amount": floats[AMOUNT_SURPRISE],
            "surprise_mode": floats[MODE_SURPRISE],
            "surprise_gap": floats[GAP_SURPRISE],
            "mode_share": floats[MODE_SHARE],
            "gap_seconds": integers[GAP],
            "cut_short": integers[CUT_SHORT],
        }
        for number, days in enumerate(self.windows):
            block = integers[INTEGERS + PER_WINDOW * number :]
            column = dict(zip(AGGREGATES, block[:PER_WINDOW], strict=True))
            for gate in ("", "_mode"):
                for aggregate in ("n", "sa", "tg", "txgap"):
                    evidence[f"{aggregate}_{days}d{gate}"] = column[aggregate + gate]
                evidence[f"mean_{days}d{gate}"] = weighted_mean(column["tg" + gate], column["weight" + gate])
        return evidence

    def due(self, state: CardsState) -> list[Build]:
        """Nothing is built aside."""
        return []

    def hand_over(self, state: CardsState, build: Build, result: Any) -> None:
        """Nothing is built aside, so nothing can be handed over."""
        raise ValueError("aggregation has no builds")

    def adopt(self, state: CardsState, inputs: Mapping[str, Any]) -> Alarms:
        """Nothing is taken in from outside."""
        return Alarms.none()

    def contribution(self, state: CardsState) -> Mapping[str, Any] | None:
        """The population is the partition's own: nothing is merged over the stream."""
        return None

    def merged(self, contributions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Nothing is merged over the stream."""
        return {}

    def forget(self, state: CardsState, slots: Ints) -> None:
        """Clear the rows of evicted cards; what they taught the population stays."""
        state.windows.clear(slots)
        state.cards.clear(slots)

    def freeze(self, state: CardsState) -> dict[str, Section]:
        """The state in canonical form, cards sorted by key."""
        state.windows.rows.fit(state.keys.capacity)
        state.cards.fit(state.keys.capacity)
        order = state.keys.order()
        arrays = {
            **state.windows.freeze(order),
            **state.cards.freeze(order),
            "all_whole": state.all_whole.copy(),
            "all_moments": state.all_moments.copy(),
            "turned_away": state.turned_away.copy(),
            "scores": state.scores.values(),
        }
        return {"aggregation.keys": Section(1, state.keys.freeze()), "aggregation": Section(_VERSION, arrays)}

    def thaw(self, sections: Mapping[str, Section]) -> CardsState:
        """The state of frozen sections."""
        arrays = dict(upgraded("aggregation", sections["aggregation"], _VERSION, {}).arrays)
        keys = KeyIndex.thaw(dict(upgraded("aggregation.keys", sections["aggregation.keys"], 1, {}).arrays), self.key_limit)
        state = self._state(keys, SortedWindow.thaw({"values": arrays.pop("scores")}, self.calibration))
        state.all_whole, state.all_moments = arrays.pop("all_whole").astype(np.int64), arrays.pop("all_moments").astype(np.float64)
        state.turned_away = arrays.pop("turned_away").astype(np.int64)
        state.cards.thaw({name: arrays.pop(name) for name in ("whole", "moments")})
        state.windows.thaw(arrays)
        return state

    def state_signature(self) -> dict[str, Any]:
        """The settings that shape the state; not ε and not the form of the transaction gap, which are applied when it is read."""
        return {
            "windows": list(self.windows),
            "modes": list(self.mode_names),
            "mode_slots": self.mode_slots,
            "prior_weight": self.prior_weight,
            "ring_limit": self.ring_limit,
            "calibration": self.calibration,
        }

    def explain(self, alarms: Alarms, i: int) -> Explanation:
        """Say why there is the i-th alarm, from the alarms alone."""
        return reasons.explain(alarms.detail_of(i), self.windows, self.mode_names, self.exponent, self.prior_weight)

    def _state(self, keys: KeyIndex, scores: SortedWindow) -> CardsState:
        windows = SlidingWindows([days * DAY for days in self.windows], self.mode_slots + 1, self.ring_limit)
        return CardsState(keys, windows, self.mode_slots, scores)
