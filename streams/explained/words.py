"""What an alert says, in words: what, when, how bad, why, by which rule, and where it comes from."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Mapping
from typing import Any

from rich.text import Text

from detectors.wording import plain
from streams.explained.pictures import pictures
from streams.explained.terminal import drawn, safe

Json = Mapping[str, Any]
WIDEST = 120  # columns of text
COMMANDS = ("why it began", "was it right?")
MARGIN = 15  # columns of the names beside numbers


def explained(alert: Json, width: int) -> list[Text]:
    """The whole page."""
    width = min(width, WIDEST)
    lines = [*_head(alert), Text()]
    for reason in alert["data"].get("reasons", []):
        lines += [Text(line) for line in textwrap.wrap(safe(reason), width - 2, initial_indent="• ", subsequent_indent="  ")]
    for picture in pictures(alert):
        lines += [Text(), *drawn(picture, width)]
    lines.append(Text())
    for name, said in _facts(alert):
        command = name in COMMANDS  # to be copied whole
        first, *rest = [safe(said)] if command else textwrap.wrap(safe(said), width - MARGIN) or [""]
        lines.append(Text(f"{name:<{MARGIN}}", "dim").append(first))
        lines += [Text(" " * MARGIN + line) for line in rest]
    return lines


def _head(alert: Json) -> list[Text]:
    data = alert["data"]
    severity = safe(data.get("severity", ""))
    head = Text(safe(data["key"]), "bold").append(f"  {safe(data['stream'])}, {safe(data['test'])}", "not bold").append("  ")
    head.append(severity, "bold red" if severity == "critical" else "bold yellow").append(f", {safe(data['phase'])}", "not bold")
    return [head, Text(f"{safe(data['at'])}   alert {safe(alert['id'])}", "dim")]


def _facts(alert: Json) -> list[tuple[str, str]]:
    data = alert["data"]
    audit, origin, episode = data.get("audit") or {}, data.get("origin"), data.get("episode") or {}
    facts = [("score", _score(data))]
    if data.get("p_value") is not None:
        facts.append(("p-value", f"{data['p_value']:.2g}: {_chance(data)}"))
    if data.get("e_value") is not None:
        facts.append(("e-value", f"{_odds(data['e_value'])} to 1 against chance"))
    if (evidence := data.get("evidence")) and evidence.get("expected_loss") is not None and "fraud_probability" in evidence:
        what = f"fraud with {100 * evidence['fraud_probability']:.3g} %, an expected loss of {plain(evidence['expected_loss'])}"
        facts.append(("model", f"version {evidence['model_version']}: {what}"))
    if data.get("budget"):
        facts.append(("budget", ", ".join(f"{name.replace('_', ' ')} {_value(value)}" for name, value in data["budget"].items())))
    facts += [("basis", f"{data.get('basis')}; tested per {data.get('unit')}"), ("promise", str(data.get("guarantee")))]
    if data.get("compared_with"):
        facts.append(("compared with", str(data["compared_with"])))
    stretch = f"{episode.get('from')} to {episode.get('to')}"
    facts.append(
        ("episode", f"report {episode.get('report')}, alerting {episode.get('unit')}s so far {_value(episode.get('units'))}, {stretch}")
    )
    if origin:
        facts.append(("record", f"{origin['topic']}, partition {origin['partition']}, offset {origin['offset']}, index {origin['index']}"))
    cut = audit.get("last_cut")
    facts.append(("made by", f"{audit.get('build')}, settings {audit.get('configuration')}, last cut {'none' if cut is None else cut}"))
    if data.get("phase") == "closed":
        facts.append(("why it began", f"nilometer explain {episode.get('id')}"))
    else:
        facts.append(("was it right?", f"nilometer judge {data['stream']} {shlex.quote(data['key'])} {alert['id']} confirmed|cleared"))
    return facts


def _chance(data: Json) -> str:
    """What a p-value is the chance of."""
    if data["stream"] == "employees":
        return "how often, at most, an honest one ever gets so far"
    if (data.get("evidence") or {}).get("rule") == "cost":
        return "how often what is normal is so unusual; that did not decide here"
    return "how often what is normal scores so high"


def _score(data: Json) -> str:
    if data.get("score") is None:
        return "none"
    return _odds(data["score"]) + (f", threshold {_odds(data['threshold'])}" if data.get("threshold") is not None else "")


def _odds(value: float) -> str:
    return plain(value) if value < 1e9 else f"{value:.2g}"


def _value(value: Any) -> str:
    if isinstance(value, float):
        return plain(value)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
