"""Sparse alarms as tests like to read them: by row."""

from __future__ import annotations

import numpy as np

from detectors.protocol import CRITICAL, ROW, SLOT, TEST


def number_at(verdicts, row):
    """The number of the one alarm that stands at a row."""
    (number,) = np.flatnonzero(verdicts.alarms.places[:, ROW] == row).tolist()
    return number


def explained(detector, verdicts, row):
    return detector.explain(verdicts.alarms, number_at(verdicts, row))


def detail_at(verdicts, row):
    return verdicts.alarms.detail_of(number_at(verdicts, row))


def which_test(verdicts, row):
    return int(verdicts.alarms.places[number_at(verdicts, row), TEST])


def critical(verdicts):
    """Whether a critical alarm stands at each row."""
    rows = np.zeros(len(verdicts), np.bool_)
    rows[verdicts.alarms.places[verdicts.alarms.places[:, CRITICAL] == 1, ROW]] = True
    return rows


def columns(verdicts):
    """What two runs must agree on to the bit, by name; slots are accidents."""
    names = ("score", "threshold", "p_value", "alert", "seen", "needed", "unit", "reason")
    alarms = {name: getattr(verdicts.alarms, name) for name in ("numbers", "detail", "detail_stop")}
    return {name: getattr(verdicts, name) for name in names} | alarms | {"places": np.delete(verdicts.alarms.places, SLOT, axis=1)}
