"""Any model's errors, calibrated for the hardness of what the model was given, with a false-alarm rate that is kept (CADET).

Per calibration key (a model; or a model and a class, segment or version) the first events fit the curves, and every later one is ranked
among the recent ones that were as hard. The curves are never fit on the events that calibrate: an event is scored before it moves them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from detectors.hardness.conformal import promised
from detectors.hardness.curves import LEVELS, regress
from detectors.hardness.explain import explain
from detectors.hardness.fold import ALARMS_FULL, ARENA_FULL, DETAIL_LENGTH, DONE, MODES, TESTS, TIES, judge_then_learn
from detectors.hardness.state import HardnessState
from detectors.hardness.tracking import CLAMP, KNOTS, LEAST_SPREAD
from detectors.protocol import Alarms, Build, Columns, Explanation, Ints, Verdicts
from state.keys import KeyIndex
from state.snapshot import Section

Floats = NDArray[np.float64]
EVIDENCE = ("hardness", "expected", "calibrated", "p_hardness")
GUARANTEES = ("tracking", "exact")
STEADY = 10  # ranks below the level, with fewer of which the threshold jumps from event to event
SMALLEST = 1e-6  # t as a share of the warm-up's median error


@dataclass(frozen=True, slots=True)
class Fit:
    """What a build hands over: knots (6,), curves (4, 6), [S, t], and the partition's event that triggered the build."""

    knots: Floats
    theta: Floats
    scale: Floats
    triggered: int


class HardnessDetector:
    """CADET over a stream: curves, ranks and the level go along with what is normal (`detectors.hardness.tracking`).

    Parameters
    ----------
    epsilon
        ε: the share of normal events that may alert.
    mode
        "conditional": the error is ranked given its hardness. "joint": so is the hardness itself, and the smaller of the two p-values,
        doubled, decides (where hardness by itself tells anomalies, as in most tables). "off": the bare error is ranked.
    guarantee
        "tracking": everything learns; the share of alerts tends to ε whatever comes (for any sequence, as long as a level within
        ε/4 … 4ε can bring it there). "exact": curves and level stay as the warm-up left
        them, and P(alert | normal, bin) ≤ ε for events exchangeable with the ranked ones. The first is about alerts, true and false
        together; the second about false alarms.
    ties
        "drawn": an event's place among those whose error scores the very same is drawn, so that the share of alerts tends to ε for
        sources that stand still, too: one in 1/ε of their equal events alerts, by lot, and says so. "never": it stands behind all of
        them, and errors that only repeat themselves never alert. Of hardness itself ties never alert: to draw there, too, adds nothing
        to the rate and hides what the errors tell (SMAP and MSL: AUC .68 instead of .69).
    warm_up
        Events of a key that its first curves are fit on.
    bins, width
        K bins of hardness, and how many events each holds on average: an event is ranked among the last `width` as hard as it.
    curve_rate
        lr: how far one event moves the curves, in units of their usual spread.
    level_rate
        γ of adaptive conformal inference.
    drift_odds
        Odds against chance at which the p-values are said to have drifted: a martingale reaches 10,000 with probability 1/10,000.
    hand_over_lag, hand_over_spread
        The curves are in force from the key's event warm_up + lag + (hash mod spread) on; the events before are passed over.
    quiet_units
        Alerting events at most so many events of the key apart are one episode.
    key_limit
        Calibration keys that a partition keeps, of 16 · bins · width bytes and a few hundred each.

    Notes
    -----
    Of confirmed anomalies (people's verdicts) nothing stays in the ranks. Measured on a stream whose errors change in scale, in hardness
    and in how both hang together (38,000 events, ε = 5 %, six seeds; `make papers PAPER=hardness`): 4.98–5.01 % alert, 95–100 % of the
    blocks of 1,000 within 3.5–6.5 %, every quartile of hardness 4.8–5.2 %. Frozen CADET alerts on a third of it.
    """

    name: ClassVar[str] = "hardness"
    tests: ClassVar[tuple[str, ...]] = TESTS
    fields: ClassVar[Mapping[str, type]] = {"error": np.float64, "hardness": np.float64}
    unit: ClassVar[str] = "event"
    verdict_closes: ClassVar[bool] = False

    def __init__(
        self,
        *,
        epsilon: float = 0.01,
        mode: str = "conditional",
        guarantee: str = "tracking",
        ties: str = "drawn",
        warm_up: int = 500,
        bins: int = 4,
        width: int = 500,
        curve_rate: float = 0.1,
        level_rate: float = 0.005,
        drift_odds: float = 10_000.0,
        hand_over_lag: int = 100,
        hand_over_spread: int = 100,
        quiet_units: int = 3,
        key_limit: int = 10_000,
    ) -> None:
        if not 0.0 < epsilon < 1.0:
            raise ValueError(f"epsilon = {epsilon}: wanted a probability strictly between 0 and 1")
        for setting, given_text, wanted in (("mode", mode, MODES), ("guarantee", guarantee, GUARANTEES), ("ties", ties, TIES)):
            if given_text not in wanted:
                raise ValueError(f"{setting} = {given_text!r}: wanted one of {', '.join(wanted)}")
        for setting, given_rate, most in (
            ("curve_rate", curve_rate, 1.0),
            ("level_rate", level_rate, 1.0),
            ("drift_odds", drift_odds, 1e30),
        ):
            if not 0.0 < given_rate <= most:
                raise ValueError(f"{setting} = {given_rate}: wanted a number above 0, at most {most:g}")
        least = {
            "warm_up": KNOTS, "bins": 1, "width": 10, "hand_over_lag": 0, "hand_over_spread": 1, "quiet_units": 0, "key_limit": 1,
        }  # fmt: skip
        given = dict(zip(least, (warm_up, bins, width, hand_over_lag, hand_over_spread, quiet_units, key_limit), strict=True))
        for setting, smallest in least.items():
            if given[setting] < smallest:
                raise ValueError(f"{setting} = {given[setting]}: wanted a whole number of at least {smallest}")
        size = bins * width
        if warm_up > size:
            raise ValueError(f"warm_up = {warm_up}: wanted at most bins · width = {size:,} events, which is what a key's ring holds")
        self._level = epsilon / 2.0 if mode == "joint" else epsilon  # two looks at an event share the budget
        self.needed = events_for(self._level)
        if self.needed > size:
            raise ValueError(
                f"epsilon = {epsilon}: needs {self.needed:,} events to rank among, bins · width = {size:,} are kept; "
                f"wanted a width of at least {-(-self.needed // bins):,}"
            )
        self.epsilon, self.mode, self.guarantee, self.ties, self.warm_up = epsilon, mode, guarantee, ties, warm_up
        self.bins, self.width, self.curve_rate, self.level_rate, self.drift_odds = bins, width, curve_rate, level_rate, drift_odds
        self.hand_over_lag, self.hand_over_spread = hand_over_lag, hand_over_spread
        self.key_limit = key_limit
        self.quiet_units: tuple[int, ...] = (quiet_units, quiet_units, max(quiet_units, width))
        learns = float(guarantee == "tracking")
        self._sizes = np.array(
            [MODES.index(mode), warm_up, hand_over_lag, hand_over_spread, self.needed, size, width, TIES.index(ties)], np.int64
        )
        self._rates = np.array([epsilon, learns * curve_rate, learns * level_rate, drift_odds])

    @property
    def caution(self) -> str | None:
        """What somebody who sets ε should know: how coarse the ranks are that it is held against."""
        n = self.bins * self.width if self.mode == "off" else self.width
        if self._level * (n + 1) >= STEADY:
            return None
        wanted = math.ceil(STEADY / self._level)
        return (
            f"epsilon = {self.epsilon:g}: {self._level * (n + 1):.1f} of {n:,} ranks lie below it, so the threshold jumps from event to "
            f"event; a width of {-(-wanted * self.width // n):,} would make it steady"
        )

    def new_state(self) -> HardnessState:
        return HardnessState(KeyIndex(self.key_limit), self.bins, self.bins * self.width)

    def process(self, state: HardnessState, columns: Columns) -> Verdicts:
        n, slab = len(columns), state.slab
        slab.fit(state.keys.capacity)
        verdicts = Verdicts.blank(n)
        floats = np.full((len(EVIDENCE), n), np.nan)
        room = 2 + n // 32
        places, numbers, detail = np.zeros((room, 5), np.int64), np.full((room, 4), np.nan), np.zeros((room, DETAIL_LENGTH))
        count = np.zeros(1, np.int64)
        row = 0
        while True:
            row, stopped = judge_then_learn(
                row, columns.first_event, columns.slots, columns.fields["error"], columns.fields["hardness"],
                state.keys.hashes, self._sizes, self._rates,
                slab["seen"], slab["triggered"], slab["in_force"], slab["fitted"], slab["start"], slab["stops"], slab["edges"],
                slab["knots"], slab["theta"], slab["scale"], slab["factors"], slab["capital"], slab["evidence"], state.counted,
                state.arena.data, state.arena.header,
                verdicts.score, verdicts.threshold, verdicts.p_value, verdicts.alert, verdicts.seen, verdicts.needed, verdicts.unit,
                floats, places, numbers, detail, count,
            )  # fmt: skip
            if stopped == ARENA_FULL:
                state.arena.grow(8 * 4 * state.size)
            elif stopped == ALARMS_FULL:
                places, numbers, detail = (np.concatenate([part, np.zeros_like(part)]) for part in (places, numbers, detail))
            else:
                break
        verdicts.evidence = dict(zip(EVIDENCE, floats, strict=True))
        m = int(count[0])
        stops = DETAIL_LENGTH * np.arange(1, m + 1)
        verdicts.alarms = Alarms(places[:m].copy(), numbers[:m].copy(), detail[:m].ravel().copy(), stops)
        if stopped != DONE:
            verdicts = verdicts.head(row)
            verdicts.waits_for = int(stopped)
        return verdicts

    def due(self, state: HardnessState) -> list[Build]:
        slab = state.slab
        waiting = np.flatnonzero((slab["seen"] >= self.warm_up) & (slab["fitted"] == 0))
        oldest_first = waiting[np.argsort(slab["triggered"][waiting], kind="stable")]
        return [self._build(state, int(slot)) for slot in oldest_first]

    def _build(self, state: HardnessState, slot: int) -> Build:
        if slot not in state.builds:
            hardness, error, *_ = state.rows_of(slot)[:, : self.warm_up].astype(np.float64)
            run = partial(fit_key, hardness, error, int(state.slab["triggered"][slot]))
            state.builds[slot] = Build(slot, state.keys.key(slot), self.warm_up, run)
        return state.builds[slot]

    def hand_over(self, state: HardnessState, build: Build, result: Fit) -> None:
        slot, slab = state.keys.find(build.key), state.slab
        if slot < 0 or slab["seen"][slot] < build.number or slab["fitted"][slot] or slab["triggered"][slot] != result.triggered:
            return  # the key has gone, or has gone and come back
        slab["knots"][slot], slab["theta"][slot], slab["scale"][slot], slab["fitted"][slot] = result.knots, result.theta, result.scale, 1
        state.rows_of(slot)[:] = 0.0
        state.builds.pop(slot, None)

    def adopt(self, state: HardnessState, inputs: Mapping[str, Any]) -> Alarms:
        """Take the events of confirmed anomalies out of the ranks: of ``{"verdicts": [{"slot", "verdict", "first_unit", …}, …]}``."""
        for said in inputs.get("verdicts", ()):
            if said["verdict"] == "confirmed" and said["test"] != TESTS.index("drift"):
                state.take_out(said["slot"], said["first_unit"], said["last_unit"])
        return Alarms.none()

    def contribution(self, state: HardnessState) -> None:
        return None

    def merged(self, contributions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return {}

    def forget(self, state: HardnessState, slots: Ints) -> None:
        state.forget(slots)

    def freeze(self, state: HardnessState) -> dict[str, Section]:
        return state.freeze()

    def thaw(self, sections: Mapping[str, Section]) -> HardnessState:
        return HardnessState.thaw(sections, self.key_limit, self.bins, self.bins * self.width)

    def state_signature(self) -> dict[str, Any]:
        """All but ε, ties and what only shapes alerts: the curves stand at fixed levels, the adapted level is a factor of ε."""
        return {
            "mode": self.mode,
            "guarantee": self.guarantee,
            "warm_up": self.warm_up,
            "bins": self.bins,
            "width": self.width,
            "curve_rate": self.curve_rate,
            "level_rate": self.level_rate,
            "hand_over_lag": self.hand_over_lag,
            "hand_over_spread": self.hand_over_spread,
        }

    def explain(self, alarms: Alarms, i: int) -> Explanation:
        return explain(alarms, i)


def events_for(level: float) -> int:
    """How many events must be there to rank among before one can be as rare as `level`: the fewest n with 1/(n + 1) ≤ level.

    >>> events_for(0.05), events_for(0.01)
    (19, 99)
    """
    n = max(1, math.ceil(1.0 / level) - 2)
    while promised(n, level) < 1:
        n += 1
    return n


def fit_key(hardness: Floats, error: Floats, triggered: int) -> Fit:
    """Fit a key's first curves on its warm-up, shape (n,): quantile regression of the log error on straight pieces (a linear programme)."""
    middle = float(np.quantile(error, 0.5, method="inverted_cdf"))
    smallest = SMALLEST * middle if middle > 0.0 else max(SMALLEST * float(error.max()), 1e-30)
    y = np.log(error + smallest)
    knots = np.maximum.accumulate(np.quantile(hardness, np.linspace(0.0, CLAMP, KNOTS), method="inverted_cdf"))
    places = np.unique(knots)
    held = np.clip(hardness, places[0], places[-1])
    design = np.stack([np.interp(held, places, row) for row in np.eye(len(places))], axis=1)
    at_places = np.stack([_curve(design, y, level) for level in LEVELS])
    at = np.sort(np.stack([np.interp(held, places, curve) for curve in at_places], axis=1), axis=1)
    spread = float(np.quantile(at[:, 2] - at[:, 0], 0.5, method="inverted_cdf"))
    theta = np.stack([np.interp(knots, places, curve) for curve in at_places])
    return Fit(knots, theta, np.array([max(spread, LEAST_SPREAD), smallest]), triggered)


def _curve(design: Floats, y: Floats, level: float) -> Floats:
    try:
        return regress(design, y, level)
    except ArithmeticError:  # the solver gives up on a freak of rounding
        return np.full(design.shape[1], np.quantile(y, level, method="inverted_cdf"))
