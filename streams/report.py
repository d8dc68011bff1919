"""`report.json`: what a backtest came to, and, where there are labels, how good it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow.parquet as pq

from config.settings import Settings
from detectors.aggregation.recalibration import reliability
from streams import measures
from streams.backtest import Backtest

DAY = 86_400_000_000  # microseconds


def report(test: Backtest, settings: Settings, begin: int | None = None, end: int | None = None) -> dict[str, Any]:
    """Return the report of a finished run.

    Parameters
    ----------
    begin, end
        Event times (microseconds) that bound what is measured with labels; None for all.
    """
    stream = test.definition.name
    found: dict[str, Any] = {
        "stream": stream,
        "rows": test.events + test.bad,
        "events": test.events,
        "bad_rows": test.bad,
        "not_ready": test.not_ready,
        "tested": test.tested,
        "alerts": test.episodes,
        "alert_units": test.alert_rows,
        "epsilon": test.definition.rate,
        "alert_rate": test.alert_rows / test.tested if test.tested else None,
        "seconds": round(test.seconds, 3),
        "events_per_second": round(test.events / test.seconds) if test.seconds else None,
        "events_per_cpu_second": round(test.events / test.cpu) if test.cpu else None,
        "partitions": len(test.parts),
        "basis": test.definition.promise.basis,
        "guarantee": test.definition.promise.guarantee,
        "build": test.audit.build,
        "configuration": test.audit.configuration,
        "signature": test.audit.signature,
    }
    if stream == "employees":  # their level is of years, and no share of postings
        del found["epsilon"]
        found |= {"alpha": test.definition.rate, "budget": test.definition.promise.budget}
    if test.ruled:  # a share of transactions is promised where ranks decide, and nowhere else
        found["rules"] = {name: {"decided": decided, "alerts": alerts} for name, (decided, alerts) in test.ruled.items()}
        found["rules"]["epsilon"]["budget"] = test.definition.rate
        own = settings.cards
        found["rules"]["cost"] |= {"review_cost": own.review_cost, "alerts_per_day": own.alerts_per_day}
    if test.kept.label:
        found |= _measured(test, settings, begin, end)
    if test.training is not None:
        trainer = test.training.trainer
        found["learned"], found["learned_frauds"] = trainer.learned, trainer.frauds
        found["learned_per_cpu_second"] = round(trainer.learned / test.training_cpu) if test.training_cpu else None
        found["models"] = trainer.scoreboard.measures()
    return found


def _measured(test: Backtest, settings: Settings, begin: int | None, end: int | None) -> dict[str, Any]:
    kept = test.kept
    at, label, alert = np.concatenate(kept.at), np.concatenate(kept.label), np.concatenate(kept.alert)
    score, p_value, key = np.concatenate(kept.score), np.concatenate(kept.p_value), np.array(kept.key)
    inside = (at >= (begin if begin is not None else at.min(initial=0))) & (at <= (end if end is not None else at.max(initial=0)))
    judged = inside & ~np.isnan(score)
    normal = ~label
    if test.definition.name == "sensors":  # a subsequence that has touched a labelled reading is not normal
        normal = _untouched(key, label, settings.sensors.window)
    # Ranks must be comparable between keys: where there is a p-value it is, a distance to one sensor's model is not.
    rank = np.where(np.isnan(p_value), np.nan, 1.0 - p_value) if test.definition.name == "errors" else score
    ranked = judged
    if kept.by_model:
        by_model = np.concatenate(kept.by_model)
        if (judged & by_model).any():  # unusualness and probability are no common rank
            ranked = judged & by_model
    found: dict[str, Any] = {
        "labelled": int(label[inside].sum()),
        "labelled_tested": int(label[judged].sum()),
        "ranked": int(ranked.sum()),
        "roc_auc": measures.roc_auc(rank[ranked], label[ranked]),
        "average_precision": measures.average_precision(rank[ranked], label[ranked]),
        "alert_rate_on_normal": _share(alert[judged & normal]),
        "precision_of_alerts": float(label[judged & alert].mean()) if (judged & alert).any() else None,
        "recall_of_alerts": float(alert[judged & label].mean()) if (judged & label).any() else None,
    }
    if test.definition.name == "sensors":
        found |= _windows(key, score, label, inside, settings.sensors.window)
    if test.definition.name == "cards":
        found["card_precision_at_100"] = measures.card_precision(score[ranked], label[ranked], key[ranked], at[ranked] // DAY)
        found["cost"] = measures.weighted_cost(alert[judged], label[judged])
        if kept.probability:
            said = np.concatenate(kept.probability)
            judged &= ~np.isnan(said)
            found["reliability"] = reliability(said[judged], label[judged])
    return found


def _share(chosen: Any) -> float | None:
    return float(chosen.mean()) if len(chosen) else None


def _untouched(key: Any, label: Any, length: int) -> Any:
    """Readings of which none of their sensor's last `length` is labelled."""
    untouched = np.empty(len(label), np.bool_)
    for name in np.unique(key):
        mine = np.flatnonzero(key == name)
        seen = np.concatenate([np.zeros(length, np.int64), np.cumsum(label[mine])])
        untouched[mine] = seen[length:] - seen[:-length] == 0
    return untouched


def _windows(key: Any, score: Any, label: Any, inside: Any, length: int) -> dict[str, Any]:
    """Precision at k and distinct recall over all sensors: each its own ranking, then summed up."""
    hits = found = k = 0.0
    for name in np.unique(key):
        mine = key == name
        ready = ~np.isnan(score[mine]) & inside[mine]
        one = measures.window_measures(score[mine], label[mine], length, ready)
        if one["k"]:
            k += one["k"]
            hits += one["precision_at_k"] * one["k"]
            found += one["distinct_recall"] * one["k"]
    return {"precision_at_k": hits / k if k else None, "distinct_recall": found / k if k else None, "k": int(k)}


def write_employees(out: Path) -> dict[str, Any]:
    """Write `employees.parquet` from `scores.parquet`, a row an employee, strangest first; return how many there are and were alerted.

    Its last four columns are what each test has at the end: e-values of the accounting year's evidence, of "onset" the
    Shiryaev–Roberts statistic.
    """
    tests = ("digits", "onset", "band", "repeats")
    table = pq.read_table(out / "scores.parquet", columns=["key", "at", "score", "p_value", "is_alert", *tests])
    table = table.filter(table["at"].is_valid())
    found = table.group_by("key", use_threads=False).aggregate(
        [("at", "count"), ("score", "count"), ("is_alert", "sum"), ("p_value", "min"), ("score", "max"), ("at", "min"), ("at", "max")]
        + [(test, "last") for test in tests]
    )
    names = {
        "key": "employee_id", "at_count": "postings", "score_count": "looks", "is_alert_sum": "alerting_looks",
        "p_value_min": "smallest_p_value", "score_max": "largest_score", "at_min": "first_at", "at_max": "last_at",
        **{f"{test}_last": f"final_{test}" for test in tests},
    }  # fmt: skip
    found = found.select(list(names)).rename_columns(list(names.values()))
    order = [("smallest_p_value", "ascending"), ("employee_id", "ascending")]
    pq.write_table(found.sort_by(order), out / "employees.parquet", compression="zstd")
    return {"employees": len(found), "employees_alerted": int(np.count_nonzero(found["alerting_looks"].to_numpy()))}


def write(path: Path, found: dict[str, Any]) -> None:
    """Write a report as indented JSON."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
