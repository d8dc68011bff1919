"""Every topic by name. The prefix of the configuration stands before each; ids and origins use the names without it."""

from __future__ import annotations

from streams.dead_letters import TOPIC as DEAD_LETTERS

SOURCES = {
    "sensors": "sensor.readings",
    "cards": "card.transactions",
    "employees": "employee.postings",
    "errors": "model.errors",
}


ALERT_LABELS = "alert.labels"  # people's verdicts on alerts of any stream, keyed like its source
ALERT_SUPPRESSIONS = "alert.suppressions"  # of which keys nothing is to be heard, and until when; one partition
EMPLOYEE_LIMITS = "employee.limits"  # employees' limits, compacted; partition = that of employee.postings
CARD_LABELS = "card.labels"  # outcomes of transactions, days late; partition = that of card.transactions


def source(stream: str) -> str:
    """What a stream folds."""
    return SOURCES[stream]


def alerts(stream: str) -> str:
    """Where its alerts go, keyed like the source."""
    return f"alerts.{stream}"


def scores(stream: str) -> str:
    """Where its score log goes, partition by partition."""
    return f"scores.{stream}"


def cuts(stream: str) -> str:
    """Its cut log: append-only, partition = source partition."""
    return f"nilometer.cuts.{stream}"


def checkpoints(stream: str) -> str:
    """Its checkpoints: compacted, partition = source partition."""
    return f"nilometer.checkpoints.{stream}"


def erasures(stream: str) -> str:
    """Requests to forget a key, by its digest; one partition."""
    return f"nilometer.erasures.{stream}"


def models(stream: str) -> str:
    """What is trained for a whole stream, version by version, to be adopted by reference; one partition."""
    return f"nilometer.models.{stream}"


def shared(stream: str) -> str:
    """What partitions give to, and get back from, inputs merged over the whole stream; one partition."""
    return f"nilometer.shared.{stream}"


__all__ = [
    "ALERT_LABELS",
    "ALERT_SUPPRESSIONS",
    "CARD_LABELS",
    "DEAD_LETTERS",
    "EMPLOYEE_LIMITS",
    "SOURCES",
    "alerts",
    "checkpoints",
    "cuts",
    "erasures",
    "models",
    "scores",
    "shared",
    "source",
]
