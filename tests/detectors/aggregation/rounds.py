"""A stream folded as a worker does: every hour of event time the population is merged and adopted."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from detectors.protocol import MICROSECONDS, Verdicts, fold

HOUR = 3_600 * MICROSECONDS


def hourly(detector, columns, state=None, more=lambda hour: {}):
    """The verdicts of columns in order of time; `more(hour)` is adopted beside the population."""
    state = detector.new_state() if state is None else state
    hours = columns.at // HOUR
    edges = [0, *(np.flatnonzero(np.diff(hours)) + 1).tolist(), len(columns)]
    parts = []
    for first, last in pairwise(edges):
        if first:
            detector.adopt(state, detector.merged([detector.contribution(state)]) | more(int(hours[first])))
        parts += [verdicts for _, verdicts in fold(detector, state, columns.span(first, last))]
    return Verdicts.join(parts)
