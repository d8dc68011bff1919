from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.papers.hardness import data as real
from tests.papers.hardness import images, offline, tables, tabular, telemetry


def test_joint_keeps_what_the_error_tells_of_a_table(data: Path):
    found = tabular.once(real.table(data / "calibration", "thyroid"), seed=0)
    assert found["joint"] >= found["error"] - tabular.LOSS
    assert found["conditional"] < found["joint"], "hardness by itself tells these anomalies; conditional mode divides it out"


def test_a_line_over_hardness_finds_more_among_images_and_chance_does_not(data: Path):
    found = images.once(real.images(data / "calibration", "Fashion-900"), seed=0)
    assert found["calibrated"]["auc"] > found["error"]["auc"]
    assert abs(found["calibrated"]["correlation"]) < found["error"]["correlation"]
    assert not all(images.bars("Fashion-900", found, images.CONTROL).values())


def test_a_channel_that_drifts_from_its_training_alerts_within_its_budget():
    rng = np.random.default_rng(3)
    series = np.sin(np.arange(6000) / 7.0) + 0.1 * rng.normal(size=6000)
    series[2000:] = 1.5 * series[2000:] + 0.3
    channel = telemetry.Channel("drifting", *telemetry.windowed(series, 2000), np.arange(5951) > 5800, 1951)
    assert telemetry.LOW <= telemetry.streamed(channel).alerts <= telemetry.HIGH
    assert telemetry.frozen(channel).alerts > 15.0


def test_auc_counts_pairs_and_a_tie_half():
    assert real.auc(np.array([1.0, 2.0, 2.0, 3.0]), np.array([False, False, True, True])) == 3.5 / 4.0
    assert np.isnan(real.auc(np.array([1.0, 2.0]), np.array([True, True])))


@pytest.mark.slow
@pytest.mark.parametrize("table", ["images", "tabular", "telemetry", "overlap", "pearson"])
def test_every_bar_on_real_data_is_held(table, data: Path):
    bars = tables.TABLES[table][1]()[1]
    assert bars
    assert all(bars.values()), bars


@pytest.mark.slow
def test_calibration_helps_every_base_model_on_images(data: Path):
    pytest.importorskip("sklearn", reason="the perceptrons that stand in for autoencoders are scikit-learn's: extra `papers`")
    bars = offline.models(data / "calibration")[1]
    assert all(bars.values()), bars
