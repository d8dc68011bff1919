"""Why there is an alarm, in words: from the numbers that the kernel kept of it, and nothing else."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.normal_model.blocks import OWN, PAPER, POOLED, TAIL
from detectors.normal_model.budget import BASES, PAPERS_RULE, history_needed, promise, span
from detectors.normal_model.fold import AMPLITUDE, DETAIL, DETAIL_HEAD, GONE, REGIME, REGIME_DETAIL, SILENCE_DETAIL, STARTED
from detectors.protocol import Explanation
from detectors.wording import instant, plain

Floats = NDArray[np.float64]

MOST_POINTS = 200  # of each curve in the evidence: two of them, 13 characters a number, stay below 8 kB
NO_PROMISE = "none: this is a change that is told, not a test at a level"


def explain(test: int, detail: Floats) -> Explanation:
    """Explain an alarm of one of the channels shape, amplitude, regime, silent (0 … 3) from its detail (`fold`)."""
    if test == REGIME:
        return _regime(dict(zip(REGIME_DETAIL, detail.tolist(), strict=True)))
    if test == GONE:
        return _silence(dict(zip(SILENCE_DETAIL, detail.tolist(), strict=True)))
    return _subsequence(test, detail)


def _subsequence(test: int, detail: Floats) -> Explanation:
    length = (len(detail) - DETAIL_HEAD) // 2
    numbers = dict(zip(DETAIL, detail.tolist(), strict=False))
    subsequence, nearest = detail[DETAIL_HEAD : DETAIL_HEAD + length], detail[DETAIL_HEAD + length :]
    ranked, epsilon = int(numbers["ranked"]), numbers["epsilon"]
    sd, spread, floor = numbers["sd"], numbers["spread"], numbers["floor"]
    worst = int(np.argmax(np.abs(subsequence - nearest)))
    started = instant(int(detail[STARTED]))
    basis, level, false_alarms = int(numbers["basis"]), numbers["block_level"], numbers["false_alarms"]
    stay = {
        PAPER: f"{100 * (1 - epsilon / 2):.4g} % of {ranked:,} earlier stretches stay",
        POOLED: f"{100 * (1 - epsilon / 2):.6g} % of the latest {ranked:,} blocks of its class's sensors, in units of each, stay",
        OWN: f"all of the latest {ranked:,} blocks stay",
        TAIL: f"{100 * (1 - epsilon / 2):.6g} % of blocks, by the tail of {ranked:,}, stay",
    }[basis]
    if test == AMPLITUDE:
        times = sd / spread if spread > 0.0 else math.inf
        size = f"{plain(times)} times the model's" if times < math.inf else "the model stands still"
        reasons = [
            f"The size of the last {length} readings (from {started}) is unusual: their standard deviation is {plain(sd)}, {size}.",
            f"That is a factor of {plain(math.exp(numbers['amplitude']))}; "
            f"{stay} within one of {plain(math.exp(numbers['amplitude_threshold']))}.",
        ]
        p_value = numbers["amplitude_p_value"]
    else:
        off = numbers["excess"]
        given = ""
        if numbers["conditioned"] > 0.0:
            given = f" ({plain(numbers['judged'])} at the usual hardness; its own is {plain(numbers['hardness'])})"
        beyond = f" ({plain(off)} more than usual, of late, is taken off)" if off > 0.0 else ""
        reasons = [
            f"The shape of the last {length} readings (from {started}) is {plain(numbers['distance'])} away from normal{beyond}{given}; "
            f"{stay} at or below {plain(numbers['threshold'])} (0: the same shape; a flat line: {plain(math.sqrt(length))})."
        ]
        p_value = numbers["shape_p_value"]
    if sd <= floor:
        reasons.append(f"They hardly move: their standard deviation is {plain(sd)}, that of the model {plain(spread)}.")
    elif test != AMPLITUDE:
        reasons.append(
            f"The largest deviation stands {_before(length - 1 - worst)}: {plain(subsequence[worst])} "
            f"where the nearest stretch of the model, at their mean and size, has {plain(nearest[worst])}."
        )
    reasons.append(
        f"Their mean is {plain(numbers['mean'])} (usual level {plain(numbers['level'])}), "
        f"their standard deviation {plain(sd)} (the model's {plain(spread)})."
    )
    unit = "reading" if basis == PAPER else "block"
    reasons.append(f"A normal {unit} is as far with p = {p_value:.2g} (two channels counted); {unit}s alert at p ≤ {epsilon:.2g}.")
    budget: dict[str, Any] = (
        {"epsilon": epsilon} if basis == PAPER else {"false_alarms_per_sensor_day": false_alarms, "epsilon_block": level}
    )
    if basis == PAPER and level > 0.0:  # there are blocks, too few of them
        needed = history_needed(false_alarms, readings=int(numbers["block"]), interval=numbers["interval"])
        budget["waits_for"] = f"{plain(false_alarms)} false alarms a sensor-day: {needed.words}"
    step = -(-length // MOST_POINTS)
    evidence: dict[str, Any] = {
        name: _rounded(numbers[name])
        for name in ("distance", "threshold", "mean", "sd", "level", "spread", "hardness", "amplitude", "excess")
    }  # fmt: skip
    evidence |= {
        "p_value": _rounded(p_value),
        "centroid": int(numbers["centroid"]),
        "offset": int(numbers["offset"]),
        "reading": int(numbers["reading"]),
        "ranked_among": ranked,
        "length": length,
        "started": started,
        "largest_deviation_at": worst,
        "every": step,
        "subsequence": [_rounded(x) for x in subsequence[::step].tolist()],
        "normal": [_rounded(x) for x in nearest[::step].tolist()],
    }
    if basis != PAPER:
        block = span(numbers["block"] * numbers["interval"])
        evidence |= {"e_value": _rounded(numbers["e_value"]), "block": block}
        what = "amplitude" if test == AMPLITUDE else "distance"
        whose = (
            f"{ranked:,} earlier blocks of the sensors of its class, each in units of its own"
            if basis == POOLED
            else f"{ranked:,} earlier blocks"
        )
        compared = f"the sensor's own Normal Model, and the greatest {what} to it in each of {whose} of {block}"
        kept = numbers["confirmed_left_out"] > 0.0
        guarantee = promise(basis, level=level, false_alarms=false_alarms, blocks=ranked, confirmed_left_out=kept)
        return Explanation(tuple(reasons), evidence, compared, BASES[basis], guarantee, budget, "block")
    what = "amplitudes of its own earlier stretches" if test == AMPLITUDE else "distances of its own earlier stretches to it"
    compared = f"the sensor's own Normal Model, and {ranked:,} {what}"
    return Explanation(tuple(reasons), evidence, compared, BASES[PAPER], PAPERS_RULE, budget, "reading")


def _regime(numbers: dict[str, float]) -> Explanation:
    old = f"readings {numbers['old_from']:,.0f} to {numbers['old_to']:,.0f}"
    new = f"readings {numbers['new_from']:,.0f} to {numbers['new_to']:,.0f}"
    onset = instant(int(numbers["onset_at"]))
    back = numbers["taken_back"] > 0.0
    model = f"the earlier model of {new} explains them and is taken back" if back else f"a new model was built from {new}"
    reasons = (
        f"Since reading {numbers['onset']:,.0f} ({onset}) more than two thirds of the readings lie beyond {plain(numbers['old_line'])} "
        f"of the model of {old}: their median distance is {plain(numbers['old_distance'])}, where {plain(numbers['old_usual'])} is usual.",
        f"The sensor has changed regime: {model}; their median distance to it is {plain(numbers['new_distance'])}.",
        f"From reading {numbers['reading']:,.0f} on the sensor is judged by it.",
    )
    whole = ("old_from", "old_to", "new_from", "new_to", "onset", "reading")
    evidence: dict[str, Any] = {name: int(x) if name in whole else _rounded(x) for name, x in numbers.items()}
    evidence |= {"taken_back": back, "onset_at": onset}
    return Explanation(
        reasons, evidence, f"the sensor's own Normal Model of {old}", basis="rule", guarantee=NO_PROMISE, budget={}, unit="change of regime"
    )


def _silence(numbers: dict[str, float]) -> Explanation:
    last = instant(int(numbers["last_at"]))
    times = numbers["silent_for"] / numbers["usual"]
    reasons = (
        f"Nothing has come from the sensor for {plain(numbers['silent_for'])} s of what its partition has lived through, "
        f"{plain(times)} of its usual intervals of {plain(numbers['usual'])} s.",
        f"Its latest reading, number {numbers['readings']:,.0f}, is of {last}.",
    )
    evidence = {
        "usual_interval": _rounded(numbers["usual"]),
        "silent_for": _rounded(numbers["silent_for"]),
        "readings": int(numbers["readings"]),
        "last_at": last,
        "partition_at": instant(int(numbers["partition_at"])),
    }
    return Explanation(
        reasons, evidence, "the sensor's own mean interval between readings", basis="rule", guarantee=NO_PROMISE, budget={}, unit="silence"
    )


def _rounded(x: float) -> float | None:
    """To 5 significant digits; None for what JSON cannot say."""
    return float(f"{x:.5g}") if math.isfinite(x) else None


def _before(readings: int) -> str:
    return (
        "at the latest reading"
        if readings == 0
        else "one reading before the latest"
        if readings == 1
        else f"{readings} readings before the latest"
    )
