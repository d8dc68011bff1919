"""A worker's metrics with everything in them that a worker can say, with no worker."""

from __future__ import annotations

import numpy as np
from prometheus_client import CollectorRegistry, generate_latest

from config.load import defaults
from streams.agents.trainer import Measured
from streams.configured import definition
from streams.durable.parked import Cause, Parked
from streams.relay.metrics import RelayMetrics
from streams.telemetry.metrics import Metrics
from streams.telemetry.watch_list import BOUNDS, TESTS, WatchList

MEASURES = {"transactions": 9, "frauds": 3, "roc_auc": 0.9, "average_precision": 0.5, "log_loss": 0.1}


def registries() -> tuple[CollectorRegistry, CollectorRegistry]:
    """A worker's and a relay's, every metric of which has a series."""
    metrics, relay = Metrics(), RelayMetrics()
    metrics.identify("nilometer 0.1.0", "0123456789abcdef")
    for stream in defaults().streams.enabled:
        metrics.begin(definition(stream, defaults()))
        metrics.tested_kernels({stream: "00"})
        metrics.restored(stream, 0, 0.1)
        metrics.waits(stream, 1, Parked(Cause.MOVED, "moved"))
        metrics.checkpointed(stream, 0, 1.0)
        metrics.binned(stream, 0, [1], [0])
    metrics.trained("cards", Measured(9, 3, 0, 1.0, np.array([1.0]), {"champion": MEASURES, "forest": MEASURES}))
    metrics.unusualness.observe(1.0)
    for labelled in vars(metrics).values():
        touch(labelled)
    watched = WatchList(["sensor-1"], metrics, defaults().log)
    for bound in BOUNDS:
        watched.band.labels("sensor-1", bound)
    for test in TESTS:
        watched.evidence.labels("clerk-1", test)
    for labelled in vars(watched).values():
        touch(labelled)
    relay.begin("webhook somewhere 0")
    return metrics.registry, relay.registry


def touch(metric: object) -> None:
    """Give a labelled metric that has no series yet one."""
    names = getattr(metric, "_labelnames", ())
    if names and not metric._metrics:  # type: ignore[attr-defined]
        metric.labels(*("1" for _ in names))  # type: ignore[attr-defined]


def everything() -> str:
    """All of it, as Prometheus would read it."""
    return "".join(generate_latest(registry).decode() for registry in registries())
