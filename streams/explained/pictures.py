"""What there is to be seen of an alert: plain numbers, drawn by `terminal` with characters and by `plot` as an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from detectors.wording import plain

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Curves:
    """Readings and what is normal, every `every`-th of `length`; `worst` is the reading farthest off."""

    title: str
    readings: Sequence[float]
    normal: Sequence[float]
    every: int
    length: int
    start: str
    end: str
    worst: int | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """How many there are of each, and how many are expected; `marked` is the one that the alert is about."""

    title: str
    names: Sequence[str]
    observed: Sequence[float]
    expected: Sequence[float]
    marked: int | None = None


@dataclass(frozen=True, slots=True)
class Weights:
    """What speaks for it (above 0) and against it: name, value, weight."""

    title: str
    rows: Sequence[tuple[str, str, float]]


@dataclass(frozen=True, slots=True)
class Scale:
    """Where a number stands among others."""

    title: str
    marks: Sequence[tuple[str, float]]
    point: tuple[str, float]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows to be looked up."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]] = field(default_factory=list)


Picture = Curves | Counts | Weights | Scale | Table


def pictures(alert: Json) -> list[Picture]:
    """What an alert's evidence shows; nothing for the end of an episode, or where another build wrote other evidence."""
    data = alert["data"]
    evidence = data.get("evidence")
    if not isinstance(evidence, Mapping):
        return []
    try:
        return {"sensors": _sensor, "cards": _card, "employees": _employee, "errors": _error}[data["stream"]](data, evidence)
    except (KeyError, TypeError, ValueError, IndexError):
        return []


def _sensor(data: Json, evidence: Json) -> list[Picture]:
    if data["test"] == "silent":
        usual = float(evidence["usual_interval"])
        marks = [("usual interval", usual), ("line", usual * float(data["threshold"]))]
        return [Scale("Seconds without a reading", marks, ("now", float(evidence["silent_for"])))]
    if data["test"] == "regime":
        marks = [("usual", evidence["old_usual"]), ("line", evidence["old_line"]), ("to the new model", evidence["new_distance"])]
        return [Scale("Median distance to the model in force so far", _numbers(marks), ("of late", float(evidence["old_distance"])))]
    readings, normal = [[float(x) for x in evidence[name]] for name in ("subsequence", "normal")]
    title, worst = "the nearest stretch of the model, at their mean and size", int(evidence["largest_deviation_at"])
    if data["test"] == "amplitude":
        sd, spread, mean, level = (float(evidence[name]) for name in ("sd", "spread", "mean", "level"))
        title = "the nearest stretch of the model, at its own level and size"
        if sd > 0.0:
            normal = [level + (x - mean) * spread / sd for x in normal]
        worst = -1
    length = int(evidence["length"])
    many = len(readings)
    if many < 2 or many != len(normal):
        return []
    where = worst if 0 <= worst < length else None
    return [
        Curves(f"The last {length:,} readings, and {title}", readings, normal, int(evidence["every"]), length, evidence["started"],
               data["episode"]["to"], where)
    ]  # fmt: skip


def _card(data: Json, evidence: Json) -> list[Picture]:
    features, contributions = evidence["features"], evidence["contributions"]
    shown: list[Picture] = []
    if contributions:
        rows = [(name, plain(float(features[name])) if name in features else "", float(x)) for name, x in contributions.items()]
        title = "What the model weighs most, in log odds of fraud (amounts in minor units)"
        shown.append(Weights(title, sorted(rows, key=lambda row: -abs(row[2]))))
    said = {
        "amount": f"{evidence['amount']}, usual {evidence['usual_amount']} ± {evidence['spread']}",
        "mode": f"{evidence['mode']}" + ("" if evidence["mode_share"] is None else f", {100 * evidence['mode_share']:.2g} % of the time"),
        "gap": _gap(evidence),
    }
    surprises = [(name, text, float(features[f"surprise_{name}"])) for name, text in said.items()]
    together = plain(float(evidence["unusualness"]))
    shown.append(Weights(f"How unusual, −log of the chance of each (together {together}, the gap's beyond once in a hundred)", surprises))
    return shown


def _gap(evidence: Json) -> str:
    if evidence["gap_seconds"] is None:
        return "the first payment"
    return f"{_span(evidence['gap_seconds'])} after the last, usual {_span(evidence['usual_gap_seconds'])}"


def _span(seconds: float) -> str:
    for unit, many in (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= many:
            return f"{seconds / many:.1f} {unit}"
    return f"{seconds:.0f} s"


def _employee(data: Json, evidence: Json) -> list[Picture]:
    test, digit = data["test"], evidence["digit"]
    late = test == "onset"
    counts = evidence["of_late"] if late else evidence
    shown: list[Picture] = []
    place = {"band": "in the band", "repeats": "repeated", "onset": "in the band"}.get(test, "named above")
    if digit is None and not (late or test == "repeats"):
        title = f"{place.capitalize()}, of {evidence['of']:,}"
        shown.append(Counts(title, [place], [float(evidence["in_place"])], [float(evidence["expected_in_place"])], 0))
    elif digit is None and late:
        observed, expected = counts["band"]
        shown.append(Counts("In the band of late, the newest counted as 1 and older ones as less", [place], [observed], [expected], 0))
    elif test == "repeats":
        title = f"Postings that repeat an amount, of {evidence['of']:,}"
        shown.append(Counts(title, [place], [float(evidence["in_place"])], [float(evidence["expected_in_place"])], 0))
    if evidence["distinct_amounts"]:
        title = "Leading digits of distinct amounts" + (" of late, the newest counted as 1 and older ones as less" if late else "")
        digits = [str(number) for number in range(1, 10)]
        observed, expected = _floats(counts["observed"]), _floats(counts["expected"])
        shown.append(Counts(title, digits, observed, expected, None if digit is None else digit - 1))
    if evidence["driving_postings"]:
        rows = [
            (each["amount"], each["at"], f"{each['topic']}/{each['partition']}@{each['offset']}") for each in evidence["driving_postings"]
        ]
        shown.append(Table("The latest postings in this place", ("amount", "at", "record"), rows))
    return shown


def _error(data: Json, evidence: Json) -> list[Picture]:
    marks = [(f"{share} %", evidence[f"quantile_{share}"]) for share in (25, 50, 75, 95)]
    title = f"Errors of events this hard (hardness {plain(float(evidence['hardness']))})"
    return [Scale(title, _numbers(marks), ("error", float(evidence["error"])))]


def _numbers(marks: Sequence[tuple[str, Any]]) -> list[tuple[str, float]]:
    return [(name, float(value)) for name, value in marks if value is not None]


def _floats(values: Sequence[Any]) -> list[float]:
    return [float(value) for value in values]
