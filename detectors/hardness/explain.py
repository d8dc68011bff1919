"""Why an event alerted, in words: from the numbers that the kernel kept of the alarm, and nothing else."""

from __future__ import annotations

from detectors.hardness.fold import DETAIL, DRIFT, HARDNESS, JOINT, MODES, OFF, POOLED, TESTS
from detectors.protocol import P_VALUE, TEST, Alarms, Explanation
from detectors.wording import plain

TRACKING = "the share of alerts, true and false together, tends to epsilon in the long run, whatever comes"
EXACT = "at most epsilon of normal events, if they are exchangeable with those that they are ranked among"
OTHERWISE = ("mode", "basis", "ranked", "as_high", "equal", "tracking", "evidence", "behind")  # said in other forms
DRIFTED = "a stream whose p-values are uniform and independent is ever told to have drifted with probability 1 in the odds"


def explain(alarms: Alarms, i: int) -> Explanation:
    """Explain the i-th alarm from its `DETAIL`, shape (19,)."""
    number = dict(zip(DETAIL, alarms.detail_of(i).tolist(), strict=True))
    said = {name: plain(value, 3) for name, value in number.items()}
    test, mode = int(alarms.places[i, TEST]), int(number["mode"])
    evidence: dict[str, float | int | str] = {name: value for name, value in number.items() if name not in OTHERWISE}
    evidence |= {"mode": MODES[mode], "test": TESTS[test], "ranked_among": int(number["ranked"])}
    evidence |= {name: int(number[name]) for name in ("as_high", "equal")}
    if test == DRIFT:
        odds = number["evidence"]
        reasons = (
            f"The p-values of this source no longer look like chance: betting against that has multiplied the stake by {odds:,.0f}.",
            f"The latest error is {said['error']} at a hardness of {said['hardness']}; half of the events this hard stayed "
            f"below {said['quantile_50']}. The model, or what it is given, has changed; calibration is following.",
        )
        budget = {"odds": odds}
        return Explanation(reasons, evidence, "p-values of the same source", basis="martingale", guarantee=DRIFTED, budget=budget)
    p = float(alarms.numbers[i, P_VALUE])
    evidence["p_value"] = p
    pooled = number["basis"] == POOLED
    among = f"the last {number['ranked']:,.0f} events" + ("" if pooled else " of its hardness")
    rank = f"{_count(number['as_high'])} of {among}"
    reasons_, where = [], f"hardness {said['hardness']}, {_place(number['p_hardness'])}"
    error, usual, upper = said["error"], said["quantile_50"], said["quantile_95"]
    level = number["epsilon"] * number["factor"]
    if number["behind"] and (1.0 + number["as_high"]) * (2.0 if mode == JOINT else 1.0) > level * (number["ranked"] + 1.0):
        reasons_ += [
            f"The model's error {error} ({where}) alerts by lot, and by nothing else: {number['equal']:,.0f} of {among} score the very "
            "same.",
            "Equals are put in order by a draw, so that epsilon is kept where a source stands still; "
            'calibration.ties = "never" leaves such events alone.',
        ]
    elif test == HARDNESS:
        reasons_ += [
            f"The event itself is unusual: its hardness {said['hardness']} is reached by {rank}.",
            f"The model's error is {error}; half of the events this hard stay below {usual}, 95 % below {upper}.",
        ]
    elif mode == OFF:
        reasons_ += [
            f"The model's error {error} is reached by {rank}, whatever their hardness.",
            f"Its hardness {said['hardness']} is {_place(number['p_hardness'])}; half of those have an error below {usual}.",
        ]
    else:
        if number["error"] > number["quantile_95"]:
            first = f"The model's error {error} is above {upper}, which 95 % of events this hard ({where}) stay below."
        else:
            first = f"The model's error {error} is high for an event this hard ({where}): half of those stay below {usual}."
        reasons_ += [
            first,
            f"Its calibrated score {said['score']} is reached by {rank}; the threshold is {said['threshold']}.",
        ]
    if mode == JOINT:
        reasons_.append("Two things are tested, the error given the hardness and the hardness itself, so p is twice the smaller p-value.")
    adapted = "" if number["factor"] == 1.0 else f" ({number['epsilon']:.2g}, adapted to what has alerted of late)"
    reasons_.append(f"A normal event does so with p = {p:.2g}; events alert at p ≤ {level:.2g}{adapted}.")
    return Explanation(
        tuple(reasons_),
        evidence,
        f"{among} of the same source, each ranked when it came",
        basis="pooled: all events of the source" if pooled else f"own: events of hardness bin {number['basis'] + 1:.0f}",
        guarantee=TRACKING if number["tracking"] else EXACT,
    )


def _count(events: float) -> str:
    return f"{events:,.0f}" if events else "none"


def _place(p_hardness: float) -> str:
    """Where the hardness stands among the ranked ones, in whole per cent, never 0."""
    share = 100.0 * min(p_hardness, 1.0 - p_hardness)
    return f"among the {'hardest' if p_hardness <= 0.5 else 'easiest'} {max(1, round(share))} %"
