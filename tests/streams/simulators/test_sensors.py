"""The SRW simulator keeps what it says."""

from __future__ import annotations

import numpy as np
import pytest

from streams.simulators.sensors import START, simulate_sensors


def test_the_same_seed_gives_the_same_readings():
    one, same, other = (simulate_sensors(anomalies=3, points=3000, seed=seed) for seed in (1, 1, 2))
    assert all(np.array_equal(one[name], same[name]) for name in one)
    assert not np.array_equal(one["value"], other["value"])


def test_there_are_as_many_anomalies_of_that_length_as_asked_for_and_none_at_the_beginning():
    made = simulate_sensors(anomalies=7, length=50, points=5000, sensors=2, noise=0)
    for sensor in ("sensor-0", "sensor-1"):
        label = made["label"][made["sensor_id"] == sensor]
        edges = np.diff(np.concatenate([[0], label, [0]]))
        begins, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
        assert (ends - begins).tolist() == [50] * 7
        assert begins[0] >= 500


def test_readings_of_several_sensors_come_in_order_of_time():
    made = simulate_sensors(anomalies=0, points=100, sensors=3)
    assert made["at"][0] == START
    assert (np.diff(made["at"]) > 0).all()
    assert made["sensor_id"][:4].tolist() == ["sensor-0", "sensor-1", "sensor-2", "sensor-0"]


def test_noise_is_per_cent_of_the_sine():
    quiet, noisy = (simulate_sensors(anomalies=0, points=20_000, noise=noise) for noise in (0, 50))
    difference = noisy["value"] - quiet["value"]
    assert difference.std() == pytest.approx(0.5 / np.sqrt(2), rel=0.05)


def test_anomalies_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="anomalies = 60 of 200 points do not fit into 5000 points"):
        simulate_sensors(points=5000)
