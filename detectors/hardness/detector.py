"""Any model's errors, calibrated for the hardness of what the model was given, with a false-alarm rate that is kept (CADET).

Per calibration key (a model; or a model and a class, segment or version) the first events fit the curves, later ones become the
calibration, and all that follow are judged against both, which stay as they are: Theorem 1 holds for events exchangeable with the
calibration's. The curves are never fit on the events that calibrate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from detectors.hardness.conformal import promised
from detectors.hardness.curves import CLAMP, KNOTS, LEVELS, QuantileCurves
from detectors.hardness.explain import explain
from detectors.hardness.kernel import ARENA_FULL, DETAIL_LENGTH, DONE, MODES, judge_then_learn
from detectors.hardness.score import Prior
from detectors.protocol import Alarms, Build, Columns, Explanation, Ints, Verdicts
from state.arena import Arena
from state.keys import KeyIndex
from state.slab import Slab
from state.snapshot import Section, upgraded

Floats = NDArray[np.float64]
VERSION = 1
EVIDENCE = ("hardness", "expected", "calibrated", "p_hardness")


@dataclass(slots=True)
class HardnessState:
    """Everything one partition knows of its calibration keys; `builds` is what has been listed, and no part of the state."""

    keys: KeyIndex
    slab: Slab
    arena: Arena = field(default_factory=Arena)
    builds: dict[int, Build] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fit:
    """What a build hands over: the curves and the prior of one key, and the partition's event that triggered the build."""

    curves: QuantileCurves
    prior: Prior
    triggered: int


class HardnessDetector:
    """CADET with curves and calibration frozen after the warm-up: the paper's rule, over a stream.

    Parameters
    ----------
    epsilon
        ε, the share of normal events that may alert.
    mode
        "conditional": the error is ranked given its hardness. "joint": so is the hardness itself, and the smaller of the two p-values,
        doubled, decides (where hardness by itself tells anomalies, as in most tables). "off": the bare error is ranked.
    warm_up
        Events of a key that its curves are fit on.
    calibration
        m, events of a key that later ones are ranked among; no alert is possible for m < 1/ε − 1.
    lambda_
        λ of Eq. (10), the weight of the prior |z(hardness)|.
    hand_over_lag, hand_over_spread
        The curves are in force from the key's event warm_up + lag + (hash mod spread) on; the events before are passed over.
    quiet_units
        Alerting events at most so many events of the key apart are one episode.
    key_limit
        Calibration keys that a partition keeps; each has 16 (warm_up + calibration at its time) bytes and some.
    """

    name: ClassVar[str] = "hardness"
    tests: ClassVar[tuple[str, ...]] = ("error", "hardness")
    fields: ClassVar[Mapping[str, type]] = {"error": np.float64, "hardness": np.float64}
    unit: ClassVar[str] = "event"
    verdict_closes: ClassVar[bool] = False

    def __init__(
        self,
        *,
        epsilon: float = 0.01,
        mode: str = "conditional",
        warm_up: int = 500,
        calibration: int = 1000,
        lambda_: float = 0.0,
        hand_over_lag: int = 100,
        hand_over_spread: int = 100,
        quiet_units: int = 3,
        key_limit: int = 10_000,
    ) -> None:
        if not 0.0 < epsilon < 1.0:
            raise ValueError(f"epsilon = {epsilon}: wanted a probability strictly between 0 and 1")
        if mode not in MODES:
            raise ValueError(f"mode = {mode!r}: wanted one of {', '.join(MODES)}")
        if not (lambda_ >= 0.0 and np.isfinite(lambda_)):
            raise ValueError(f"lambda_ = {lambda_}: wanted a weight of at least 0")
        least = {"warm_up": 1, "calibration": 1, "hand_over_lag": 0, "hand_over_spread": 1, "quiet_units": 0, "key_limit": 1}
        given = dict(zip(least, (warm_up, calibration, hand_over_lag, hand_over_spread, quiet_units, key_limit), strict=True))
        for setting, smallest in least.items():
            if given[setting] < smallest:
                raise ValueError(f"{setting} = {given[setting]}: wanted a whole number of at least {smallest}")
        self.epsilon, self.mode, self.lambda_ = epsilon, mode, lambda_
        self.warm_up, self.calibration = warm_up, calibration
        self.hand_over_lag, self.hand_over_spread = hand_over_lag, hand_over_spread
        self.quiet_units, self.key_limit = (quiet_units,) * len(self.tests), key_limit
        level = epsilon / 2.0 if mode == "joint" else epsilon  # two looks at an event share the budget
        self._sizes = np.array(
            [
                MODES.index(mode), warm_up, calibration, hand_over_lag, hand_over_spread,
                promised(calibration, level), promised(calibration, level / 100.0),
            ],
            np.int64,
        )  # fmt: skip
        self._weights = np.array([epsilon, lambda_])

    def new_state(self) -> HardnessState:
        slab = Slab(
            seen=np.int64(0),
            triggered=np.int64(0),
            in_force=np.int64(0),
            start=np.int64(-1),
            held=np.int64(0),
            count=np.int64(0),
            knots=np.zeros(KNOTS),
            values=np.zeros((len(LEVELS), KNOTS)),
            scale=np.zeros(3),
        )
        return HardnessState(KeyIndex(self.key_limit), slab)

    def process(self, state: HardnessState, columns: Columns) -> Verdicts:
        n, slab = len(columns), state.slab
        slab.fit(state.keys.capacity)
        verdicts = Verdicts.blank(n)
        floats = np.full((len(EVIDENCE), n), np.nan)
        critical, test = np.zeros(n, np.bool_), np.zeros(n, np.int8)
        detail, detail_stop = np.empty(n * DETAIL_LENGTH), np.zeros(n, np.int64)
        row, stopped = 0, ARENA_FULL
        while stopped == ARENA_FULL:
            row, stopped = judge_then_learn(
                row, columns.first_event, columns.slots, columns.fields["error"], columns.fields["hardness"],
                state.keys.hashes, self._sizes, self._weights,
                slab["seen"], slab["triggered"], slab["in_force"], slab["start"], slab["held"], slab["count"], slab["knots"],
                slab["values"], slab["scale"], state.arena.data, state.arena.header,
                verdicts.score, verdicts.threshold, verdicts.p_value, verdicts.alert, critical, test,
                verdicts.seen, verdicts.needed, verdicts.unit, floats, detail, detail_stop,
            )  # fmt: skip
            if stopped == ARENA_FULL:
                state.arena.grow(4 * self.warm_up)
        verdicts.evidence = dict(zip(EVIDENCE, floats, strict=True))
        verdicts.alarms = Alarms.of_rows(
            verdicts.alert, columns.slots, verdicts.unit, verdicts.score, verdicts.threshold, verdicts.p_value, critical,
            detail[: detail_stop[row - 1] if row else 0].copy(), detail_stop, test,
        )  # fmt: skip
        if stopped != DONE:
            verdicts = verdicts.head(row)
            verdicts.waits_for = int(stopped)
        return verdicts

    def due(self, state: HardnessState) -> list[Build]:
        slab = state.slab
        waiting = np.flatnonzero((slab["seen"] >= self.warm_up) & (slab["count"] == 0))
        oldest_first = waiting[np.argsort(slab["triggered"][waiting], kind="stable")]
        return [self._build(state, int(slot)) for slot in oldest_first]

    def _build(self, state: HardnessState, slot: int) -> Build:
        if slot not in state.builds:
            start = int(state.slab["start"][slot])
            pairs = state.arena.data[start : start + 2 * self.warm_up].reshape(-1, 2)
            run = partial(fit_key, pairs[:, 0].copy(), pairs[:, 1].copy(), int(state.slab["triggered"][slot]))
            state.builds[slot] = Build(slot, state.keys.key(slot), self.warm_up, run)
        return state.builds[slot]

    def hand_over(self, state: HardnessState, build: Build, result: Fit) -> None:
        slot, slab = state.keys.find(build.key), state.slab
        if slot < 0 or slab["seen"][slot] < build.number or slab["count"][slot] > 0 or slab["triggered"][slot] != result.triggered:
            return  # the key has gone, or has gone and come back
        curves = result.curves
        count = len(curves.knots)
        slab["count"][slot] = count
        slab["knots"][slot, :count] = curves.knots
        slab["values"][slot, :, :count] = curves.coefficients
        slab["scale"][slot] = curves.floor, result.prior.mean, result.prior.std
        state.arena.release(int(slab["start"][slot]), 2 * self.warm_up)
        slab["start"][slot] = state.arena.allocate(2 * self.calibration)
        state.builds.pop(slot, None)

    def adopt(self, state: HardnessState, inputs: Mapping[str, Any]) -> Alarms:
        """Nothing from outside bears on this detector yet."""
        return Alarms.none()

    def contribution(self, state: HardnessState) -> None:
        return None

    def merged(self, contributions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return {}

    def forget(self, state: HardnessState, slots: Ints) -> None:
        slab = state.slab
        for slot in slots.tolist():
            if slab["start"][slot] >= 0:
                length = self.calibration if slab["count"][slot] > 0 else self.warm_up
                state.arena.release(int(slab["start"][slot]), 2 * length)
            state.builds.pop(slot, None)
        slab.clear(slots)

    def freeze(self, state: HardnessState) -> dict[str, Section]:
        state.slab.fit(state.keys.capacity)
        order = state.keys.order()
        rows = state.slab.freeze(order)
        start = rows.pop("start")
        collected = np.where(rows["count"] > 0, 0, np.minimum(rows["seen"], self.warm_up))
        arrays = rows | {
            "pairs": state.arena.gather(start, 2 * collected),
            "scores": state.arena.gather(start, rows["held"]),
            "hardnesses": state.arena.gather(start + self.calibration, rows["held"]),
        }
        return {"hardness.keys": Section(1, state.keys.freeze()), "hardness": Section(VERSION, arrays)}

    def thaw(self, sections: Mapping[str, Section]) -> HardnessState:
        arrays = dict(upgraded("hardness", sections["hardness"], VERSION, {}).arrays)
        pairs, scores, hardnesses = (arrays.pop(name) for name in ("pairs", "scores", "hardnesses"))
        state = self.new_state()
        state.keys = KeyIndex.thaw(dict(sections["hardness.keys"].arrays), self.key_limit)
        state.slab.fit(state.keys.capacity)
        state.slab.thaw(arrays | {"start": np.full(len(arrays["seen"]), -1, np.int64)})
        pair = score = 0
        for slot, (seen, held, count) in enumerate(zip(*(arrays[name].tolist() for name in ("seen", "held", "count")), strict=True)):
            if seen == 0:
                continue
            start = state.arena.allocate(2 * (self.calibration if count else self.warm_up))
            state.slab["start"][slot] = start
            if count:
                state.arena.data[start : start + held] = scores[score : score + held]
                state.arena.data[start + self.calibration : start + self.calibration + held] = hardnesses[score : score + held]
                score += held
            else:
                length = 2 * min(seen, self.warm_up)
                state.arena.data[start : start + length] = pairs[pair : pair + length]
                pair += length
        return state

    def state_signature(self) -> dict[str, Any]:
        """All but ε and what only shapes alerts: the curves stand at fixed levels."""
        return {
            "mode": self.mode,
            "warm_up": self.warm_up,
            "calibration": self.calibration,
            "lambda": self.lambda_,
            "hand_over_lag": self.hand_over_lag,
            "hand_over_spread": self.hand_over_spread,
            "knots": KNOTS,
            "clamp": CLAMP,
        }

    def explain(self, alarms: Alarms, i: int) -> Explanation:
        return explain(alarms.detail_of(i))


def fit_key(hardness: Floats, error: Floats, triggered: int) -> Fit:
    """Fit what a key is judged by, from its warm-up of shape (warm_up,)."""
    return Fit(QuantileCurves.fit(hardness, error), Prior.fit(hardness), triggered)
