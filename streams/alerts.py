"""Alerts: a report of an episode as a CloudEvent that explains itself without the stream.

Everything in it follows from the fold, the configuration and the build: a replay writes the same bytes. No clock is read; the
event's `time` is event time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import msgspec

from detectors.protocol import Detector
from detectors.wording import instant
from streams.episodes import EVICTED, HEARD, QUIET, SILENT, TOLD
from streams.partition import Report

LARGEST_EVIDENCE = 8_000  # bytes of JSON
_ENDS = {
    QUIET: "its key has been quiet since",
    SILENT: "nothing has come from its key since",
    EVICTED: "its key was evicted from the state",
    HEARD: "its key has been heard again",
    TOLD: "a person has judged it",
}


@dataclass(frozen=True, slots=True)
class Promise:
    """What an alert of a stream means: what a person has budgeted, for which unit, and how far it can be trusted.

    `words` says the budget in a few words.
    """

    words: str
    budget: dict[str, Any]
    unit: str
    guarantee: str
    basis: str


@dataclass(frozen=True, slots=True)
class Audit:
    """What an auditor needs, beside the origin, to derive an alert again."""

    build: str
    configuration: str  # digest of the effective settings
    signature: str  # the settings that shape the detector's state


def cloud_event(
    report: Report, *, stream: str, partition: int, last_cut: int, detector: Detector, promise: Promise, audit: Audit, parts: dict[str, str]
) -> dict[str, Any]:
    """Return the alert as a CloudEvents 1.0 structure (JSON-like), its numbers finite or null.

    `parts` names what the key of the state consists of; "key" among them is the sensor, card, employee or source.
    """
    step, why = report.transition, report.explanation
    episode = report.episode.hex()
    data: dict[str, Any] = {
        "stream": stream,
        **parts,
        "at": instant(report.at),
        "detector": detector.name,
        "test": detector.tests[step.test],
        "role": "acting",
        "phase": step.phase,
        "severity": "critical" if step.critical else "warning",
        "episode": {
            "id": episode,
            "report": step.number,
            "from": instant(step.first_at),
            "to": instant(step.last_at),
            "units": step.units,
            "unit": detector.unit,
            "first_unit": step.first_unit,
            "last_unit": step.last_unit,
            "max_score": finite(step.max_score),
        },
        "score": finite(report.score),
        "threshold": finite(report.threshold),
        "p_value": finite(report.p_value),
        "e_value": finite(report.e_value),
        "budget": dict(why.budget) if why is not None and why.budget is not None else promise.budget,
        "unit": (why and why.unit) or promise.unit,
        "guarantee": (why and why.guarantee) or promise.guarantee,
        "basis": (why and why.basis) or promise.basis,
        "audit": {
            "build": audit.build,
            "configuration": audit.configuration,
            "signature": audit.signature,
            "partition": partition,
            "last_cut": last_cut if last_cut >= 0 else None,
        },
    }
    if why is not None:
        data["compared_with"] = why.compared_with
        data["reasons"] = list(why.reasons)
        data["evidence"] = dict(why.evidence)
    else:
        data["reasons"] = [closing(report, detector.unit)]
    if report.verdict is not None:
        data["verdict"] = report.verdict
    if report.origin is not None:
        origin = report.origin
        data["origin"] = {"topic": origin.topic, "partition": origin.partition, "offset": origin.offset, "index": origin.index}
    return {
        "specversion": "1.0",
        "id": episode if step.number == 0 else f"{episode}.{step.number}",
        "source": f"/nilometer/{stream}",
        "type": f"nilometer.alert.{step.phase}",
        "subject": parts["key"],
        "time": instant(report.at),
        "datacontenttype": "application/json",
        "data": data,
    }


def closing(report: Report, unit: str) -> str:
    """One sentence on how an episode ended."""
    step = report.transition
    how = _ENDS[step.kind]
    if report.verdict is not None:
        how += f": {report.verdict}"
    units = f"one alerting {unit}" if step.units == 1 else f"{step.units:,} alerting {unit}s"
    return f"the episode is over: {units} from {instant(step.first_at)} to {instant(step.last_at)}; {how}"


def encode(event: dict[str, Any]) -> bytes:
    """An alert as JSON bytes."""
    return msgspec.json.encode(event)


def finite(number: float) -> float | None:
    """A number JSON can hold: NaN and infinities are null."""
    return number if math.isfinite(number) else None
