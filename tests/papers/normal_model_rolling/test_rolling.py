"""The rolling bars: mean over five starts in the slow suite, two starts of the shortest streams in the fast one."""

from __future__ import annotations

import numpy as np
import pytest

from tests.papers.normal_model_rolling import bars, cost


@pytest.mark.parametrize("name", ["mba_803", "mba_805"])
def test_a_record_of_one_patient_is_judged_as_well_as_offline_and_no_change_is_told(data, name):
    precision, recall = bars.BARS[name,]
    found = bars.runs(data, (name,), (0, 2903))
    assert np.mean([run.precision for run in found]) >= precision
    assert np.mean([run.recall for run in found]) >= recall
    assert not any(run.changes for run in found)


def test_another_patient_is_learned_and_the_change_told_once(data):
    (run,) = bars.runs(data, ("mba_803", "mba_805"), (613,))
    (change,) = run.evidence
    assert abs(change["onset"] - (bars.POINTS - 613)) <= 75
    assert run.precision >= 0.9
    assert run.recall >= 0.78


@pytest.mark.slow
@pytest.mark.parametrize("parts", bars.BARS)
def test_five_starts_hold_the_bars(data, parts):
    noted: dict[str, bool] = {}
    line = bars.row(parts, bars.runs(data, parts), noted)
    assert all(noted.values()), line


@pytest.mark.slow
def test_no_change_is_told_on_whole_records(data):
    lines, held = bars.false_changes(data)
    assert all(held.values()), lines


@pytest.mark.slow
def test_a_patient_who_comes_back_is_recognised(data):
    lines, held = bars.there_and_back(data)
    assert all(held.values()), lines


@pytest.mark.slow
def test_a_reading_costs_a_tenth_of_a_matrix_vector_product_and_little_in_all():
    found = cost.measured(stumpi=False)
    assert found["numpy matrix × vector"] >= 10 * found["kernel, 1"]
    assert found["kernel, 15"] <= 25 * found["kernel, 1"]
